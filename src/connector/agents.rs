//! Keepers of HTTP connections: whom they trust, which proxy they take, and when they are made.
//!
//! Knows nothing of what is asked. Nobody is trusted before the first request over TLS: reading the system's
//! authorities takes longer than most first answers.

use std::sync::OnceLock;
use std::time::Duration;

use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::unversioned::transport::DefaultConnector;
use ureq::{Agent, Proxy};
use url::Url;

use super::addresses::Addresses;
use super::authorities;

/// The size of either buffer of a connection; of the client's own 128 KiB, a hundred connections would fill
/// 25 MiB.
const BUFFER_BYTES: usize = 32 * 1024;

/// The bounds of every request.
#[derive(Clone, Copy, Debug)]
pub(super) struct AgentLimits {
    pub connect_timeout: Duration,
    /// Of a whole exchange.
    pub timeout: Duration,
    /// Idle connections that are kept.
    pub idle_connections: usize,
}

/// The connections of one entity, those without TLS and those with it.
pub(super) struct Agents {
    limits: AgentLimits,
    proxy: Option<Proxy>,
    extra_roots: Vec<Certificate<'static>>,
    plain: OnceLock<Agent>,
    secure: OnceLock<Agent>,
}

impl Agents {
    /// `extra_roots` are trusted besides the system's authorities. A proxy is taken from the environment
    /// (`ALL_PROXY`, `HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`), but never if `base` is a loopback address.
    pub fn new(base: &Url, limits: AgentLimits, extra_roots: Vec<Certificate<'static>>) -> Self {
        Self {
            limits,
            proxy: match is_loopback(base) {
                true => None,
                false => Proxy::try_from_env(),
            },
            extra_roots,
            plain: OnceLock::new(),
            secure: OnceLock::new(),
        }
    }

    /// Returns the agent that asks this address.
    pub fn of(&self, url: &Url) -> &Agent {
        // A proxy may itself be asked over TLS.
        if url.scheme() == "http" && self.proxy.is_none() {
            self.plain
                .get_or_init(|| self.agent(RootCerts::Specific(Vec::new().into())))
        } else {
            self.secure
                .get_or_init(|| self.agent(root_certs(&self.extra_roots)))
        }
    }

    fn agent(&self, roots: RootCerts) -> Agent {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent(concat!("omlsp/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(self.limits.connect_timeout))
            .timeout_global(Some(self.limits.timeout))
            .max_idle_connections(self.limits.idle_connections)
            .max_idle_connections_per_host(self.limits.idle_connections)
            .tls_config(TlsConfig::builder().root_certs(roots).build())
            .input_buffer_size(BUFFER_BYTES)
            .output_buffer_size(BUFFER_BYTES)
            .proxy(self.proxy.clone())
            .build();
        Agent::with_parts(config, DefaultConnector::default(), Addresses::default())
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// Returns the system's authorities and the extra ones; where the system has none (a bare container),
/// those of the Mozilla programme that are compiled in.
fn root_certs(extra: &[Certificate<'static>]) -> RootCerts {
    let system = &authorities::system().certificates;
    if system.is_empty() && extra.is_empty() {
        return RootCerts::WebPki;
    }
    let system = system
        .iter()
        .map(|der| Certificate::from_der(der).to_owned());
    let all: Vec<Certificate<'static>> = system.chain(extra.iter().cloned()).collect();
    RootCerts::new_with_certs(&all)
}
