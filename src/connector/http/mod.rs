//! HTTP: tables and sources polled on a schedule, lookups, and a sink.
//!
//! A request is made of a [`request::RequestTemplate`], signed by [`auth::Auth`], sent and retried by
//! [`client::Client`] over a [`wire::Wire`]; the three roles only say what to ask for and what to do with
//! the answer.

mod encoding;
mod shown;

mod template;

mod body;
mod request;

mod auth;
mod hmac;
mod oauth;

mod rate_limit;
mod retry;

mod tape;
mod wire;

mod client;

mod rows;

mod link_header;
mod pagination;
mod position;

mod source;

mod lookup;
mod sink;

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
    includes: false,
};

/// `connector = 'lookup-http'`: lookup tables.
pub const LOOKUP_HTTP: Connector = Connector {
    name: "lookup-http",
    aliases: &[],
    source: None,
    lookup: Some(lookup::lookup),
    sink: None,
    includes: false,
};
