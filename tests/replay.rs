//! `omlsp run --record`, `omlsp run --replay` and `omlsp test`: the real binary, real sockets while it
//! records, none while it replays.

mod support;

#[path = "replay/cut.rs"]
mod cut;
#[path = "replay/hour.rs"]
mod hour;
#[path = "replay/polls.rs"]
mod polls;
#[path = "replay/pushes.rs"]
mod pushes;
#[path = "replay/quickstart.rs"]
mod quickstart;
#[path = "replay/secrets.rs"]
mod secrets;
#[path = "replay/stage.rs"]
mod stage;
#[path = "replay/testing.rs"]
mod testing;
