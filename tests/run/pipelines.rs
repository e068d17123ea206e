//! The pipelines in `pipelines/`, as they are, against the answers of the exchanges.

use chrono::NaiveDateTime;
use serde_json::{Value, json};

use super::setting::{Setting, assert_rows, sorted};
use crate::support::binary::{Omlsp, Output};
use crate::support::exchanges::{Exchanges, Ticker};

/// A copy of one pipeline of the repository with all exchanges on one server.
struct Example {
    setting: Setting,
    exchanges: Exchanges,
}

impl Example {
    fn new(file: &str, more: &str) -> Self {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("pipelines")
            .join(file);
        let text = std::fs::read_to_string(path).expect("the pipeline is part of the repository");
        let setting = Setting::new(&format!("{text}\n{more}"));
        let exchanges = Exchanges::new(7);
        exchanges.mount(&setting.server);
        Self { setting, exchanges }
    }

    fn run<'a>(&self, more: impl IntoIterator<Item = &'a str>) -> Omlsp {
        let mut omlsp = self.setting.run(more);
        for name in [
            "KUCOIN_URL",
            "BINANCE_URL",
            "COINBASE_URL",
            "COINLORE_URL",
            "BYBIT_URL",
        ] {
            omlsp = omlsp.env(name, self.setting.server.url());
        }
        omlsp
    }

    /// Runs in memory, then over a state; both must print the same but for the instants of the polls.
    fn once(&self) -> (Output, Output) {
        let ephemeral = self.run(["--once", "--ephemeral"]).run().expect_code(0);
        let kept = self.run(["--once"]).run().expect_code(0);
        (ephemeral, kept)
    }
}

fn rounded(number: f64, digits: i32) -> Value {
    json!((number * 10_f64.powi(digits)).round() / 10_f64.powi(digits))
}

fn without(rows: Vec<Value>, name: &str) -> Vec<Value> {
    let strip = |mut row: Value| {
        row.as_object_mut()
            .expect("a row is an object")
            .remove(name);
        row
    };
    rows.into_iter().map(strip).collect()
}

fn spread_percent(ticker: &Ticker) -> Value {
    let (buy, sell, last) = (
        ticker.buy.number(),
        ticker.sell.number(),
        ticker.last.number(),
    );
    rounded(100.0 * (sell - buy) / last, 4)
}

#[test]
fn tickers_are_polled_computed_and_kept() {
    let example = Example::new("01_tickers.sql", "");
    let (ephemeral, kept) = example.once();
    let tickers = example.exchanges.kucoin_tickers();
    let expected: Vec<Value> = tickers
        .iter()
        .filter(|ticker| ticker.symbol.starts_with("BTC-"))
        .map(|ticker| {
            let (symbol, last) = (&ticker.symbol, ticker.last.number());
            json!({"symbol": symbol, "last": last, "spread_percent": spread_percent(ticker)})
        })
        .collect();
    assert!(!expected.is_empty());
    for output in [&ephemeral, &kept] {
        assert_rows(
            &without(output.json_lines(), "polled_at"),
            &expected,
            output,
        );
    }
    let all: Vec<Value> = tickers
        .iter()
        .map(|ticker| {
            json!({
                "symbol": ticker.symbol, "buy": ticker.buy.number(), "sell": ticker.sell.number(),
                "last": ticker.last.number(), "volume": ticker.volume.number(),
                "spread_percent": spread_percent(ticker),
            })
        })
        .collect();
    let rows = example.setting.rows("FROM tickers");
    assert_rows(&without(rows, "polled_at"), &all, &kept);
    let instants = example
        .setting
        .rows("SELECT DISTINCT polled_at FROM tickers");
    let printed = &kept.json_lines()[0]["polled_at"];
    assert_eq!(instants.len(), 1, "one poll has one instant");
    // The one is written with its fraction in groups of three digits, the other without trailing zeros.
    let instant = |value: &Value| {
        let text = value.as_str().expect("a timestamp is text").to_owned();
        let text = text.replace(' ', "T");
        NaiveDateTime::parse_from_str(text.trim_end_matches('Z'), "%Y-%m-%dT%H:%M:%S%.f")
            .expect("a timestamp is ISO 8601")
    };
    assert_eq!(instant(printed), instant(&instants[0]["polled_at"]));
}

