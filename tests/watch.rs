//! Watching a pipeline, with the real binary: the listener and what it refuses, a real Prometheus, a real
//! browser, `omlsp top` and `omlsp tail`.

mod support;

mod watch {
    mod browser;
    mod driver;
    mod listener;
    mod picture;
    mod prometheus;
    mod refusals;
    mod setting;
    mod terminal;
}
