//! Whom the listener answers.
//!
//! A browser on this machine runs the scripts of any page its user opens, and can reach loopback. A page of
//! another origin says so in `Origin`; one whose name was made to point here (DNS rebinding) has a foreign
//! name in `Host`. Both are refused. An address as a name cannot be made to point elsewhere.

use std::net::IpAddr;

use hyper::http::request::Parts;
use hyper::http::uri::Authority;
use hyper::http::{HeaderName, StatusCode, header};
use ring::digest::{SHA256, digest};

use crate::secret::Secret;

/// Why a request is not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub status: StatusCode,
    pub message: String,
}

impl Refused {
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { status, message }
    }
}

/// What the listener trusts.
pub struct Guard {
    loopback: bool,
    /// The digest of the token, so that comparing takes the same time whatever is sent.
    token: Option<Vec<u8>>,
    hosts: Vec<String>,
}

/// Whether a request came with the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// There is none, and none is needed.
    Open,
    Token,
}

impl Guard {
    pub fn new(loopback: bool, token: Option<Secret>, hosts: Vec<String>) -> Self {
        Self {
            loopback,
            token: token.map(|token| sha256(token.expose().as_bytes())),
            hosts: hosts.iter().map(|host| normal(host)).collect(),
        }
    }

    /// Checks where a request says that it goes and comes from.
    ///
    /// # Errors
    /// It is for somebody else, or of another origin.
    pub fn check(&self, head: &Parts) -> Result<(), Refused> {
        let host = one(head, &header::HOST)?.ok_or_else(|| {
            Refused::new(StatusCode::BAD_REQUEST, "a request needs a Host header")
        })?;
        let authority: Authority = host.parse().map_err(|_| {
            Refused::new(StatusCode::BAD_REQUEST, "the Host header has no host in it")
        })?;
        // A target in absolute form takes the place of the header.
        let target = head
            .uri
            .authority()
            .is_none_or(|target| *target == authority);
        if !target || host.contains('@') || !self.is_ours(authority.host()) {
            let advice = "this listener is not called by that name; see --listen-host";
            return Err(Refused::new(StatusCode::FORBIDDEN, advice));
        }
        if let Some(origin) = one(head, &header::ORIGIN)? {
            let same = ["http://", "https://"].iter().any(|scheme| {
                let rest = origin.strip_prefix(scheme);
                rest.is_some_and(|rest| rest.eq_ignore_ascii_case(host))
            });
            if !same {
                let message = "pages of another origin get no answer";
                return Err(Refused::new(StatusCode::FORBIDDEN, message));
            }
        }
        Ok(())
    }

    fn is_ours(&self, host: &str) -> bool {
        let name = normal(host);
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        match bare.parse::<IpAddr>() {
            Ok(address) => !self.loopback || address.is_loopback(),
            Err(_) => name == "localhost" || self.hosts.contains(&name),
        }
    }

    /// Checks the token, if there is one to be had.
    ///
    /// # Errors
    /// It is missing or wrong.
    pub fn authorize(&self, head: &Parts) -> Result<Trust, Refused> {
        let Some(token) = &self.token else {
            return Ok(Trust::Open);
        };
        let given = one(head, &header::AUTHORIZATION)?.and_then(|value| value.split_once(' '));
        match given {
            Some((scheme, given))
                if scheme.eq_ignore_ascii_case("bearer")
                    && sha256(given.trim().as_bytes()) == *token =>
            {
                Ok(Trust::Token)
            }
            _ => Err(Refused::new(
                StatusCode::UNAUTHORIZED,
                "this needs the token of --listen-token: send `Authorization: Bearer TOKEN`",
            )),
        }
    }
}

/// Returns the one value of a header.
fn one<'h>(head: &'h Parts, name: &HeaderName) -> Result<Option<&'h str>, Refused> {
    let refuse = || {
        Refused::new(
            StatusCode::BAD_REQUEST,
            format!("`{name}` must come once, as text"),
        )
    };
    let mut values = head.headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    match (value.to_str(), values.next()) {
        (Ok(text), None) => Ok(Some(text)),
        _ => Err(refuse()),
    }
}

fn normal(host: &str) -> String {
    host.trim_end_matches('.').to_ascii_lowercase()
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    digest(&SHA256, bytes).as_ref().to_vec()
}
