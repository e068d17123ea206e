//! Dates, times and timestamps: from ISO 8601 and epoch numbers, and back to ISO 8601.
//!
//! Calendar arithmetic follows Howard Hinnant, "chrono-compatible low-level date algorithms"
//! (`days_from_civil`, `civil_from_days`); the proleptic Gregorian calendar, as in DuckDB.

use std::cell::Cell;

use super::number;

/// The unit of an epoch number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampUnit {
    Second,
    Millisecond,
    Microsecond,
    Nanosecond,
}

impl TimestampUnit {
    /// The words of the option `timestamp_unit`.
    pub const WORDS: &'static [(&'static str, Self)] = &[
        ("s", Self::Second),
        ("ms", Self::Millisecond),
        ("us", Self::Microsecond),
        ("ns", Self::Nanosecond),
    ];

    /// Returns how many digits stand behind the second in this unit.
    pub fn digits(self) -> i64 {
        match self {
            Self::Second => 0,
            Self::Millisecond => 3,
            Self::Microsecond => 6,
            Self::Nanosecond => 9,
        }
    }

    pub fn per_second(self) -> i64 {
        match self {
            Self::Second => 1,
            Self::Millisecond => 1_000,
            Self::Microsecond => 1_000_000,
            Self::Nanosecond => 1_000_000_000,
        }
    }

    /// Guesses the unit of an epoch number by its magnitude: read in the right unit it lies between 1970 and
    /// the year 5138, so 10^11 seconds, 10^14 milliseconds and 10^17 microseconds are the bounds.
    fn guess(text: &str) -> Option<Self> {
        let magnitude = number::scaled_floor(text, 0)?.unsigned_abs();
        Some(if magnitude < 10u128.pow(11) {
            Self::Second
        } else if magnitude < 10u128.pow(14) {
            Self::Millisecond
        } else if magnitude < 10u128.pow(17) {
            Self::Microsecond
        } else {
            Self::Nanosecond
        })
    }
}

const DAY_S: i64 = 86_400;

/// Returns an epoch number in `target` units; its own unit is guessed unless fixed. What is finer than the
/// target is cut off towards the past.
pub fn timestamp_of_number(
    text: &str,
    fixed: Option<TimestampUnit>,
    target: TimestampUnit,
) -> Option<i64> {
    let unit = match fixed {
        Some(unit) => unit,
        None => TimestampUnit::guess(text)?,
    };
    let value = number::scaled_floor(text, target.digits() - unit.digits())?;
    i64::try_from(value).ok()
}

/// Parses `2024-01-02`, `2024-01-02T03:04`, `2024-01-02 03:04:05.678901Z`, `…+02:00` into `target` units since
/// the epoch, UTC. Without a zone it is UTC. What is finer than the target is cut off.
pub fn timestamp_of_text(text: &str, target: TimestampUnit) -> Option<i64> {
    let mut scan = Scan {
        rest: text.trim_ascii().as_bytes(),
    };
    let days = scan.date()?;
    let mut seconds = 0;
    let mut nanos = 0;
    let mut offset = 0;
    if !scan.rest.is_empty() {
        if !(scan.take(b'T') || scan.take(b' ') || scan.take(b't')) {
            return None;
        }
        (seconds, nanos) = scan.clock()?;
        offset = scan.zone()?;
    }
    if !scan.rest.is_empty() {
        return None;
    }
    let seconds = days * DAY_S + seconds - offset;
    let fraction = nanos / (1_000_000_000 / target.per_second());
    seconds
        .checked_mul(target.per_second())?
        .checked_add(fraction)
}

/// Parses a date, or the date of a timestamp as written, into days since the epoch.
pub fn date_of_text(text: &str) -> Option<i32> {
    let mut scan = Scan {
        rest: text.trim_ascii().as_bytes(),
    };
    let days = scan.date()?;
    if !scan.rest.is_empty() {
        // What follows must be a time, though the day is already known.
        timestamp_of_text(text, TimestampUnit::Second)?;
    }
    i32::try_from(days).ok()
}

/// Parses `03:04`, `03:04:05`, `03:04:05.678901` into `target` units since midnight.
pub fn time_of_text(text: &str, target: TimestampUnit) -> Option<i64> {
    let mut scan = Scan {
        rest: text.trim_ascii().as_bytes(),
    };
    let (seconds, nanos) = scan.clock()?;
    let fraction = nanos / (1_000_000_000 / target.per_second());
    scan.rest
        .is_empty()
        .then_some(seconds * target.per_second() + fraction)
}

