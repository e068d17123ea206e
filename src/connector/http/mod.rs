//! HTTP: tables and sources polled on a schedule, lookups, and a sink.
//!
//! A request is made of a [`request::RequestTemplate`], signed by [`auth::Auth`], sent and retried by
//! [`client::Client`] over a [`wire::Wire`]; the three roles only say what to ask for and what to do with
//! the answer. `ureq` is named nowhere else in the program.

mod encoding;
mod shown;

mod body;
mod request;
mod template;

mod auth;
mod hmac;
mod oauth;

mod client;
mod rate_limit;
mod retry;
mod wire;

mod link_header;
mod lookup;
mod pagination;
mod position;
mod rows;
mod sink;
mod source;

#[cfg(test)]
mod tests;

use super::Connector;

/// `connector = 'http'`: TABLE, SOURCE and SINK.
pub const HTTP: Connector = Connector {
    name: "http",
    aliases: &[],
    source: Some(source::source),
    lookup: None,
    sink: Some(sink::sink),
};

/// `connector = 'lookup-http'`: lookup tables.
pub const LOOKUP_HTTP: Connector = Connector {
    name: "lookup-http",
    aliases: &[],
    source: None,
    lookup: Some(lookup::lookup),
    sink: None,
};
