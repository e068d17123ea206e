//! `--listen ADDR` to an address: a port alone means loopback.

use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs as _};

/// Returns the address that `9090`, `:9090`, `127.0.0.1:9090`, `[::1]:9090` or `localhost:9090` mean.
///
/// # Errors
/// It is none of these, or the name is not known; said for people.
pub fn resolve(text: &str) -> Result<SocketAddr, String> {
    let port = text.strip_prefix(':').unwrap_or(text);
    if let Ok(port) = port.parse::<u16>() {
        return Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    }
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let expected = "expected an address such as 127.0.0.1:9090, or a port of loopback";
    let mut addresses = text
        .to_socket_addrs()
        .map_err(|error| format!("{expected} ({error})"))?;
    addresses.next().ok_or_else(|| expected.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_is_one_of_loopback() {
        for text in ["9090", ":9090", "127.0.0.1:9090", "localhost:9090"] {
            let address = resolve(text).expect("it is an address");
            assert!(address.ip().is_loopback(), "{text}: {address}");
            assert_eq!(address.port(), 9090);
        }
        assert!(!resolve("0.0.0.0:1").expect("it is one").ip().is_loopback());
        assert!(resolve("nonsense").is_err());
        assert!(resolve("127.0.0.1:70000").is_err());
    }
}