#[test]
fn candles_are_looked_up_for_each_market() {
    let example = Example::new("02_candles.sql", "");
    let output = example.run(["--once", "--ephemeral"]).run().expect_code(0);
    assert_eq!(
        example.setting.server.count_of("/api/v1/market/allTickers"),
        1
    );
    let questions = example.setting.server.requests_of("/api/v1/market/candles");
    assert_eq!(questions.len(), 2, "one request a market\n{output}");
    let mut expected = Vec::new();
    for question in &questions {
        let symbol = question.param("symbol").expect("a market is asked for");
        assert_eq!(question.param("type"), Some("1min"));
        let second = |name| -> i64 { question.param(name).unwrap().parse().unwrap() };
        let (start, end) = (second("startAt"), second("endAt"));
        assert_eq!(end - start, 300);
        for candle in example.exchanges.kucoin_candles(symbol, start, end) {
            let opened =
                chrono::DateTime::from_timestamp(candle.time_s, 0).expect("an instant of today");
            expected.push(json!({
                "symbol": symbol, "opened_at": opened.format("%Y-%m-%dT%H:%M:%S").to_string(),
                "open": candle.open.number(), "high": candle.high.number(),
                "low": candle.low.number(), "close": candle.close.number(),
            }));
        }
    }
    assert_eq!(expected.len(), 10, "five minutes of two markets");
    let rows = without(output.json_lines(), "age_s");
    let rows = rows.into_iter().map(|mut row| {
        let text = row["opened_at"].as_str().expect("a timestamp is text");
        row["opened_at"] = json!(text.trim_end_matches('Z'));
        row
    });
    assert_rows(&sorted(rows.collect()), &sorted(expected), &output);
    for row in output.json_lines() {
        let age = row["age_s"]
            .as_i64()
            .expect("a generated column over the answer");
        assert!((0..=360).contains(&age), "{row}");
    }
}

#[test]
fn one_source_feeds_three_views() {
    let wide =
        "CREATE SINK keep_wide FROM wide_spreads WITH (connector = 'file', path = 'wide.json');";
    let example = Example::new("03_shared_source.sql", wide);
    let output = example.run(["--once"]).run().expect_code(0);
    assert_eq!(
        example.setting.server.request_count(),
        1,
        "polled once, however many read it"
    );
    let tickers = example.exchanges.kucoin_tickers();
    let movers: Vec<Value> = tickers
        .iter()
        .filter(|ticker| ticker.change_rate.number().abs() > 0.01 && ticker.symbol.ends_with("-USDT"))
        .map(|ticker| {
            let percent = rounded(100.0 * ticker.change_rate.number(), 2);
            json!({"symbol": ticker.symbol, "last": ticker.last.number(), "change_percent": percent})
        })
        .collect();
    assert!(!movers.is_empty());
    let (changes, plain): (Vec<Value>, Vec<Value>) = output
        .json_lines()
        .into_iter()
        .partition(|row| row.get("op").is_some());
    assert_rows(&without(plain, "taken_at"), &movers, &output);
    let activity = ["USDT", "USDC"].map(|quote| {
        let rates: Vec<f64> = tickers
            .iter()
            .filter(|ticker| ticker.symbol.ends_with(&format!("-{quote}")))
            .map(|ticker| ticker.change_rate.number())
            .collect();
        (
            quote,
            rates.len(),
            rates.iter().sum::<f64>() / rates.len() as f64,
        )
    });
    assert_eq!(changes.len(), 2, "{output}");
    for (quote, count, mean) in activity {
        let row = changes
            .iter()
            .find(|row| row["quote"] == quote)
            .expect("the quote has a group");
        assert_eq!(
            (&row["op"], &row["tickers"]),
            (&json!("insert"), &json!(count)),
            "{row}"
        );
        let shown = row["change_rate_mean"]
            .as_f64()
            .expect("a mean is a number");
        assert!((shown - mean).abs() < 1e-12, "{row}");
    }
    let wide: Vec<Value> = tickers
        .iter()
        .filter(|ticker| ticker.sell.number() > 1.001 * ticker.buy.number())
        .map(|ticker| json!(ticker.symbol))
        .collect();
    let kept = example
        .setting
        .project
        .read("wide-000001.json")
        .expect("the sink wrote its file");
    let kept: Vec<Value> = kept
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(super::setting::column(&kept, "symbol"), wide);
}