/// The rest of a text that is being read.
struct Scan<'a> {
    rest: &'a [u8],
}

impl Scan<'_> {
    fn take(&mut self, byte: u8) -> bool {
        let there = self.rest.first() == Some(&byte);
        if there {
            self.rest = &self.rest[1..];
        }
        there
    }

    /// Reads exactly `count` digits.
    fn digits(&mut self, count: usize) -> Option<i64> {
        let (digits, rest) = self.rest.split_at_checked(count)?;
        if !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        self.rest = rest;
        Some(
            digits
                .iter()
                .fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0')),
        )
    }

    /// Reads `YYYY-MM-DD` into days since the epoch.
    fn date(&mut self) -> Option<i64> {
        let year = self.digits(4)?;
        let month = self.take(b'-').then(|| self.digits(2))??;
        let day = self.take(b'-').then(|| self.digits(2))??;
        let valid = (1..=12).contains(&month) && (1..=days_in_month(year, month)).contains(&day);
        valid.then(|| days_from_civil(year, month, day))
    }

    /// Reads `HH:MM[:SS[.fraction]]` into seconds and nanoseconds.
    fn clock(&mut self) -> Option<(i64, i64)> {
        let hour = self.digits(2)?;
        let minute = self.take(b':').then(|| self.digits(2))??;
        let mut second = 0;
        let mut nanos = 0;
        if self.take(b':') {
            second = self.digits(2)?;
            if self.take(b'.') || self.take(b',') {
                nanos = self.fraction()?;
            }
        }
        let valid = hour < 24 && minute < 60 && second < 60;
        valid.then_some((hour * 3600 + minute * 60 + second, nanos))
    }

    /// Reads one or more digits as a fraction in nanoseconds; those beyond nine are checked and dropped.
    fn fraction(&mut self) -> Option<i64> {
        let length = self
            .rest
            .iter()
            .position(|byte| !byte.is_ascii_digit())
            .unwrap_or(self.rest.len());
        let (digits, rest) = self.rest.split_at(length);
        self.rest = rest;
        let digit = |at: usize| digits.get(at).map_or(0, |digit| i64::from(digit - b'0'));
        (length > 0).then(|| (0..9).fold(0, |sum, at| sum * 10 + digit(at)))
    }

    /// Reads nothing, `Z`, `+HH`, `+HHMM` or `+HH:MM` into seconds east of UTC.
    fn zone(&mut self) -> Option<i64> {
        if self.rest.is_empty() || self.take(b'Z') || self.take(b'z') {
            return Some(0);
        }
        let west = match self.rest[0] {
            b'+' => false,
            b'-' => true,
            _ => return None,
        };
        self.rest = &self.rest[1..];
        let hours = self.digits(2)?;
        let minutes = if self.take(b':') || !self.rest.is_empty() {
            self.digits(2)?
        } else {
            0
        };
        let seconds = hours * 3600 + minutes * 60;
        let valid = hours < 24 && minutes < 60;
        valid.then_some(if west { -seconds } else { seconds })
    }
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 {
        month_index + 3
    } else {
        month_index - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// Appends a timestamp as `2024-01-02T03:04:05.678Z`: the fraction has 3, 6 or 9 digits, as few as hold it, and
/// is absent when zero. DuckDB's infinities are the words `infinity` and `-infinity`.
pub fn write_timestamp(value: i64, unit: TimestampUnit, out: &mut Vec<u8>) {
    Timestamps::new(unit).write(value, out);
}

/// Writes one timestamp after the other. Many lie in the same second as the one before, whose text is kept.
pub struct Timestamps {
    unit: TimestampUnit,
    /// A second since the epoch and its text; that is empty before the first one.
    known: Cell<(i64, Short)>,
}

impl Timestamps {
    pub fn new(unit: TimestampUnit) -> Self {
        let known = Cell::new((0, Short::default()));
        Self { unit, known }
    }

    /// Appends a timestamp as [`write_timestamp`] does.
    pub fn write(&self, value: i64, out: &mut Vec<u8>) {
        if value == i64::MAX || value == -i64::MAX {
            out.extend_from_slice(if value > 0 { b"infinity" } else { b"-infinity" });
            return;
        }
        let (seconds, nanos) = seconds_and_nanos(value, self.unit);
        let (known, mut text) = self.known.get();
        if known != seconds || text.length == 0 {
            text = Short::default();
            let has_year = text.civil(seconds.div_euclid(DAY_S), out);
            text.push(b'T');
            text.clock(seconds.rem_euclid(DAY_S), 0);
            if has_year {
                self.known.set((seconds, text));
            }
        }
        text.fraction(nanos);
        text.push(b'Z');
        out.extend_from_slice(text.get());
    }
}

/// Appends a date as `2024-01-02`.
pub fn write_date(days: i32, out: &mut Vec<u8>) {
    match days {
        i32::MAX => out.extend_from_slice(b"infinity"),
        days if days == -i32::MAX => out.extend_from_slice(b"-infinity"),
        days => {
            let mut text = Short::default();
            text.civil(i64::from(days), out);
            out.extend_from_slice(text.get());
        }
    }
}

/// Appends a time of day as `03:04:05.678`, its fraction as in [`write_timestamp`].
pub fn write_time(value: i64, unit: TimestampUnit, out: &mut Vec<u8>) {
    let (seconds, nanos) = seconds_and_nanos(value, unit);
    let mut text = Short::default();
    text.clock(seconds, nanos);
    out.extend_from_slice(text.get());
}

/// Parts an instant; each unit by itself, since the divisors are then known to the compiler.
fn seconds_and_nanos(value: i64, unit: TimestampUnit) -> (i64, i64) {
    fn parted<const PER_SECOND: i64>(value: i64) -> (i64, i64) {
        let nanos = value.rem_euclid(PER_SECOND) * (1_000_000_000 / PER_SECOND);
        (value.div_euclid(PER_SECOND), nanos)
    }
    match unit {
        TimestampUnit::Second => (value, 0),
        TimestampUnit::Millisecond => parted::<1_000>(value),
        TimestampUnit::Microsecond => parted::<1_000_000>(value),
        TimestampUnit::Nanosecond => parted::<1_000_000_000>(value),
    }
}

/// A short text under way: what is appended byte by byte would look for room with each.
#[derive(Clone, Copy, Default)]
struct Short {
    bytes: [u8; 32],
    length: usize,
}

impl Short {
    fn get(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    fn push(&mut self, byte: u8) {
        self.bytes[self.length] = byte;
        self.length += 1;
    }

    /// Appends a number below 100 as two digits.
    fn two(&mut self, value: i64) {
        self.push(digit(value / 10));
        self.push(digit(value));
    }

    /// Appends a number below 1000 as three digits.
    fn three(&mut self, value: i64) {
        self.push(digit(value / 100));
        self.two(value % 100);
    }

    /// Appends a date; a year that four digits do not hold goes to `out` before, and false is returned.
    fn civil(&mut self, days: i64, out: &mut Vec<u8>) -> bool {
        let (year, month, day) = civil_from_days(days);
        let fits = (0..=9999).contains(&year);
        if fits {
            self.two(year / 100);
            self.two(year % 100);
        } else {
            // ISO 8601 writes years of more than four digits with a sign.
            out.push(if year < 0 { b'-' } else { b'+' });
            out.extend_from_slice(format!("{:04}", year.abs()).as_bytes());
        }
        self.push(b'-');
        self.two(month);
        self.push(b'-');
        self.two(day);
        fits
    }

    fn clock(&mut self, seconds: i64, nanos: i64) {
        self.two(seconds / 3600);
        self.push(b':');
        self.two(seconds / 60 % 60);
        self.push(b':');
        self.two(seconds % 60);
        self.fraction(nanos);
    }

    /// Appends what stands behind the second, with its point.
    fn fraction(&mut self, nanos: i64) {
        if nanos == 0 {
            return;
        }
        self.push(b'.');
        self.three(nanos / 1_000_000);
        if nanos % 1_000_000 != 0 {
            self.three(nanos / 1_000 % 1_000);
        }
        if nanos % 1_000 != 0 {
            self.three(nanos % 1_000);
        }
    }
}

#[expect(clippy::cast_sign_loss, reason = "no part of an instant is negative")]
fn digit(value: i64) -> u8 {
    b'0' + (value % 10) as u8
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, SecondsFormat, Utc};

    use super::*;
    use TimestampUnit::{Microsecond, Millisecond, Nanosecond, Second};

    #[test]
    fn the_unit_of_an_epoch_is_guessed_by_magnitude() {
        let instant = 1_704_164_645_678_901;
        for (text, micros) in [
            ("1704164645", 1_704_164_645_000_000),
            ("1704164645.678901", instant),
            ("1704164645678", 1_704_164_645_678_000),
            ("1704164645678901", instant),
            ("1704164645678901234", instant),
            ("1.704164645678901e9", instant),
            ("-1.5", -1_500_000),
            ("0", 0),
        ] {
            assert_eq!(
                timestamp_of_number(text, None, Microsecond),
                Some(micros),
                "{text}"
            );
        }
        assert_eq!(
            timestamp_of_number("5", Some(Millisecond), Microsecond),
            Some(5_000)
        );
        assert_eq!(
            timestamp_of_number("-1", Some(Nanosecond), Second),
            Some(-1)
        );
        assert_eq!(timestamp_of_number("99999999999", None, Nanosecond), None);
        assert_eq!(timestamp_of_number("abc", None, Nanosecond), None);
    }

    #[test]
    fn iso_8601_with_and_without_zone() {
        for (text, seconds) in [
            ("2024-01-02", 1_704_153_600),
            ("2024-01-02T03:04", 1_704_164_640),
            ("2024-01-02 03:04:05", 1_704_164_645),
            ("2024-01-02T03:04:05Z", 1_704_164_645),
            ("2024-01-02T05:04:05+02:00", 1_704_164_645),
            ("2024-01-01T22:04:05-0500", 1_704_164_645),
            ("2024-01-02T05:04:05.999+02", 1_704_164_645),
            ("1969-12-31T23:59:59", -1),
        ] {
            assert_eq!(timestamp_of_text(text, Second), Some(seconds), "{text}");
        }
        for text in [
            "",
            "2024",
            "2024-13-01",
            "2023-02-29",
            "2024-01-02T24:00:00",
            "2024-01-02T03:60",
            "2024-01-02X",
            "2024-01-02T03:04:05.Z",
            "2024-01-02T03:04:05+2",
            "2024-01-02 03:04:05 UTC",
            "24-01-02",
        ] {
            assert_eq!(timestamp_of_text(text, Second), None, "{text}");
        }
        assert_eq!(
            timestamp_of_text("2024-01-02T03:04:05.6789", Millisecond),
            Some(1_704_164_645_678)
        );
        assert_eq!(timestamp_of_text("2400-01-01", Nanosecond), None);
    }

    #[test]
    fn dates_and_times() {
        assert_eq!(date_of_text("1970-01-02"), Some(1));
        assert_eq!(date_of_text("2024-02-29T23:59:59-08:00"), Some(19_782));
        assert_eq!(date_of_text("2024-02-29 noon"), None);
        assert_eq!(
            time_of_text("03:04:05.000006", Microsecond),
            Some(11_045_000_006)
        );
        assert_eq!(time_of_text("3:04", Microsecond), None);
    }

    #[test]
    fn timestamps_are_written_as_chrono_does() {
        let mut random = fastrand::Rng::with_seed(3);
        for _ in 0..20_000 {
            let millis = random.i64(-62_135_596_800_000..253_402_300_800_000);
            let mut out = Vec::new();
            write_timestamp(millis, Millisecond, &mut out);
            let text = String::from_utf8(out).unwrap();
            let reference: DateTime<Utc> = DateTime::from_timestamp_millis(millis).unwrap();
            assert_eq!(text, reference.to_rfc3339_opts(SecondsFormat::AutoSi, true));
            assert_eq!(timestamp_of_text(&text, Millisecond), Some(millis));
        }
    }

    #[test]
    fn what_is_kept_of_the_one_before_changes_nothing() {
        let mut random = fastrand::Rng::with_seed(4);
        for unit in [Second, Millisecond, Microsecond, Nanosecond] {
            let writer = Timestamps::new(unit);
            let mut value = 0;
            for _ in 0..10_000 {
                value = match random.u8(0..100) {
                    0 => random.i64(..),
                    1 => i64::MAX,
                    2 => -i64::MAX,
                    3 => random.i64(-400_000_000_000..400_000_000_000),
                    _ => random.i64(-2..900).saturating_add(value),
                };
                let (mut kept, mut alone) = (Vec::new(), Vec::new());
                writer.write(value, &mut kept);
                write_timestamp(value, unit, &mut alone);
                assert_eq!(kept, alone, "{value} {unit:?}");
            }
        }
    }

    #[test]
    fn the_fraction_has_no_empty_group() {
        for (nanos, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (120_000_000, "1970-01-01T00:00:00.120Z"),
            (120_003_000, "1970-01-01T00:00:00.120003Z"),
            (7, "1970-01-01T00:00:00.000000007Z"),
            (i64::MAX, "infinity"),
        ] {
            let mut out = Vec::new();
            write_timestamp(nanos, Nanosecond, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
