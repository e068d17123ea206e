//! A plan while it runs: executor, nodes, pipes between them, the door to the threads, shutdown.
//!
//! Each node is a task on our own executor. A source commits what it reads to the state and rings its
//! readers; a consumer reads from the state what it has not taken, and commits its own effect together
//! with its position.

mod asking;
mod backoff;
mod consumer;
mod crew;
mod derived;
mod door;
mod durations;
mod dynamic;
mod horizon;
mod ingest;
mod interrupt;
mod janitor;
mod lateness;
pub mod maintain;
mod newcomers;
mod pool;
mod reading;
mod replay;
mod run;
mod shared;
mod sink;
mod source;
pub mod state;
mod status;
mod step;
mod stream;
mod tail;
mod ticks;
mod tide;
mod timed;

pub use asking::Asking;
pub use dynamic::Change;
pub use interrupt::interrupted;
pub use replay::{Replayed, Speed};
pub use run::{Ended, RunOptions, Runtime};
pub use shared::Shared;
pub use status::{Board, Last, State, Status};
pub use tail::{Looked, Tail, Waited};
