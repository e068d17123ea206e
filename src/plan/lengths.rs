//! Of what a constant length of time is made: months differ in length, and a time of day may stand at the end of one
//! that the next does not have.
//!
//! Knows DuckDB's words for them. What it does not know may be made of anything.

use serde_json::Value;

use super::maintain::list;

/// The parts that a length of time may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Length {
    pub months: bool,
    /// Days and what is shorter.
    pub days: bool,
}

const MONTHS: Length = Length {
    months: true,
    days: false,
};

const DAYS: Length = Length {
    months: false,
    days: true,
};

const ANY: Length = Length {
    months: true,
    days: true,
};

impl Length {
    /// Returns the parts of a constant expression: an interval, or a number of days.
    pub fn of(expression: &Value) -> Self {
        let literal = &expression["literal"];
        let all = || {
            let arguments = list(&expression["arguments"]).iter();
            let parts = arguments.map(|argument| Self::of(&argument["expression"]));
            parts.fold(Self::default(), Self::and)
        };
        let function = expression["function_name"].as_str().unwrap_or("");
        match expression["class"].as_str() {
            Some("CAST") if is_interval(&expression["type_expr"]) => Self::of(&expression["child"]),
            Some("CONSTANT") if literal["kind"] == "STRING" => {
                Self::of_text(literal["text"].as_str().unwrap_or(""))
            }
            Some("CONSTANT") if literal.is_object() => DAYS,
            Some("FUNCTION") => match (function, function.strip_prefix("to_")) {
                ("+" | "-", _) => all(),
                ("*", _) => all().with_shorter(),
                (_, Some(part)) => Self::of_word(part),
                _ => ANY,
            },
            _ => ANY,
        }
    }

    /// Returns the parts of a text that is cast to an interval.
    fn of_text(text: &str) -> Self {
        let text = text.to_lowercase();
        let words = text.split(|c: char| !c.is_alphabetic());
        let words = words.filter(|word| !matches!(*word, "" | "ago"));
        let parts = words.map(Self::of_word).fold(Self::default(), Self::and);
        match text.contains(['.', ':']) {
            true => parts.with_shorter(),
            false => parts,
        }
    }

    fn of_word(word: &str) -> Self {
        match word {
            "month" | "months" | "mon" | "mons" | "quarter" | "quarters" | "year" | "years"
            | "yr" | "yrs" | "y" | "decade" | "decades" | "century" | "centuries"
            | "millennium" | "millennia" => MONTHS,
            "day" | "days" | "d" | "week" | "weeks" | "w" | "hour" | "hours" | "hr" | "hrs"
            | "h" | "minute" | "minutes" | "min" | "mins" | "m" | "second" | "seconds" | "sec"
            | "secs" | "s" | "millisecond" | "milliseconds" | "ms" | "msec" | "msecs"
            | "microsecond" | "microseconds" | "us" | "usec" | "usecs" => DAYS,
            _ => ANY,
        }
    }

    /// Returns the parts of a fraction.
    fn with_shorter(self) -> Self {
        self.and(DAYS)
    }

    fn and(self, other: Self) -> Self {
        Self {
            months: self.months || other.months,
            days: self.days || other.days,
        }
    }
}

fn is_interval(type_expression: &Value) -> bool {
    let name = type_expression["type_name"].as_str();
    name.is_some_and(|name| name.eq_ignore_ascii_case("INTERVAL"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Database;

    #[test]
    fn an_interval_has_no_other_parts_than_it_is_said_to_have() {
        let database = Database::open(None).unwrap();
        let session = database.session().unwrap();
        let written = [
            ("INTERVAL '1' MONTH", MONTHS),
            ("INTERVAL 3 YEAR", MONTHS),
            ("INTERVAL '2 quarters'", MONTHS),
            ("INTERVAL '1 century 2 mons ago'", MONTHS),
            (
                "CAST((INTERVAL '1' MONTH + to_years(2)) AS INTERVAL)",
                MONTHS,
            ),
            ("INTERVAL (7) DAY", DAYS),
            ("to_weeks(1)", DAYS),
            ("INTERVAL '90 minutes'", DAYS),
            ("INTERVAL '1:30'", DAYS),
            ("INTERVAL '1 h 3 m 2.5 s'", DAYS),
            ("to_microseconds(5)", DAYS),
            ("INTERVAL '1 hour' * 1.5", DAYS),
            ("INTERVAL '1 month' + INTERVAL '2' DAY", ANY),
            ("INTERVAL '1.3 months'", ANY),
            ("INTERVAL '1 mil'", ANY),
            ("INTERVAL '1 month' * 0.3", ANY),
        ];
        for (text, expected) in written {
            let query = format!("SELECT {text} AS length");
            let tree = session.parse_one(&query).unwrap().unwrap().tree.unwrap();
            assert_eq!(Length::of(&tree["select_list"][0]), expected, "{text}");
            let parts = format!(
                "SELECT (datepart('year', length) <> 0 OR datepart('month', length) <> 0)::VARCHAR, \
                 (length <> to_years(datepart('year', length)::INTEGER) \
                 + to_months(datepart('month', length)::INTEGER))::VARCHAR FROM ({query})"
            );
            let row = session.texts(&parts, &[]).unwrap().remove(0);
            let has = |at: usize| row[at].as_deref() == Some("true");
            assert!(expected.months || !has(0), "{text}");
            assert!(expected.days || !has(1), "{text}");
        }
    }
}
