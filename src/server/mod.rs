//! Talking to a pipeline: statements executed over its state, and the control socket they come through.
//!
//! A [`Service`] executes statements; it neither knows nor cares whether they came through the socket of a
//! running pipeline or straight from the command line over a state that nobody runs. Everything here blocks
//! and runs on threads of its own.

// What travels: a request, and the pieces of its answer.
mod protocol;
mod settings;

// What a pipeline is made of, as far as statements see it.
mod pipeline;
mod recorded;
mod vault;

// Executing a script, in the order of what it may do.
mod control;
mod service;
mod show;
mod query;
mod live;
mod change;

// The socket.
mod address;
mod socket;

pub use address::{connect, socket_path};
pub use control::Control;
pub use pipeline::Pipeline;
pub use protocol::{ColumnHead, Event, Request};
pub use recorded::add_created;
pub use service::Service;
pub use settings::Settings;
pub use socket::Server;
pub use vault::Vault;
