//! Cron patterns of five fields: checked field by field here, so that a fault has its place and its
//! range, and then handed to croner in a form it reads one way only.
//!
//! On top of croner's: a range may run over the end (`22-2` is 22, 23, 0, 1, 2; `FRI-MON`), and names
//! are read only in the fields they belong to. Called by [`super::take`] alone.

use chrono::DateTime;
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};

/// A fault in a pattern; `start..end` are bytes of the text that was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CronFault {
    pub start: usize,
    pub end: usize,
    pub message: String,
    pub label: Option<String>,
    pub help: Option<String>,
}

/// What a field takes besides numbers, names, ranges and steps.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Modifiers {
    None,
    /// `L` (the last day), `LW` (the last weekday), `15W` (the weekday nearest to the 15th).
    DayOfMonth,
    /// `5L` (the last Friday), `5#2` (the second Friday).
    DayOfWeek,
}

struct Field {
    name: &'static str,
    min: u16,
    max: u16,
    /// Names for `min`, `min + 1`, ….
    names: &'static [&'static str],
    modifiers: Modifiers,
    /// The allowed range in words.
    expected: &'static str,
}

const MONTHS: &[&str] = &[
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
];
const DAYS: &[&str] = &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

static FIELDS: [Field; 5] = [
    Field {
        name: "minute",
        min: 0,
        max: 59,
        names: &[],
        modifiers: Modifiers::None,
        expected: "0-59",
    },
    Field {
        name: "hour",
        min: 0,
        max: 23,
        names: &[],
        modifiers: Modifiers::None,
        expected: "0-23",
    },
    Field {
        name: "day of month",
        min: 1,
        max: 31,
        names: &[],
        modifiers: Modifiers::DayOfMonth,
        expected: "1-31",
    },
    Field {
        name: "month",
        min: 1,
        max: 12,
        names: MONTHS,
        modifiers: Modifiers::None,
        expected: "1-12 or JAN-DEC",
    },
    Field {
        name: "day of week",
        min: 0,
        max: 7,
        names: DAYS,
        modifiers: Modifiers::DayOfWeek,
        expected: "0-7 (0 and 7 are Sunday) or SUN-SAT",
    },
];

const NICKNAMES: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

/// Parses a pattern such as `*/5 * * * *`, `0 9-17 * * MON-FRI` or `@daily`.
///
/// # Errors
/// The first fault from the left, or a pattern that no day matches (`0 0 31 2 *`).
pub(super) fn parse(text: &str) -> Result<Cron, CronFault> {
    let start = text.len() - text.trim_start().len();
    let end = start + text.trim().len();
    let whole = |message: String, help: Option<String>| CronFault {
        start,
        end: end.max(start),
        message,
        label: None,
        help,
    };
    let pattern = match NICKNAMES
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(text.trim()))
    {
        Some((_, pattern)) => (*pattern).to_owned(),
        None => read_fields(text, &whole)?,
    };
    let parser = CronParser::builder()
        .seconds(Seconds::Disallowed)
        .year(Year::Disallowed)
        .build();
    let cron = parser.parse(&pattern).map_err(|error| {
        whole(
            format!("`{}` is not a schedule: {error}", text.trim()),
            None,
        )
    })?;
    // From 1970 on, so that every calendar, leap days included, comes round before the search ends.
    if cron
        .find_next_occurrence(&DateTime::UNIX_EPOCH, false)
        .is_err()
    {
        let message = format!("`{}` is never due", text.trim());
        let help = "no day is in both its day of month and its month".to_owned();
        return Err(whole(message, Some(help)));
    }
    Ok(cron)
}

fn read_fields(
    text: &str,
    whole: &dyn Fn(String, Option<String>) -> CronFault,
) -> Result<String, CronFault> {
    // The words borrow from `text`, so their distance is their place.
    let words: Vec<(usize, &str)> = text
        .split_whitespace()
        .map(|word| (word.as_ptr() as usize - text.as_ptr() as usize, word))
        .collect();
    if words.len() != FIELDS.len() {
        let message = match words.as_slice() {
            [] => "the schedule is empty".to_owned(),
            [(_, word)] if word.starts_with('@') => format!("`{word}` is not a known schedule"),
            _ => format!("a schedule has 5 fields, this one has {}", words.len()),
        };
        let help = match words.len() {
            6 | 7 => {
                "there is no field for seconds or years; below a minute use `interval = '10s'`"
            }
            _ => {
                "the fields are minute, hour, day of month, month and day of week: `*/5 * * * *`; \
                 or @hourly, @daily, @weekly, @monthly, @yearly"
            }
        };
        return Err(whole(message, Some(help.to_owned())));
    }
    let mut pattern = Vec::with_capacity(FIELDS.len());
    for ((start, word), field) in words.into_iter().zip(&FIELDS) {
        pattern.push(field.read(start, word)?);
    }
    Ok(pattern.join(" "))
}

