//! Addresses of loopback that stay free while nobody listens on them.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How long an address may take to be free again.
const FREE_WITHIN: Duration = Duration::from_secs(10);

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

/// Listens where a listener of this process was closed before. A child that another thread starts at that moment
/// holds a copy of it until it is the program it will be, so the address may still be in use.
///
/// # Panics
/// If the address is not free after ten seconds, or cannot be had at all.
pub fn listen_again(address: SocketAddr) -> TcpListener {
    let until = Instant::now() + FREE_WITHIN;
    loop {
        match TcpListener::bind(address) {
            Err(e) if e.kind() == ErrorKind::AddrInUse && Instant::now() < until => {
                thread::sleep(Duration::from_millis(1));
            }
            listener => return listener.expect("the address is free again"),
        }
    }
}
