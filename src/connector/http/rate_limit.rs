//! `rate_limit = '30/3s'`: at most so many requests in any window of that length, for one entity.
//!
//! A sliding window rather than a bucket that refills: a full bucket plus its refill would let nearly
//! twice the number through within one window, and the servers that publish such limits count windows.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::connector::context::{Stop, Stopped};
use crate::diagnostic::Diagnostic;
use crate::options::Options;

/// One instant is kept per request of a window: this bounds the memory of it to a few megabytes.
const REQUESTS_MAX: usize = 100_000;

/// A longer window is a mistake, and the instants at its end may be none that can be.
const WINDOW_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// `requests` per `window`, as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rate {
    requests: usize,
    window: Duration,
}

impl Rate {
    /// Takes the option `rate_limit`.
    pub fn take(options: &mut Options<'_>) -> Option<Self> {
        let text = options.text("rate_limit")?;
        let rate = Self::parse(text.expose().trim());
        if rate.is_none() {
            let shown = text.shown();
            let message =
                format!("`rate_limit` is not a rate such as '30/3s' or '100/m': `{shown}`");
            let fault = Diagnostic::new(text.span, message);
            options.fault(fault.help("1 to 100000 requests in a time of at most 366 days"));
        }
        rate
    }

    /// Parses `30/3s`, also `30/s`; `None` for anything else.
    fn parse(text: &str) -> Option<Self> {
        let (requests, window) = text.split_once('/')?;
        let requests = requests.trim().parse().ok()?;
        let window = window.trim();
        let window = crate::options::parse_duration(window)
            .or_else(|| crate::options::parse_duration(&format!("1{window}")))?;
        let valid =
            (1..=REQUESTS_MAX).contains(&requests) && !window.is_zero() && window <= WINDOW_MAX;
        valid.then_some(Self { requests, window })
    }
}

/// Hands out the instants at which requests may go. Shared by all threads of an entity.
pub(super) struct RateLimit {
    rate: Rate,
    /// When the last `rate.requests` requests go or went, in order.
    instants: Mutex<VecDeque<Instant>>,
}

impl RateLimit {
    pub fn new(rate: Rate) -> Self {
        Self {
            rate,
            instants: Mutex::new(VecDeque::with_capacity(rate.requests)),
        }
    }

    /// Blocks until the next request may go.
    ///
    /// # Errors
    /// [`Stopped`].
    pub fn wait(&self, stop: &Stop) -> Result<(), Stopped> {
        let pause = self.reserve(Instant::now());
        stop.wait(pause)
    }

    /// Reserves the next free instant and returns how long it is until then.
    fn reserve(&self, now: Instant) -> Duration {
        let mut instants = self
            .instants
            .lock()
            .expect("no panic happens under this lock");
        let mut instant = now;
        if instants.len() == self.rate.requests
            && let Some(oldest) = instants.pop_front()
        {
            instant = instant.max(oldest + self.rate.window);
        }
        instants.push_back(instant);
        instant - now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_parsed() {
        let rate = |requests, seconds| {
            Some(Rate {
                requests,
                window: Duration::from_secs(seconds),
            })
        };
        assert_eq!(Rate::parse("30/3s"), rate(30, 3));
        assert_eq!(Rate::parse("5 / m"), rate(5, 60));
        assert_eq!(Rate::parse("1/366d"), rate(1, 366 * 86_400));
        for wrong in ["30", "0/s", "x/s", "3/0s", "3/", "1000000/s", "1/367d"] {
            assert_eq!(Rate::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn no_window_ever_holds_more_than_the_rate() {
        let limit = RateLimit::new(Rate::parse("3/2s").unwrap());
        let start = Instant::now();
        let step = Duration::from_millis(100);
        let gone: Vec<Duration> = (0..10)
            .map(|n| {
                let now = start + step * n;
                now + limit.reserve(now) - start
            })
            .collect();
        for (early, late) in gone.iter().zip(&gone[3..]) {
            assert!(*late - *early >= Duration::from_secs(2), "{gone:?}");
        }
        assert_eq!(gone[..3], [Duration::ZERO, step, step * 2]);
    }
}
