//! From text to statements: tokens with places, our own statement heads, raw query bodies.
//!
//! Knows nothing of what a name means or which options exist. Types, expressions and queries stay raw
//! text, since DuckDB binds them. Called by the catalog and by the command line.

// What a statement is: names, places, raw text.
mod statement;

// Text to tokens.
mod token;

// A file to statements, and how to go on after an unclosed quote or a missing `;`.
mod script;

// The tokens of one statement, and the cursor that reads them.
mod piece;

// One statement, by its first word; queries.
mod parse;

// CREATE.
mod create;

// `( column TYPE, … )`.
mod columns;

// `INCLUDE part AS name`.
mod include;

// `WITH ( key = value, … )`.
mod with;

// DROP, SHOW, DESCRIBE, EXPLAIN, SET.
mod command;

// What of a file must not be shown.
mod hide;

// A text without the values of its secrets.
mod mask;

pub use hide::{add_source, mask_credentials, mask_definition};
pub use mask::{mask_secrets, shown_secret};
pub use script::{Parsed, parse_file};
pub use statement::*;
pub use token::{
    Opening, Token, TokenKind, ends_statement, name_in_sql, quote_ident, quote_text, tokens,
};

#[cfg(test)]
mod tests;
