//! The outside systems that the documentation names, on loopback.

use serde_json::json;

use crate::support::exchanges::Exchanges;
use crate::support::http::{Reply, Server};
use crate::support::ws::{Step, WsServer, text};

/// They end with the value.
pub struct Outside {
    http: Server,
    ws: WsServer,
}

impl Outside {
    pub fn start() -> Self {
        let (http, ws) = (Server::start(), WsServer::start());
        Exchanges::new(1).mount(&http);
        http.on("GET", "/tickers", |_| {
            Reply::value(
                &json!({"data": [{"symbol": "A", "price": 1.5}, {"symbol": "B", "price": 2}]}),
            )
        });
        http.on("POST", "/in", |_| Reply::status(204));
        let trade = text(json!({"symbol": "A", "price": 1.5}));
        ws.script("/trades", vec![vec![Step::Await(1), trade, Step::Serve]]);
        Self { http, ws }
    }

    /// Puts our addresses in the place of those in a snippet.
    pub fn replace(&self, sql: &str) -> String {
        let (http, ws) = (self.http.url(), self.ws.url());
        let mut text = sql.to_owned();
        for host in ["api.example.com", "hooks.example.com", "api.kucoin.com"] {
            text = text.replace(&format!("https://{host}"), &http);
        }
        text.replace("wss://stream.example.com", &ws)
    }

    /// Returns how often anything was asked.
    pub fn asked(&self) -> u64 {
        self.http.request_count() + self.ws.connections_opened()
    }

    /// Returns the variables that the example pipelines read.
    pub fn exchanges(&self) -> Vec<(String, String)> {
        let names = ["KUCOIN", "BINANCE", "COINBASE", "COINLORE", "BYBIT"];
        let of = |name: &&str| (format!("{name}_URL"), self.http.url());
        names.iter().map(of).collect()
    }
}
