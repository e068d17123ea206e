//! How long to wait before the next connect.
//!
//! Pure arithmetic; [`super::connection`] waits.

use std::time::Duration;

use chrono::{DateTime, Utc};

/// A server that hung up is usually there again at once.
const BACKOFF_MIN: Duration = Duration::from_millis(500);

/// A server that was away for an hour is found again within half a minute.
const BACKOFF_MAX: Duration = Duration::from_secs(30);

/// Longer wishes of a server are cut to this, so that a wrong clock cannot silence a source for days.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60 * 60);

/// Returns the pause after the failed attempt of that number, counted from 1. It doubles from
/// [`BACKOFF_MIN`] to [`BACKOFF_MAX`]; half of it is random, so that many connections lost at once do not
/// come back at once. It is never less than what the server asked for.
pub(super) fn pause(attempt: u32, retry_after: Option<Duration>) -> Duration {
    let doubled = 2_u32.saturating_pow(attempt.saturating_sub(1));
    let bound = BACKOFF_MIN.saturating_mul(doubled).min(BACKOFF_MAX);
    let pause = bound.mul_f64(0.5 + fastrand::f64() / 2.0);
    pause.max(retry_after.unwrap_or_default().min(RETRY_AFTER_MAX))
}

/// Returns how long from `now` a `Retry-After` header asks to wait: seconds, or a date in the form that
/// RFC 9110 section 5.6.7 prefers; `None` if it is neither.
pub(super) fn parse_retry_after(text: &str, now: DateTime<Utc>) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = DateTime::parse_from_rfc2822(text).ok()?;
    Some((date.to_utc() - now).to_std().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_to_their_bound_and_obey_the_server() {
        for attempt in 1..100 {
            let bound = Duration::from_millis(500 << attempt.min(10)).min(BACKOFF_MAX);
            let pause = pause(attempt, None);
            assert!(
                pause <= bound && pause >= BACKOFF_MIN / 2,
                "{attempt}: {pause:?}"
            );
        }
        assert_eq!(
            pause(1, Some(Duration::from_secs(40))),
            Duration::from_secs(40)
        );
        assert_eq!(
            pause(1, Some(Duration::from_secs(999_999))),
            RETRY_AFTER_MAX
        );
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = DateTime::parse_from_rfc3339("1994-11-06T08:49:30Z")
            .unwrap()
            .to_utc();
        let in_7_s = Some(Duration::from_secs(7));
        assert_eq!(parse_retry_after(" 7 ", now), in_7_s);
        assert_eq!(
            parse_retry_after("Sun, 06 Nov 1994 08:49:37 GMT", now),
            in_7_s
        );
        let past = parse_retry_after("Sun, 06 Nov 1994 08:00:00 GMT", now);
        assert_eq!(past, Some(Duration::ZERO));
        assert_eq!(parse_retry_after("soon", now), None);
    }
}
