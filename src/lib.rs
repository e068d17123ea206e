//! OMLSP: a stream processor in one binary, driven by `.sql` files.
//!
//! A directory of statements becomes a catalog, the catalog a validated plan, the plan a set of nodes
//! that run until they are stopped.
//!
//! # Invariants
//!
//! 1. A materialized view equals its query over everything its inputs have delivered.
//! 2. A batch is one transaction: rows, the source's cursor and every consumer's position together.
//!    After a SIGKILL nothing is lost and nothing is there twice; a sink gets every change at least once.
//! 3. Memory is bounded: consumers read from the log in the state, so that a slow one holds nobody up.
//! 4. A failure stays with its entity: recorded, counted, retried.
//! 5. Everything is validated before anything starts.
//! 6. User SQL reaches no file and no network; secrets are never shown.
//!
//! # The map: modules in reading order
//!
//! Each imports only from those above it.

// Links in the documentation lead readers of the source, who see private items too.
#![allow(rustdoc::private_intra_doc_links)]
// They panic where nobody reads the output any more; `cli::say` and `cli::print` do not.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

// Source files, spans, caret rendering.
pub mod diagnostic;

// A value that prints as `***`.
pub mod secret;

// From text to statements.
pub mod sql;

// `WITH` options: typed, taken once, leftovers are errors.
pub mod options;

// Buffers that may become large.
pub mod buffer;

// Rows in columns, with a change sign and a trigger.
pub mod batch;

// DuckDB: open and seal, sessions, parse, the state's tables.
pub mod engine;

// Bytes to columns and back: jq, JSON, CSV.
pub mod format;

// What came in from outside, kept and given again.
pub mod record;

// Traits and registry of the outside systems; one file or folder each.
pub mod connector;

// Entities, unique names, secrets, the DAG.
pub mod catalog;

// Catalog and connectors to nodes ready to run, fully validated.
pub mod plan;

// Executor, nodes, pipes, shutdown.
pub mod runtime;

// Statements given to a pipeline, and a look at what it does: control socket, listener, metrics, the page.
pub mod server;

// The command line: one file per subcommand.
pub mod cli;