#[test]
fn every_kind_of_pagination_reads_all_pages() {
    let keep = "CREATE SINK keep_coins FROM coins WITH (connector = 'file', path = 'coins.json');
        CREATE SINK keep_coinbase FROM coinbase_trades WITH (connector = 'file', path = 'coinbase.json');
        CREATE SINK keep_bybit FROM bybit_instruments WITH (connector = 'file', path = 'bybit.json');";
    let mut example = Example::new("04_pagination.sql", keep);
    example.exchanges.coin_count = 350;
    example.exchanges.symbol_count = 1203;
    example.exchanges.trade_count = 3500;
    example.exchanges.mount(&example.setting.server);
    let output = example.run(["--once"]).run().expect_code(0);
    let kept = |name: &str| -> Vec<Value> {
        let text = example
            .setting
            .project
            .read(name)
            .expect("the sink wrote its file");
        text.lines()
            .map(|line| serde_json::from_str(line).expect("a line is JSON"))
            .collect()
    };
    // Page-based: three pages of 100 and no more, since `max_pages` says so, which the log tells.
    let coins: Vec<Value> = (example.exchanges.coins().iter().take(300))
        .map(|coin| {
            json!({
                "id": coin.id, "symbol": coin.symbol, "name": coin.name, "rank": coin.rank,
                "price_usd": coin.price_usd.number(), "percent_change_24h": coin.percent_change_24h.number(),
            })
        })
        .collect();
    assert_rows(&kept("coins-000001.json"), &coins, &output);
    assert!(output.stderr.contains("max_pages"), "{output}");
    // Header-based: the latest 2,000 trades, newest first.
    let trades: Vec<Value> = (1501..=3500).rev().map(|id: u64| json!(id)).collect();
    let coinbase = kept("coinbase-000001.json");
    assert_eq!(super::setting::column(&coinbase, "trade_id"), trades);
    let newest = example.exchanges.trade("BTC-USD", 3500);
    assert_eq!(coinbase[0]["price"].as_f64(), Some(newest.price.number()));
    assert_eq!(coinbase[0]["size"].as_f64(), Some(newest.size.number()));
    // Body link: to the end, the token encoded again.
    assert_eq!(kept("bybit-000001.json").len(), 1203);
    let pages = example
        .setting
        .server
        .requests_of("/v5/market/instruments-info");
    let cursors: Vec<Option<&str>> = pages.iter().map(|page| page.param("cursor")).collect();
    assert_eq!(cursors, [None, Some("first%3A500"), Some("first%3A1000")]);
    // Cursor-based with an inclusive cursor: each trade once, and an end.
    let trades = example
        .setting
        .rows("SELECT count(*) AS n, count(DISTINCT a) AS d, max(a) AS last FROM binance_trades");
    assert_eq!(
        trades,
        [json!({"n": 1000, "d": 1000, "last": 3500})],
        "{output}"
    );
    let minutes = example.setting.rows(
        "SELECT count(*) AS n FROM (FROM binance_minutes EXCEPT ALL SELECT date_trunc('minute', made_at), \
         count(*), sum(price * quantity) FROM binance_trades GROUP BY 1)",
    );
    assert_eq!(minutes.len(), 1);
    let top: Vec<Value> = output
        .json_lines()
        .into_iter()
        .filter(|row| row.get("rank").is_some())
        .collect();
    assert_eq!(top.len(), 10, "{output}");
}

#[test]
fn a_poll_of_cursor_pages_goes_on_where_the_last_one_ended() {
    let mut example = Example::new("04_pagination.sql", "");
    example.exchanges.trade_count = 3500;
    example.exchanges.mount(&example.setting.server);
    example.run(["--once"]).run().expect_code(0);
    example.exchanges.trade_count = 4700;
    example.exchanges.mount(&example.setting.server);
    let asked = example.setting.server.count_of("/api/v3/aggTrades");
    let output = example.run(["--once"]).run().expect_code(0);
    let later = &example.setting.server.requests_of("/api/v3/aggTrades")[asked..];
    assert_eq!(later[0].param("fromId"), Some("3500"), "{output}");
    let trades = example
        .setting
        .rows("SELECT count(*) AS n, min(a) AS first, max(a) AS last FROM binance_trades");
    assert_eq!(trades, [json!({"n": 2200, "first": 2501, "last": 4700})]);
    let sum = "SELECT sum(trades)::BIGINT AS n FROM binance_minutes";
    assert_eq!(example.setting.rows(sum), [json!({"n": 2200})]);
}

#[test]
fn a_secret_is_sent_and_shown_nowhere() {
    let example = Example::new("05_secret.sql", "");
    let secret = "hidden-0f6e1c";
    let output = example
        .run(["--once"])
        .env("COINBASE_KEY", secret)
        .run()
        .expect_code(0);
    let request = example.setting.server.last_request();
    assert_eq!(request.header("CB-ACCESS-KEY"), Some(secret));
    let expected: Vec<Value> = (2401..=2500)
        .rev()
        .map(|id| example.exchanges.trade("ETH-USD", id))
        .filter(|trade| trade.size.number() >= 1.0)
        .map(|trade| json!({"price": trade.price.number(), "size": trade.size.number()}))
        .collect();
    assert!(!expected.is_empty());
    assert_rows(&without(output.json_lines(), "time"), &expected, &output);
    assert!(
        !output.stdout.contains(secret) && !output.stderr.contains(secret),
        "{output}"
    );
    let files = std::fs::read_dir(example.setting.project.path().join(".omlsp")).unwrap();
    let state: Vec<u8> = files
        .flat_map(|file| std::fs::read(file.unwrap().path()).unwrap())
        .collect();
    let on_disk = |text: &str| {
        let mut pieces = state.windows(text.len());
        pieces.any(|piece| piece == text.as_bytes())
    };
    assert!(on_disk("CB-ACCESS-KEY") && !on_disk(secret), "in clear");
}
