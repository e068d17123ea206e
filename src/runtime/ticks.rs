//! Which tick a poll answers next, and how many no poll answers. Pure: every instant comes from the caller, the
//! loop of a source ([`super::source`]).

use chrono::{DateTime, Utc};

use crate::connector::{Overlap, Schedule};

/// Enough to tell that it is many.
const MISSED_MAX: u64 = 1000;

/// What a source does after a poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextTick {
    pub due: DateTime<Utc>,
    /// Ticks that have come and that no poll answers, up to [`MISSED_MAX`].
    pub missed: u64,
}

/// Returns what follows a poll that is over at `now`; `None` where the schedule ends. Every tick until `seen`, when
/// this was asked last, has been answered for: it had its poll, waited for it, or was counted.
pub fn next_tick(
    schedule: &Schedule,
    overlap: Overlap,
    seen: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Option<NextTick> {
    let first = schedule.next_after(seen)?;
    if first > now {
        let (due, missed) = (first, 0);
        return Some(NextTick { due, missed });
    }
    let come = count(schedule, first, now);
    Some(match overlap {
        Overlap::Skip => NextTick {
            due: schedule.next_after(now)?,
            missed: come,
        },
        Overlap::Queue => NextTick {
            due: first,
            missed: come - 1,
        },
    })
}

/// Counts the ticks from `first`, which has come, to `now`, up to the bound.
fn count(schedule: &Schedule, first: DateTime<Utc>, now: DateTime<Utc>) -> u64 {
    let mut count = 0;
    let mut due = Some(first);
    while let Some(tick) = due.filter(|tick| *tick <= now && count < MISSED_MAX) {
        count += 1;
        due = schedule.next_after(tick);
    }
    count
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    /// What follows polls of a schedule of every second that are over at these seconds, the first due at 0.
    #[track_caller]
    fn check(overlap: Overlap, over: &[i64], expected: &[(i64, u64)]) {
        let schedule = Schedule::Interval(Duration::from_secs(1));
        let mut seen = at(0);
        let mut found = Vec::new();
        for over in over {
            let next = next_tick(&schedule, overlap, seen, at(*over)).unwrap();
            found.push((next.due.timestamp(), next.missed));
            seen = next.due.max(at(*over));
        }
        assert_eq!(found, expected, "{overlap:?}");
    }

    #[test]
    fn polls_within_the_schedule_miss_nothing() {
        for overlap in [Overlap::Skip, Overlap::Queue] {
            check(overlap, &[0, 1, 2], &[(1, 0), (2, 0), (3, 0)]);
        }
    }

    #[test]
    fn ticks_during_a_poll_are_skipped() {
        check(Overlap::Skip, &[5, 6], &[(6, 5), (7, 0)]);
    }

    #[test]
    fn one_tick_waits_and_the_others_are_counted_once() {
        check(Overlap::Queue, &[5, 5, 6], &[(1, 4), (6, 0), (7, 0)]);
        // The poll of the one that waited takes long too.
        check(Overlap::Queue, &[5, 8, 8], &[(1, 4), (6, 2), (9, 0)]);
    }

    #[test]
    fn the_count_is_bounded() {
        check(Overlap::Skip, &[1_000_000], &[(1_000_001, MISSED_MAX)]);
    }
}