impl Field {
    /// Reads one field that begins at byte `start` and returns it in croner's words.
    fn read(&self, start: usize, word: &str) -> Result<String, CronFault> {
        if word == "?" && self.modifiers != Modifiers::None {
            return Ok("*".to_owned());
        }
        let mut read = Vec::new();
        let mut at = start;
        for item in word.split(',') {
            if item.is_empty() {
                let message = format!(
                    "there is an empty place in the list of the {} field",
                    self.name
                );
                return Err(self.fault((start, word), message));
            }
            if item == "*" && word != "*" {
                let message = format!("`*` cannot be part of a list in the {} field", self.name);
                return Err(self.fault((at, item), message));
            }
            read.push(self.read_item(at, item)?);
            at += item.len() + 1;
        }
        Ok(read.join(","))
    }

    fn read_item(&self, start: usize, item: &str) -> Result<String, CronFault> {
        if let Some(read) = self.read_modified(start, item)? {
            return Ok(read);
        }
        let (base, step) = match item.split_once('/') {
            Some((base, step)) => (base, Some(self.read_step(start + base.len() + 1, step)?)),
            None => (item, None),
        };
        if base == "*" {
            return Ok(step.map_or("*".to_owned(), |step| format!("*/{step}")));
        }
        if let Some((first, last)) = base.split_once('-') {
            let first_value = self.value(start, first)?;
            let last_value = self.value(start + first.len() + 1, last)?;
            return Ok(self.range(first_value, last_value, step));
        }
        let value = self.value(start, base)?;
        match step {
            None => Ok(value.to_string()),
            Some(step) => {
                let message = format!("a step needs a range in the {} field", self.name);
                let mut fault = self.fault((start, item), message);
                fault.help = Some(format!("write `{value}-{}/{step}` or `*/{step}`", self.max));
                Err(fault)
            }
        }
    }

    /// Reads `L`, `LW`, `15W`, `5L` and `5#2` in the fields that have them.
    fn read_modified(&self, start: usize, item: &str) -> Result<Option<String>, CronFault> {
        let upper = item.to_ascii_uppercase();
        match self.modifiers {
            Modifiers::None => Ok(None),
            Modifiers::DayOfMonth => {
                if upper == "L" || upper == "LW" {
                    return Ok(Some(upper));
                }
                let Some(day) = upper.strip_suffix('W') else {
                    return Ok(None);
                };
                let day = self.value(start, day)?;
                Ok(Some(format!("{day}W")))
            }
            Modifiers::DayOfWeek => {
                if let Some((day, nth)) = item.split_once('#') {
                    let value = self.value(start, day)?;
                    if !matches!(nth, "1" | "2" | "3" | "4" | "5") {
                        let message = format!("`{nth}` is not a week of a month");
                        let mut fault = self.fault((start + day.len() + 1, nth), message);
                        fault.label = Some("expected 1-5".to_owned());
                        return Err(fault);
                    }
                    return Ok(Some(format!("{value}#{nth}")));
                }
                match upper.strip_suffix('L') {
                    Some(day) if !day.is_empty() => {
                        let day = self.value(start, day)?;
                        Ok(Some(format!("{day}L")))
                    }
                    _ => Ok(None),
                }
            }
        }
    }

    fn read_step(&self, start: usize, step: &str) -> Result<u16, CronFault> {
        let value = step
            .parse()
            .ok()
            .filter(|step| (1..=self.max).contains(step));
        value.ok_or_else(|| {
            let message = format!("`{step}` is not a step of the {} field", self.name);
            let mut fault = self.fault((start, step), message);
            fault.label = Some(format!("expected 1-{}", self.max));
            fault
        })
    }

    /// Reads a number or a name of this field.
    fn value(&self, start: usize, text: &str) -> Result<u16, CronFault> {
        let named = (self.min..)
            .zip(self.names)
            .find(|(_, name)| name.eq_ignore_ascii_case(text));
        if let Some((value, _)) = named {
            return Ok(value);
        }
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let value = text
            .parse()
            .ok()
            .filter(|value| (self.min..=self.max).contains(value));
        match value {
            Some(value) if is_number => Ok(value),
            _ => {
                let message = match (text, is_number) {
                    ("", _) => format!("a value is missing in the {} field", self.name),
                    (_, true) => format!("`{text}` is out of range in the {} field", self.name),
                    (_, false) => format!("`{text}` is not a value of the {} field", self.name),
                };
                Err(self.fault((start, text), message))
            }
        }
    }

    /// Writes a range, one that runs over the end as the list of its values.
    fn range(&self, first: u16, last: u16, step: Option<u16>) -> String {
        let is_week = self.modifiers == Modifiers::DayOfWeek;
        let first = if is_week && first > last {
            first % 7
        } else {
            first
        };
        if first <= last {
            return match step {
                Some(step) => format!("{first}-{last}/{step}"),
                None => format!("{first}-{last}"),
            };
        }
        let top = if is_week { self.max - 1 } else { self.max };
        let values: Vec<String> = (first..=top)
            .chain(self.min..=last)
            .step_by(usize::from(step.unwrap_or(1)))
            .map(|value| value.to_string())
            .collect();
        values.join(",")
    }

    fn fault(&self, (start, text): (usize, &str), message: String) -> CronFault {
        CronFault {
            start,
            end: start + text.len(),
            message,
            label: Some(format!("expected {}", self.expected)),
            help: None,
        }
    }
}
