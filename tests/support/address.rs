//! Addresses of loopback that stay free while nobody listens on them.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU8, Ordering};

/// Returns an address where nobody listens, and nobody will but who is told of it: not on 127.0.0.1, from which the
/// system serves everybody who asks for any free port, and not of another test, which could run at the same time.
///
/// # Panics
/// If no port can be had.
pub fn unused() -> SocketAddr {
    static TAKEN: AtomicU8 = AtomicU8::new(0);
    let [.., high, low] = std::process::id().to_be_bytes();
    // 127.1.x.x and further; a process that takes more than 200 may get one again, with another port.
    let second = 1 + TAKEN.fetch_add(1, Ordering::Relaxed) % 200;
    let own = Ipv4Addr::new(127, second, high, low);
    let listener = TcpListener::bind((own, 0)).expect("loopback has a free port");
    listener.local_addr().expect("it is bound")
}
