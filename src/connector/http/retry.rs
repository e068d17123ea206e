//! When a failed request is made again: which failures, how often, after what pause.
//!
//! Pure arithmetic over a policy; the loop that sends is [`super::wire::Wire::repeat`].

use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, Utc};

use crate::options::Options;

/// A server may ask for more with `Retry-After`; a longer wish is cut to this, so that a wrong clock or
/// a hostile header cannot silence a source for hours.
pub(super) const RETRY_AFTER_MAX: Duration = Duration::from_secs(5 * 60);

/// The statuses that are retried by default: those that mean "later", not "never".
const CODES: &[u16] = &[408, 425, 429, 500, 502, 503, 504];

/// The `retry.*` options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RetryPolicy {
    /// All attempts of one request, the first included.
    pub attempts_max: u32,
    pub initial_backoff: Duration,
    pub max_backoff: Duration,
    pub codes: Vec<u16>,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts_max: 5,
            initial_backoff: Duration::from_millis(500),
            max_backoff: Duration::from_secs(30),
            codes: CODES.to_vec(),
        }
    }
}

impl RetryPolicy {
    /// Takes the `retry.*` options.
    pub fn take(options: &mut Options<'_>) -> Self {
        let default = Self::default();
        let attempts = options.parsed(
            "retry.max_attempts",
            "a whole number from 1 to 1000",
            |text| text.parse().ok().filter(|count| (1..=1000).contains(count)),
        );
        let codes = options.parsed(
            "retry.codes",
            "a list of statuses such as '429, 503'",
            parse_codes,
        );
        Self {
            attempts_max: attempts.unwrap_or(default.attempts_max),
            initial_backoff: options
                .duration("retry.initial_backoff")
                .unwrap_or(default.initial_backoff),
            max_backoff: options
                .duration("retry.max_backoff")
                .unwrap_or(default.max_backoff),
            codes: codes.unwrap_or(default.codes),
        }
    }

    /// Returns the pause after the failed attempt of that number, counted from 1: a random part of
    /// `initial_backoff`, doubled per attempt and cut to `max_backoff` ("full jitter"), but never less
    /// than what the server asked for.
    pub fn pause(&self, attempt: u32, retry_after: Option<Duration>) -> Duration {
        let doubled = 2_u32.saturating_pow(attempt.saturating_sub(1));
        let bound = self
            .initial_backoff
            .saturating_mul(doubled)
            .min(self.max_backoff);
        let jittered = bound.mul_f64(fastrand::f64());
        let asked = retry_after.unwrap_or_default().min(RETRY_AFTER_MAX);
        jittered.max(asked)
    }
}

fn parse_codes(text: &str) -> Option<Vec<u16>> {
    let codes = text
        .split([',', ' '])
        .map(str::trim)
        .filter(|code| !code.is_empty());
    let codes: Option<Vec<u16>> = codes
        .map(|code| code.parse().ok().filter(|code| (400..=599).contains(code)))
        .collect();
    codes.filter(|codes| !codes.is_empty())
}

/// Returns how long from `now` a `Retry-After` header asks to wait: seconds or an HTTP date in any of
/// its three forms (RFC 9110, sections 10.2.3 and 5.6.7); `None` if it is neither.
pub(super) fn parse_retry_after(text: &str, now: DateTime<Utc>) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let forms = [
        "%a, %d %b %Y %H:%M:%S GMT",
        "%A, %d-%b-%y %H:%M:%S GMT",
        "%a %b %e %H:%M:%S %Y",
    ];
    let date = forms
        .iter()
        .find_map(|form| NaiveDateTime::parse_from_str(text, form).ok())?;
    Some((date.and_utc() - now).to_std().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(
            parse_retry_after("Sunday, 06-Nov-94 08:49:37 GMT", now),
            in_7_s
        );
        assert_eq!(parse_retry_after("Sun Nov  6 08:49:37 1994", now), in_7_s);
        assert_eq!(
            parse_retry_after("Sun, 06 Nov 1994 08:00:00 GMT", now),
            Some(Duration::ZERO)
        );
        assert_eq!(parse_retry_after("soon", now), None);
    }

    #[test]
    fn pauses_grow_to_their_bound_and_obey_the_server() {
        let policy = RetryPolicy {
            max_backoff: Duration::from_secs(3),
            ..RetryPolicy::default()
        };
        for attempt in 1..200 {
            assert!(policy.pause(attempt, None) <= Duration::from_secs(3));
        }
        assert!(policy.pause(1, None) <= Duration::from_millis(500));
        let asked = Duration::from_secs(9);
        assert_eq!(policy.pause(1, Some(asked)), asked);
        assert_eq!(
            policy.pause(1, Some(Duration::from_secs(86_400))),
            RETRY_AFTER_MAX
        );
    }

    #[test]
    fn codes_are_statuses() {
        assert_eq!(parse_codes("429, 503"), Some(vec![429, 503]));
        assert_eq!(parse_codes("200"), None);
        assert_eq!(parse_codes(""), None);
    }
}
