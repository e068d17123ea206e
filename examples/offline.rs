//! Runs `omlsp` against exchanges on this machine, so that the pipelines can be tried without a network:
//!
//! ```text
//! cargo run --release --example offline -- run --once --ephemeral pipelines/01_tickers.sql
//! ```
//!
//! It starts a server on loopback that answers in the documented shapes of KuCoin, Binance, Coinbase,
//! CoinLore and Bybit, points the variables that the pipelines read at it, and passes its arguments on.

#[path = "../tests/support/mod.rs"]
mod support;

use std::process::{Command, ExitCode};

use support::exchanges::Exchanges;
use support::http::Server;

/// Which data the exchanges invent; the same every time.
const SEED: u64 = 1;

fn main() -> ExitCode {
    let own = std::env::current_exe().expect("the system tells where this program is");
    let folder = own.parent().and_then(|examples| examples.parent());
    let binary = folder
        .expect("examples lie in a folder of the target")
        .join("omlsp");
    if !binary.exists() {
        eprintln!(
            "there is no {} yet: run `cargo build --release` first",
            binary.display()
        );
        return ExitCode::from(2);
    }
    let server = Server::start();
    Exchanges::new(SEED).mount(&server);
    let mut command = Command::new(binary);
    for exchange in ["KUCOIN", "BINANCE", "COINBASE", "COINLORE", "BYBIT"] {
        command.env(format!("{exchange}_URL"), server.url());
    }
    let status = command.args(std::env::args_os().skip(1)).status();
    match status.map(|status| status.code()) {
        Ok(Some(code)) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        Ok(None) => ExitCode::from(1),
        Err(error) => {
            eprintln!("cannot start omlsp: {error}");
            ExitCode::from(1)
        }
    }
}
