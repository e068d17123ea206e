//! What the integration tests and benches share: servers with a script on loopback, the answers of the
//! exchanges, the real binary as a child process, and golden files.
//!
//! Knows nothing of the crate's own modules: everything here stands outside the product. Used with
//! `mod support;`; a bench names the same folder with `#[path = "../tests/support/mod.rs"]`.

// Every test program compiles all of this and uses a part of it.
#![allow(dead_code)]

pub mod address;
pub mod binary;
pub mod exchanges;
pub mod golden;
pub mod http;
mod http_wire;
pub mod registry;
pub mod snippets;
pub mod trades;
pub mod ws;
