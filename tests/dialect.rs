//! The dialect by its own files: `tests/dialect/accept` reads as its manual and is valid to the last option;
//! every file of `tests/dialect/reject` is one misuse, and the `.txt` beside it what the user is told;
//! `tests/dialect/commands` is a session of `omlsp sql` with its answers. Golden files, `BLESS=1` writes them.

#[path = "dialect/checking.rs"]
mod checking;
#[path = "dialect/coverage.rs"]
mod coverage;
#[path = "dialect/goldens.rs"]
mod goldens;
#[path = "dialect/graphs.rs"]
mod graphs;
mod support;
