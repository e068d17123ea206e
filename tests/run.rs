//! `omlsp run` from end to end: the real binary, real sockets on loopback, results checked row by row.
//!
//! One program for all of it, so that it is linked once. Each module is a part of what a user meets; what
//! they share is in `run/setting.rs`.

mod support;

mod run {
    mod event_time;
    mod large;
    mod life;
    mod lookups;
    mod pipelines;
    mod relations;
    mod restart;
    mod schedule;
    mod setting;
    mod sinks;
    mod trouble;
    mod types;
    mod views;
    mod ways;
    mod windows;
}
