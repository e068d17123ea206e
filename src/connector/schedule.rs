//! The options `schedule`, `timezone`, `interval` and `overlap`, and the instants they make due.
//!
//! Called by the connectors of polled sources; [`Schedule::next_after`] is called by the runtime. Knows
//! no clock: every instant comes from the caller.
//!
//! A cron schedule follows the wall clock of its time zone. Where the clock changes (croner's rules,
//! which are those of Vixie cron):
//!
//! * a schedule with one fixed minute and hour (`30 2 * * *`) runs once a day: at the first instant
//!   after the gap when its time is left out, and the first time when its time comes twice;
//! * any other schedule (`*/15 * * * *`, `0 2,14 * * *`) runs whenever the wall clock matches: not at
//!   times that are left out, and twice at times that come twice.

mod cron;

use std::time::Duration;

use chrono::{DateTime, Datelike, Utc};
use chrono_tz::{TZ_VARIANTS, Tz};

use super::{Overlap, Schedule};
use crate::diagnostic::Diagnostic;
use crate::options::Options;

/// The shortest `interval`: below it a poll costs more than it can bring, `ws` is the way for more.
const INTERVAL_MIN: Duration = Duration::from_millis(10);

/// The longest `interval`: keeps the arithmetic on instants far from its limits.
const INTERVAL_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// The years in which a cron schedule is followed: those that croner searches, and far enough from what a
/// `DateTime` can hold that no time zone leads out of it.
const CRON_YEARS: std::ops::Range<i32> = 1..croner::YEAR_UPPER_LIMIT;

/// Takes the options that say when a polled source is due: exactly one of `schedule` and `interval`.
/// Answers `None` where a fault was noted that leaves no schedule.
pub fn take(options: &mut Options<'_>) -> Option<(Schedule, Overlap)> {
    let overlaps = [("skip", Overlap::Skip), ("queue", Overlap::Queue)];
    let overlap = options
        .one_of("overlap", &overlaps)
        .unwrap_or(Overlap::Skip);
    let schedule_key = options.key_span("schedule");
    let interval_key = options.key_span("interval");
    let timezone_key = options.key_span("timezone");
    let cron = take_cron(options);
    let timezone = take_timezone(options);
    let interval = take_interval(options);
    if let (None, Some(timezone_key)) = (schedule_key, timezone_key) {
        let fault = Diagnostic::new(timezone_key, "`timezone` has no meaning without `schedule`")
            .help("remove it: an `interval` is counted in UTC");
        options.fault(fault);
    }
    let schedule = match (schedule_key, interval_key) {
        (Some(_), None) => Schedule::Cron {
            cron: Box::new(cron?),
            timezone: timezone?,
        },
        (None, Some(_)) => Schedule::Interval(interval?),
        (Some(first), Some(second)) => {
            let message = "`schedule` and `interval` exclude each other";
            let fault = Diagnostic::new(second, message)
                .also(first, "the other one is here")
                .help("keep one of them");
            options.fault(fault);
            return None;
        }
        (None, None) => {
            let message = "neither `schedule` nor `interval` is given";
            let fault = Diagnostic::new(options.span(), message)
                .label("this is polled")
                .help("add `schedule = '*/5 * * * *'` (cron) or `interval = '10s'`");
            options.fault(fault);
            return None;
        }
    };
    Some((schedule, overlap))
}

fn take_cron(options: &mut Options<'_>) -> Option<croner::Cron> {
    let text = options.text("schedule")?;
    let fault = match cron::parse(text.expose()) {
        Ok(cron) => return Some(cron),
        Err(fault) => fault,
    };
    let mut diagnostic = Diagnostic::new(text.part(fault.start, fault.end), fault.message);
    diagnostic.label = fault.label;
    diagnostic.help = fault.help;
    options.fault(diagnostic);
    None
}

fn take_timezone(options: &mut Options<'_>) -> Option<Tz> {
    if options.key_span("timezone").is_none() {
        options.text("timezone");
        return Some(Tz::UTC);
    }
    let text = options.text("timezone")?;
    let wrote = text.expose().trim();
    let found = TZ_VARIANTS
        .iter()
        .find(|timezone| timezone.name().eq_ignore_ascii_case(wrote));
    if found.is_none() {
        let message = format!("`{}` is not a time zone", text.shown());
        let fault = Diagnostic::new(text.span, message)
            .label("expected an IANA name such as `Europe/Berlin`")
            .suggest(wrote, TZ_VARIANTS.iter().map(|timezone| timezone.name()));
        options.fault(fault);
    }
    found.copied()
}

fn take_interval(options: &mut Options<'_>) -> Option<Duration> {
    let expected = "a duration from '10ms' to '366d', such as '500ms', '5s', '1m' or '1h'";
    options.parsed("interval", expected, |text| {
        crate::options::parse_duration(text)
            .filter(|interval| (INTERVAL_MIN..=INTERVAL_MAX).contains(interval))
    })
}

impl Schedule {
    /// Returns the first due instant strictly after `instant`, or `None` where there is none (from the
    /// year 5000 on for a cron schedule). An interval is due at its multiples since 1970-01-01T00:00:00Z, so that the
    /// ticks of two runs are the same instants.
    pub fn next_after(&self, instant: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::Cron { cron, timezone } => {
                if !CRON_YEARS.contains(&instant.year()) {
                    return None;
                }
                let local = instant.with_timezone(timezone);
                let next = cron.find_next_occurrence(&local, false).ok()?;
                Some(next.with_timezone(&Utc))
            }
            Self::Interval(interval) => next_multiple(*interval, instant),
        }
    }
}

fn next_multiple(interval: Duration, instant: DateTime<Utc>) -> Option<DateTime<Utc>> {
    const NANOS_PER_SECOND: i128 = 1_000_000_000;
    let interval = i128::try_from(interval.as_nanos()).ok()?;
    let since_epoch = i128::from(instant.timestamp()) * NANOS_PER_SECOND
        + i128::from(instant.timestamp_subsec_nanos());
    // An interval of zero cannot be written; were it made in code, nothing would ever be due.
    let next = since_epoch
        .checked_div_euclid(interval)?
        .checked_add(1)?
        .checked_mul(interval)?;
    let seconds = i64::try_from(next.div_euclid(NANOS_PER_SECOND)).ok()?;
    let nanos = u32::try_from(next.rem_euclid(NANOS_PER_SECOND)).ok()?;
    DateTime::from_timestamp(seconds, nanos)
}

#[cfg(test)]
mod tests;
