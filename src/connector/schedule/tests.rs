//! Faults with their carets, and the instants of every kind of schedule.

use chrono::{DateTime, Duration, Utc};

use super::*;
use crate::connector::testing::{assert_fault, take as take_options};

fn make(with: &str) -> Result<(Schedule, Overlap), String> {
    take_options(with, take)
}

fn schedule(with: &str) -> Schedule {
    make(with).unwrap_or_else(|faults| panic!("{faults}")).0
}

fn instant(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// Asserts the due instants that follow `after`, as local times with their offset.
#[track_caller]
fn assert_due(with: &str, after: &str, expected: &[&str]) {
    let schedule = schedule(with);
    let mut at = instant(after);
    for expected in expected {
        let next = schedule.next_after(at).expect("there is a next instant");
        assert_eq!(
            next,
            instant(expected),
            "after {at}, `{with}` is due at {next}"
        );
        at = next;
    }
}

#[test]
fn a_value_out_of_range_has_its_caret_and_its_range() {
    let Err(faults) = make("schedule = '99 * * * *'") else {
        panic!("there is no minute 99");
    };
    let expected = "\
error: `99` is out of range in the minute field
 --> test.sql:1:19
  |
1 | WITH (schedule = '99 * * * *')
  |                   ^^ expected 0-59
";
    assert_eq!(faults.trim_end(), expected.trim_end());
}

#[test]
fn each_field_says_what_it_takes() {
    let refused = [
        (
            "* 24 * * *",
            "`24` is out of range in the hour field",
            "expected 0-23",
        ),
        (
            "* * 0 * *",
            "`0` is out of range in the day of month field",
            "expected 1-31",
        ),
        (
            "* * * 13 *",
            "`13` is out of range in the month field",
            "expected 1-12 or JAN-DEC",
        ),
        (
            "* * * * 8",
            "`8` is out of range in the day of week field",
            "expected 0-7",
        ),
        (
            "* * * * MONDAY",
            "`MONDAY` is not a value of the day of week field",
            "SUN-SAT",
        ),
        (
            "JAN * * * *",
            "`JAN` is not a value of the minute field",
            "expected 0-59",
        ),
        (
            "L * * * *",
            "`L` is not a value of the minute field",
            "expected 0-59",
        ),
        (
            "* * * * L",
            "`L` is not a value of the day of week field",
            "SUN-SAT",
        ),
        (
            "*/0 * * * *",
            "`0` is not a step of the minute field",
            "expected 1-59",
        ),
        (
            "* */x * * *",
            "`x` is not a step of the hour field",
            "expected 1-23",
        ),
        (
            "5/10 * * * *",
            "a step needs a range in the minute field",
            "`5-59/10` or `*/10`",
        ),
        (
            "1,,2 * * * *",
            "an empty place in the list of the minute field",
            "expected 0-59",
        ),
        (
            "1- * * * *",
            "a value is missing in the minute field",
            "expected 0-59",
        ),
        (
            "*,1 * * * *",
            "`*` cannot be part of a list in the minute field",
            "expected 0-59",
        ),
        (
            "-1 * * * *",
            "a value is missing in the minute field",
            "expected 0-59",
        ),
        (
            "1-2-3 * * * *",
            "`2-3` is not a value of the minute field",
            "expected 0-59",
        ),
        (
            "* * * * 1#6",
            "`6` is not a week of a month",
            "expected 1-5",
        ),
        (
            "* * 32W * *",
            "`32` is out of range in the day of month field",
            "expected 1-31",
        ),
        (
            "99999999999 * * * *",
            "is out of range in the minute field",
            "expected 0-59",
        ),
        (
            "+1 * * * *",
            "`+1` is not a value of the minute field",
            "expected 0-59",
        ),
        (
            "0 0 * * ü",
            "`ü` is not a value of the day of week field",
            "SUN-SAT",
        ),
    ];
    for (pattern, message, label) in refused {
        assert_fault(make(&format!("schedule = '{pattern}'")), &[message, label]);
    }
}

#[test]
fn seconds_and_other_counts_of_fields_are_refused() {
    let result = make("schedule = '0 * * * * *'");
    assert_fault(
        result,
        &[
            "a schedule has 5 fields, this one has 6",
            "use `interval = '10s'`",
        ],
    );
    assert_fault(
        make("schedule = '* * *'"),
        &["has 5 fields, this one has 3", "minute, hour"],
    );
    assert_fault(make("schedule = ''"), &["the schedule is empty"]);
    assert_fault(
        make("schedule = '@dayly'"),
        &["`@dayly` is not a known schedule", "@daily"],
    );
}

#[test]
fn a_schedule_that_is_never_due_is_refused() {
    for pattern in ["0 0 31 2 *", "0 0 30 2 *", "* * 31 4,6,9,11 *"] {
        let message = format!("`{pattern}` is never due");
        assert_fault(make(&format!("schedule = '{pattern}'")), &[&message]);
    }
}

#[test]
fn exactly_one_of_schedule_and_interval() {
    assert_fault(make(""), &["neither `schedule` nor `interval` is given"]);
    let both = make("schedule = '@daily', interval = '5s'");
    assert_fault(
        both,
        &[
            "`schedule` and `interval` exclude each other",
            "the other one is here",
        ],
    );
    assert_fault(
        make("interval = '5ms'"),
        &["`interval` is not a duration from '10ms'"],
    );
    assert_fault(
        make("interval = '1000d'"),
        &["`interval` is not a duration from '10ms'"],
    );
}

#[test]
fn time_zones_are_known_by_name_and_belong_to_schedules() {
    let wrong = make("schedule = '@daily', timezone = 'Europe/Berln'");
    assert_fault(
        wrong,
        &[
            "`Europe/Berln` is not a time zone",
            "did you mean `Europe/Berlin`?",
        ],
    );
    let useless = make("interval = '5s', timezone = 'UTC'");
    assert_fault(useless, &["`timezone` has no meaning without `schedule`"]);
    assert_due(
        "schedule = '0 0 * * *', timezone = 'asia/kolkata'",
        "2026-01-01T00:00:00Z",
        &["2026-01-02T00:00:00+05:30"],
    );
}

#[test]
fn overlap_is_skip_unless_said() {
    assert_eq!(make("interval = '5s'").unwrap().1, Overlap::Skip);
    assert_eq!(
        make("interval = '5s', overlap = 'queue'").unwrap().1,
        Overlap::Queue
    );
    assert_fault(
        make("interval = '5s', overlap = 'queu'"),
        &["did you mean `queue`?"],
    );
}

#[test]
fn intervals_are_due_at_multiples_since_the_epoch() {
    assert_due(
        "interval = '7s'",
        "1970-01-01T00:00:00Z",
        &["1970-01-01T00:00:07Z", "1970-01-01T00:00:14Z"],
    );
    assert_due(
        "interval = '500ms'",
        "2026-11-22T17:00:00.123456789Z",
        &["2026-11-22T17:00:00.5Z", "2026-11-22T17:00:01Z"],
    );
    assert_due(
        "interval = '1m'",
        "1969-12-31T23:58:30Z",
        &["1969-12-31T23:59:00Z", "1970-01-01T00:00:00Z"],
    );
    assert_eq!(
        schedule("interval = '1d'").next_after(DateTime::<Utc>::MAX_UTC),
        None
    );
}

#[test]
fn weekdays_are_monday_to_friday_and_sunday_is_0_and_7() {
    // 2026-11-20 is a Friday.
    let weekdays = [
        "2026-11-20T00:00:00Z",
        "2026-11-23T00:00:00Z",
        "2026-11-24T00:00:00Z",
    ];
    for days in ["1-5", "MON-FRI", "mon,TUE,3,thu,5"] {
        assert_due(
            &format!("schedule = '0 0 * * {days}'"),
            "2026-11-19T12:00:00Z",
            &weekdays,
        );
    }
    for sunday in ["0", "7", "SUN", "0,7"] {
        let sundays = ["2026-11-22T00:00:00Z", "2026-11-29T00:00:00Z"];
        assert_due(
            &format!("schedule = '0 0 * * {sunday}'"),
            "2026-11-19T12:00:00Z",
            &sundays,
        );
    }
    let weekend = [
        "2026-11-21T00:00:00Z",
        "2026-11-22T00:00:00Z",
        "2026-11-28T00:00:00Z",
    ];
    for days in ["SAT-SUN", "6-7", "6-0"] {
        assert_due(
            &format!("schedule = '0 0 * * {days}'"),
            "2026-11-20T12:00:00Z",
            &weekend,
        );
    }
    let three = [
        "2026-11-22T00:00:00Z",
        "2026-11-23T00:00:00Z",
        "2026-11-24T00:00:00Z",
        "2026-11-29T00:00:00Z",
    ];
    assert_due("schedule = '0 0 * * 7-2'", "2026-11-20T12:00:00Z", &three);
}

#[test]
fn ranges_run_over_the_end() {
    assert_due(
        "schedule = '0 22-2 * * *'",
        "2026-01-01T21:00:00Z",
        &[
            "2026-01-01T22:00:00Z",
            "2026-01-01T23:00:00Z",
            "2026-01-02T00:00:00Z",
            "2026-01-02T01:00:00Z",
            "2026-01-02T02:00:00Z",
            "2026-01-02T22:00:00Z",
        ],
    );
    assert_due(
        "schedule = '0 22-2/2 * * *'",
        "2026-01-01T21:00:00Z",
        &[
            "2026-01-01T22:00:00Z",
            "2026-01-02T00:00:00Z",
            "2026-01-02T02:00:00Z",
            "2026-01-02T22:00:00Z",
        ],
    );
    assert_due(
        "schedule = '0 0 1 NOV-FEB *'",
        "2026-01-15T00:00:00Z",
        &["2026-02-01T00:00:00Z", "2026-11-01T00:00:00Z"],
    );
}

#[test]
fn leap_days_last_days_and_nth_weekdays() {
    assert_due(
        "schedule = '0 0 29 2 *'",
        "2024-03-01T00:00:00Z",
        &["2028-02-29T00:00:00Z"],
    );
    // 2100 is no leap year.
    assert_due(
        "schedule = '0 0 29 2 *'",
        "2096-03-01T00:00:00Z",
        &["2104-02-29T00:00:00Z"],
    );
    assert_due(
        "schedule = '0 0 L * *'",
        "2026-01-31T00:00:00Z",
        &["2026-02-28T00:00:00Z", "2026-03-31T00:00:00Z"],
    );
    assert_due(
        "schedule = '0 0 * * FRI#2'",
        "2026-11-01T00:00:00Z",
        &["2026-11-13T00:00:00Z"],
    );
    assert_due(
        "schedule = '0 0 * * 5L'",
        "2026-11-01T00:00:00Z",
        &["2026-11-27T00:00:00Z"],
    );
    // Both day fields: either of them, as in Vixie cron.
    assert_due(
        "schedule = '0 0 13 * FRI'",
        "2026-12-01T00:00:00Z",
        &[
            "2026-12-04T00:00:00Z",
            "2026-12-11T00:00:00Z",
            "2026-12-13T00:00:00Z",
        ],
    );
    assert_due(
        "schedule = '@hourly'",
        "2026-11-01T00:00:00Z",
        &["2026-11-01T01:00:00Z"],
    );
}

#[test]
fn a_fixed_time_in_the_gap_runs_right_after_it() {
    // On 2026-03-29 Berlin's clocks go from 02:00 to 03:00.
    assert_due(
        "schedule = '30 2 * * *', timezone = 'Europe/Berlin'",
        "2026-03-28T12:00:00Z",
        &["2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"],
    );
}

#[test]
fn a_repeating_schedule_leaves_the_gap_out() {
    assert_due(
        "schedule = '*/30 * * * *', timezone = 'Europe/Berlin'",
        "2026-03-29T01:00:00+01:00",
        &[
            "2026-03-29T01:30:00+01:00",
            "2026-03-29T03:00:00+02:00",
            "2026-03-29T03:30:00+02:00",
        ],
    );
    assert_due(
        "schedule = '0 2,14 * * *', timezone = 'Europe/Berlin'",
        "2026-03-28T15:00:00+01:00",
        &["2026-03-29T14:00:00+02:00"],
    );
}

#[test]
fn a_fixed_time_that_comes_twice_runs_once() {
    // On 2026-10-25 Berlin's clocks go from 03:00 back to 02:00.
    assert_due(
        "schedule = '30 2 * * *', timezone = 'Europe/Berlin'",
        "2026-10-24T12:00:00Z",
        &["2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"],
    );
}

#[test]
fn a_repeating_schedule_runs_in_both_hours() {
    assert_due(
        "schedule = '*/30 * * * *', timezone = 'Europe/Berlin'",
        "2026-10-25T02:00:00+02:00",
        &[
            "2026-10-25T02:30:00+02:00",
            "2026-10-25T02:00:00+01:00",
            "2026-10-25T02:30:00+01:00",
            "2026-10-25T03:00:00+01:00",
        ],
    );
}

#[test]
fn next_is_strictly_after_and_never_stands_still() {
    let zones = [
        "UTC",
        "Europe/Berlin",
        "America/New_York",
        "Australia/Lord_Howe",
        "Asia/Kathmandu",
    ];
    for zone in zones {
        for pattern in ["*/15 * * * *", "30 2 * * *", "0 1-3 * * *", "59 23 L * *"] {
            let schedule = schedule(&format!("schedule = '{pattern}', timezone = '{zone}'"));
            let mut at = instant("2025-12-31T23:59:59.999Z");
            for _ in 0..400 {
                let next = schedule.next_after(at).unwrap();
                assert!(next > at, "{pattern} in {zone}: {next} is not after {at}");
                // A month without a 31st is the longest pause of these.
                assert!(
                    next - at <= Duration::days(32),
                    "{pattern} in {zone}: nothing from {at} to {next}"
                );
                at = next;
            }
        }
    }
    for extreme in [DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC] {
        let _next = schedule("schedule = '@daily', timezone = 'Europe/Berlin'").next_after(extreme);
    }
}
