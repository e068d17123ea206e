//! Where hosts are: names resolved, and remembered for a while.
//!
//! The client asks before each request, also if it then takes a connection that is open, and its own resolver
//! starts a thread for each question.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// How long an answer is used. A host that moves is found again after that.
const AGE_MAX: Duration = Duration::from_secs(10);

/// Addresses by host and port, with the instant of the answer.
type Known = HashMap<(String, u16), (Instant, Vec<SocketAddr>)>;

/// The addresses of the hosts of one entity.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    known: Mutex<Known>,
    resolver: DefaultResolver,
}

impl Addresses {
    fn of(&self, addresses: &[SocketAddr]) -> ResolvedSocketAddrs {
        let mut resolved = self.empty();
        // No more are kept than fit.
        addresses.iter().for_each(|address| resolved.push(*address));
        resolved
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Resolver for Addresses {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let tls = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let host = uri.host().unwrap_or("");
        let literal = host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = literal.parse::<IpAddr>() {
            return Ok(self.of(&[SocketAddr::new(address, port)]));
        }
        let key = (host.to_owned(), port);
        if let Some((since, addresses)) = self.known().get(&key)
            && since.elapsed() < AGE_MAX
        {
            return Ok(self.of(addresses));
        }
        let resolved = self.resolver.resolve(uri, config, timeout)?;
        let addresses = resolved.iter().copied().collect();
        self.known().insert(key, (Instant::now(), addresses));
        Ok(resolved)
    }
}

#[cfg(test)]
mod tests {
    use ureq::unversioned::transport::time;

    use super::*;

    fn resolve(addresses: &Addresses, uri: &str) -> Vec<SocketAddr> {
        let never = NextTimeout {
            after: time::Duration::NotHappening,
            reason: ureq::Timeout::Global,
            per_read: None,
            per_write: None,
        };
        let uri = uri.parse().unwrap();
        let found = addresses.resolve(&uri, &Config::default(), never);
        found.unwrap().iter().copied().collect()
    }

    #[test]
    fn an_address_is_its_own() {
        let addresses = Addresses::default();
        let of = |uri| resolve(&addresses, uri)[0].to_string();
        assert_eq!(of("http://127.0.0.1/rows"), "127.0.0.1:80");
        assert_eq!(of("https://127.0.0.1/rows"), "127.0.0.1:443");
        assert_eq!(of("http://[::1]:8080/rows"), "[::1]:8080");
        assert!(addresses.known().is_empty());
    }

    #[test]
    fn a_name_is_asked_for_once_in_a_while() {
        let addresses = Addresses::default();
        let found = resolve(&addresses, "http://localhost:8080/");
        assert!(
            found
                .iter()
                .all(|address| address.ip().is_loopback() && address.port() == 8080)
        );
        // What is known is taken: here, another address than the name has.
        let key = ("localhost".to_owned(), 8080);
        let other = vec![SocketAddr::from(([192, 0, 2, 1], 8080))];
        let now = Instant::now();
        addresses.known().insert(key.clone(), (now, other.clone()));
        assert_eq!(resolve(&addresses, "http://localhost:8080/"), other);
        let old = now
            .checked_sub(AGE_MAX)
            .expect("the machine has been up that long");
        addresses.known().insert(key, (old, other));
        assert_eq!(resolve(&addresses, "http://localhost:8080/"), found);
    }
}
