//! The pause before another try: doubled each time, with jitter, capped.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(200);
/// Long enough to spare a server that is down, short enough to be back soon after it is.
const MAX: Duration = Duration::from_secs(15);

pub struct Backoff {
    pause: Duration,
}

impl Backoff {
    pub fn new() -> Self {
        Self { pause: FIRST }
    }

    /// Returns the next pause, between half and all of its length, so that many do not try at once.
    pub fn next(&mut self) -> Duration {
        let pause = self.pause.mul_f64(0.5 + fastrand::f64() / 2.0);
        self.pause = (self.pause * 2).min(MAX);
        pause
    }

    pub fn reset(&mut self) {
        self.pause = FIRST;
    }
}
