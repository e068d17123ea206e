//! Talking to a pipeline: statements executed over its state, what its entities are doing, and how clients
//! come to it: the control socket of its owner, and the listener for browsers and Prometheus.
//!
//! A [`Service`] executes statements; it neither knows nor cares whether they came through the socket of a
//! running pipeline or straight from the command line over a state that nobody runs. Everything here blocks
//! and runs on threads of its own.

// What travels: a request, and the pieces of its answer.
mod cells;
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

// Looking on: what every entity is doing, its latest rows, its changes.
mod state;
mod tail;

// The socket.
mod address;
mod socket;

// The listener.
pub mod http;

pub use address::{connect, socket_path};
pub use cells::each_row;
pub use control::Control;
pub use pipeline::Pipeline;
pub use protocol::{ColumnHead, Event, Reach, Request, Want};
pub use recorded::{add_created, advise_drop};
pub use service::Service;
pub use settings::Settings;
pub use socket::Server;
pub use vault::Vault;
