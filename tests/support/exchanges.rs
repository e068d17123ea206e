//! The answers of the exchanges that the example pipelines read, in their documented shapes.
//!
//! Everything follows from a seed, so a test can say which rows it expects. Knows nothing of sockets:
//! [`Exchanges::mount`] hangs the answers into a [`Server`].

use serde_json::{Value, json};

use super::http::{Reply, Request, Server};

/// The first instant of all data, in milliseconds: 2026-01-01T00:00:00Z.
pub const START_MS: i64 = 1_767_225_600_000;

/// The most rows one CoinLore page has (www.coinlore.com/cryptocurrency-data-api).
pub const COINLORE_LIMIT_MAX: usize = 100;

/// The most rows one Binance answer has ("Compressed/Aggregate trades list": default 500, at most 1000).
pub const BINANCE_LIMIT_MAX: usize = 1000;

const BINANCE_LIMIT_DEFAULT: usize = 500;

/// The default and the maximum of Coinbase Exchange ("Pagination").
pub const COINBASE_LIMIT_MAX: usize = 1000;

/// The default page of Bybit's instruments-info.
const BYBIT_LIMIT_DEFAULT: usize = 500;

/// The most candles of one KuCoin answer.
const KUCOIN_CANDLES_MAX: i64 = 1500;

const BASES: [&str; 16] = [
    "BTC", "ETH", "SOL", "XRP", "ADA", "DOGE", "TRX", "DOT", "LTC", "LINK", "AVAX", "ATOM", "UNI",
    "XLM", "NEAR", "ALGO",
];

/// An amount of money or goods in units of 1/10000, so that its text and its number never disagree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Amount(pub i64);

impl Amount {
    /// Returns the nearest double of the printed text.
    pub fn number(self) -> f64 {
        self.to_string()
            .parse()
            .expect("digits and a point are a number")
    }
}

impl std::fmt::Display for Amount {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let units = self.0.unsigned_abs();
        write!(formatter, "{sign}{}.{:04}", units / 10_000, units % 10_000)
    }
}

/// One row of KuCoin's `allTickers`, as far as it varies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticker {
    /// `BTC-USDT`
    pub symbol: String,
    pub buy: Amount,
    pub sell: Amount,
    pub last: Amount,
    pub high: Amount,
    pub low: Amount,
    pub volume: Amount,
    /// A share, `0.01` for one percent.
    pub change_rate: Amount,
}

/// One candle of KuCoin, at the start of a minute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candle {
    pub time_s: i64,
    pub open: Amount,
    pub close: Amount,
    pub high: Amount,
    pub low: Amount,
    pub volume: Amount,
    pub turnover: Amount,
}

/// One trade, of Binance (aggregate) or Coinbase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trade {
    pub id: u64,
    pub price: Amount,
    pub size: Amount,
    pub time_ms: i64,
    pub buyer_is_maker: bool,
}

/// One coin of CoinLore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coin {
    /// A number, sent as text.
    pub id: usize,
    pub symbol: String,
    pub name: String,
    pub rank: usize,
    pub price_usd: Amount,
    pub percent_change_24h: Amount,
}

type Answer = fn(&Exchanges, &Request) -> Reply;

/// All the data there is, made on demand from a seed.
#[derive(Clone, Debug)]
pub struct Exchanges {
    pub seed: u64,
    pub symbol_count: usize,
    /// Trades of each symbol, with ids `1..=trade_count`.
    pub trade_count: u64,
    pub coin_count: usize,
}

impl Exchanges {
    /// Makes data of a handy size: 40 symbols, 2,500 trades each, 250 coins.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            symbol_count: 40,
            trade_count: 2500,
            coin_count: 250,
        }
    }

    /// Answers all exchanges' paths on one server.
    pub fn mount(&self, server: &Server) {
        let routes: [(&str, Answer); 8] = [
            ("/api/v1/market/allTickers", |all, _| {
                Reply::value(&all.kucoin_tickers_json())
            }),
            ("/api/v1/market/candles", Self::kucoin_candles_reply),
            ("/api/v3/aggTrades", Self::binance_trades_reply),
            ("/api/v3/ticker/24hr", Self::binance_ticker_reply),
            ("/products/*", Self::coinbase_trades_reply),
            ("/api/tickers/", Self::coinlore_reply),
            ("/api/tickers", Self::coinlore_reply),
            ("/v5/market/instruments-info", Self::bybit_reply),
        ];
        for (path, answer) in routes {
            let data = self.clone();
            server.on("GET", path, move |request| answer(&data, request));
        }
    }

    /// Returns a number of `low..high` that depends on the seed, a topic and two indices only.
    fn draw(&self, topic: &str, indices: (u64, u64), range: std::ops::Range<i64>) -> i64 {
        let mut state = self.seed;
        for byte in topic.bytes() {
            state = mix(state ^ u64::from(byte));
        }
        state = mix(mix(state ^ indices.0) ^ indices.1.rotate_left(32));
        let width = range.end.abs_diff(range.start);
        range.start + i64::try_from(state % width).expect("the width of a range of i64")
    }

    /// Returns base and quote of the symbol at `index`: `BTC`, `USDT`; then `BTC1`, … after 32.
    fn pair(index: usize) -> (String, &'static str) {
        let quote = if (index / BASES.len()).is_multiple_of(2) {
            "USDT"
        } else {
            "USDC"
        };
        let round = index / (2 * BASES.len());
        let suffix = if round == 0 {
            String::new()
        } else {
            round.to_string()
        };
        (format!("{}{suffix}", BASES[index % BASES.len()]), quote)
    }

    /// Returns KuCoin's symbols, `BTC-USDT` first.
    pub fn kucoin_symbols(&self) -> Vec<String> {
        let name = |index| {
            let (base, quote) = Self::pair(index);
            format!("{base}-{quote}")
        };
        (0..self.symbol_count).map(name).collect()
    }

    /// Returns Binance's symbols, `BTCUSDT` first.
    pub fn binance_symbols(&self) -> Vec<String> {
        self.kucoin_symbols()
            .iter()
            .map(|symbol| symbol.replace('-', ""))
            .collect()
    }

    /// Returns the rows of KuCoin's `allTickers`, in order.
    pub fn kucoin_tickers(&self) -> Vec<Ticker> {
        let symbols = self.kucoin_symbols().into_iter().enumerate();
        symbols
            .map(|(index, symbol)| self.kucoin_ticker(index, symbol))
            .collect()
    }

    fn kucoin_ticker(&self, index: usize, symbol: String) -> Ticker {
        let last = self.draw("ticker", (index as u64, 0), 10_000..900_000_000);
        let spread = self.draw("spread", (index as u64, 0), 1..last / 1000 + 2);
        Ticker {
            symbol,
            buy: Amount(last - spread),
            sell: Amount(last + spread),
            last: Amount(last),
            high: Amount(last + last / 20),
            low: Amount(last - last / 20),
            volume: Amount(self.draw("volume", (index as u64, 0), 1..99_000_000)),
            change_rate: Amount(self.draw("change", (index as u64, 0), -900..900)),
        }
    }

    /// Returns KuCoin's answer ("Get All Tickers"): `code`, `data.time`, `data.ticker[]`, numbers as text.
    pub fn kucoin_tickers_json(&self) -> Value {
        let rows: Vec<Value> = self
            .kucoin_tickers()
            .iter()
            .map(kucoin_ticker_json)
            .collect();
        json!({"code": "200000", "data": {"time": START_MS, "ticker": rows}})
    }

    /// Returns the candles of the minutes that start in `start_s..end_s`, oldest first.
    pub fn kucoin_candles(&self, symbol: &str, start_s: i64, end_s: i64) -> Vec<Candle> {
        let first = start_s.div_euclid(60) + i64::from(start_s.rem_euclid(60) > 0);
        let last = (first + KUCOIN_CANDLES_MAX)
            .min(end_s.div_euclid(60) + i64::from(end_s.rem_euclid(60) > 0));
        (first..last)
            .map(|minute| self.kucoin_candle(symbol, minute))
            .collect()
    }

    fn kucoin_candle(&self, symbol: &str, minute: i64) -> Candle {
        let topic = format!("candle {symbol}");
        let draw = |what: u64, range| self.draw(&topic, (minute.unsigned_abs(), what), range);
        let open = draw(0, 10_000..900_000_000);
        let close = open + draw(1, -open / 100..open / 100 + 1);
        let volume = draw(2, 1..9_000_000);
        Candle {
            time_s: minute * 60,
            open: Amount(open),
            close: Amount(close),
            high: Amount(open.max(close) + draw(3, 0..10_000)),
            low: Amount(open.min(close) - draw(4, 0..10_000)),
            volume: Amount(volume),
            turnover: Amount(draw(5, 1..900_000_000)),
        }
    }

    /// `symbol`, `startAt`, `endAt` (seconds), `type`; newest first; an unknown symbol is KuCoin's 400100.
    fn kucoin_candles_reply(&self, request: &Request) -> Reply {
        let symbol = request.param("symbol").unwrap_or_default();
        if !self.kucoin_symbols().iter().any(|known| known == symbol)
            || request.param("type").is_none()
        {
            let body = json!({"code": "400100", "msg": "This pair is not provided at present"});
            return Reply::value(&body).with_status(400);
        }
        let seconds = |name| request.param(name).and_then(|text| text.parse().ok());
        let end = seconds("endAt").unwrap_or(START_MS / 1000);
        let start = seconds("startAt").unwrap_or(end - 100 * 60);
        let candles = self.kucoin_candles(symbol, start, end);
        let rows: Vec<Value> = candles.iter().rev().map(kucoin_candle_json).collect();
        Reply::value(&json!({"code": "200000", "data": rows}))
    }

    /// Returns a symbol's trade with an id of `1..=trade_count`.
    pub fn trade(&self, symbol: &str, id: u64) -> Trade {
        let topic = format!("trade {symbol}");
        let offset_ms = i64::try_from(id).expect("ids are small") * 250;
        Trade {
            id,
            price: Amount(self.draw(&topic, (id, 0), 600_000_000..700_000_000)),
            size: Amount(self.draw(&topic, (id, 1), 1..50_000)),
            time_ms: START_MS + offset_ms,
            buyer_is_maker: self.draw(&topic, (id, 2), 0..2) == 1,
        }
    }

    /// Returns all of a symbol's trades, by id.
    pub fn trades(&self, symbol: &str) -> Vec<Trade> {
        (1..=self.trade_count)
            .map(|id| self.trade(symbol, id))
            .collect()
    }

    /// `symbol`, `fromId` (that trade included), `limit`; without `fromId` the latest, oldest first.
    fn binance_trades_reply(&self, request: &Request) -> Reply {
        let Some(symbol) = self.binance_symbol(request) else {
            return binance_unknown_symbol();
        };
        let limit = limit_of(request, BINANCE_LIMIT_DEFAULT, BINANCE_LIMIT_MAX) as u64;
        let latest = (self.trade_count + 1).saturating_sub(limit).max(1);
        let from = request
            .param("fromId")
            .and_then(|text| text.parse().ok())
            .unwrap_or(latest)
            .max(1);
        let ids = from..(from + limit).min(self.trade_count + 1);
        let rows: Vec<Value> = ids
            .map(|id| binance_trade_json(&self.trade(&symbol, id)))
            .collect();
        Reply::value(&Value::Array(rows))
    }

    fn binance_symbol(&self, request: &Request) -> Option<String> {
        let wanted = request.param("symbol")?;
        self.binance_symbols()
            .into_iter()
            .find(|symbol| symbol == wanted)
    }

    /// With `symbol` one object, without it an array of all.
    fn binance_ticker_reply(&self, request: &Request) -> Reply {
        let symbols = self.binance_symbols();
        if request.param("symbol").is_none() {
            let rows = symbols
                .iter()
                .enumerate()
                .map(|(index, symbol)| self.binance_ticker(index, symbol));
            return Reply::value(&Value::Array(rows.collect()));
        }
        let Some(wanted) = self.binance_symbol(request) else {
            return binance_unknown_symbol();
        };
        let index = symbols
            .iter()
            .position(|symbol| *symbol == wanted)
            .expect("found above");
        Reply::value(&self.binance_ticker(index, &wanted))
    }

    fn binance_ticker(&self, index: usize, symbol: &str) -> Value {
        let ticker = self.kucoin_ticker(index, symbol.to_owned());
        json!({
            "symbol": symbol, "priceChange": "0.0000", "priceChangePercent": "0.000",
            "lastPrice": ticker.last.to_string(), "bidPrice": ticker.buy.to_string(),
            "askPrice": ticker.sell.to_string(), "highPrice": ticker.high.to_string(),
            "lowPrice": ticker.low.to_string(), "volume": ticker.volume.to_string(),
            "quoteVolume": ticker.volume.to_string(), "openTime": START_MS - 86_400_000, "closeTime": START_MS, "count": 76,
        })
    }

    /// Returns the `number`th `24hrTicker` event of Binance's stream `<symbol>@ticker`.
    pub fn binance_stream_ticker(&self, symbol: &str, number: u64) -> Value {
        let topic = format!("stream {symbol}");
        let last = self.draw(&topic, (number, 0), 10_000..900_000_000);
        let event_ms = START_MS + i64::try_from(number).expect("numbers are small") * 1000;
        json!({
            "e": "24hrTicker", "E": event_ms, "s": symbol.to_uppercase(),
            "c": Amount(last).to_string(), "b": Amount(last - 1).to_string(), "a": Amount(last + 1).to_string(),
            "v": Amount(self.draw(&topic, (number, 1), 1..9_000_000)).to_string(),
            "n": number,
        })
    }

    /// `/products/<id>/trades?limit&before&after`, newest first, cursors in `cb-before` and `cb-after`;
    /// the last page has no `cb-after`.
    fn coinbase_trades_reply(&self, request: &Request) -> Reply {
        let product = request
            .path
            .strip_prefix("/products/")
            .and_then(|rest| rest.strip_suffix("/trades"));
        let Some(product) = product else {
            return Reply::value(&json!({"message": "NotFound"})).with_status(404);
        };
        let limit = limit_of(request, COINBASE_LIMIT_MAX, COINBASE_LIMIT_MAX) as u64;
        let cursor = |name| {
            request
                .param(name)
                .and_then(|text| text.parse::<u64>().ok())
        };
        let newest = cursor("after").map_or(self.trade_count, |after| after.saturating_sub(1));
        let newest = newest.min(self.trade_count);
        let oldest = (newest + 1)
            .saturating_sub(limit)
            .max(1)
            .max(cursor("before").unwrap_or(0) + 1);
        let rows: Vec<Value> = (oldest..=newest)
            .rev()
            .map(|id| coinbase_trade_json(&self.trade(product, id)))
            .collect();
        let empty = rows.is_empty();
        let mut reply = Reply::value(&Value::Array(rows));
        if !empty {
            reply = reply.header("cb-before", newest.to_string());
        }
        if !empty && oldest > 1 {
            reply = reply.header("cb-after", oldest.to_string());
        }
        reply
    }

    /// Returns the coins by rank, 1 first.
    pub fn coins(&self) -> Vec<Coin> {
        (0..self.coin_count).map(|index| self.coin(index)).collect()
    }

    fn coin(&self, index: usize) -> Coin {
        Coin {
            id: 90 + index * 7,
            symbol: Self::pair(index).0,
            name: format!("Coin {}", index + 1),
            rank: index + 1,
            price_usd: Amount(self.draw("coin", (index as u64, 0), 1..900_000_000)),
            percent_change_24h: Amount(self.draw("coin", (index as u64, 1), -200_000..200_000)),
        }
    }

    /// `start` (an offset) and `limit`; a start after the end gives an empty `data`.
    fn coinlore_reply(&self, request: &Request) -> Reply {
        let start = request
            .param("start")
            .and_then(|text| text.parse().ok())
            .unwrap_or(0);
        let limit = limit_of(request, COINLORE_LIMIT_MAX, COINLORE_LIMIT_MAX);
        let rows: Vec<Value> = (start..(start + limit).min(self.coin_count))
            .map(|index| coin_json(&self.coin(index)))
            .collect();
        let info = json!({"coins_num": self.coin_count, "time": START_MS / 1000});
        Reply::value(&json!({"data": rows, "info": info}))
    }

    /// `category`, `limit`, `cursor`; the next cursor is `result.nextPageCursor`, empty on the last page.
    fn bybit_reply(&self, request: &Request) -> Reply {
        let limit = limit_of(request, BYBIT_LIMIT_DEFAULT, 1000);
        let cursor = request.param("cursor").unwrap_or_default();
        let start = cursor
            .strip_prefix("first%3A")
            .and_then(|text| text.parse().ok())
            .unwrap_or(0);
        let end = (start + limit).min(self.symbol_count);
        let rows: Vec<Value> = (start..end).map(bybit_instrument_json).collect();
        // The cursor holds a percent sign, as Bybit's own do: it has to be encoded again.
        let next = if end < self.symbol_count {
            format!("first%3A{end}")
        } else {
            String::new()
        };
        let category = request.param("category").unwrap_or("linear");
        Reply::value(&json!({
            "retCode": 0, "retMsg": "OK", "time": START_MS,
            "result": {"category": category, "list": rows, "nextPageCursor": next},
        }))
    }
}

/// The output function of SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number
/// generators", OOPSLA 2014).
fn mix(state: u64) -> u64 {
    let state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

fn limit_of(request: &Request, default: usize, max: usize) -> usize {
    let asked = request.param("limit").and_then(|text| text.parse().ok());
    asked.unwrap_or(default).clamp(1, max)
}

fn binance_unknown_symbol() -> Reply {
    Reply::value(&json!({"code": -1121, "msg": "Invalid symbol."})).with_status(400)
}

fn kucoin_ticker_json(ticker: &Ticker) -> Value {
    json!({
        "symbol": ticker.symbol, "symbolName": ticker.symbol,
        "buy": ticker.buy.to_string(), "bestBidSize": "1.5", "sell": ticker.sell.to_string(),
        "bestAskSize": "2.5", "changeRate": ticker.change_rate.to_string(), "changePrice": "1.1",
        "high": ticker.high.to_string(), "low": ticker.low.to_string(),
        "vol": ticker.volume.to_string(), "volValue": "123456.789", "last": ticker.last.to_string(),
        "averagePrice": null, "takerFeeRate": "0.001", "makerFeeRate": "0.001",
        "takerCoefficient": "1", "makerCoefficient": "1",
    })
}

/// `[time, open, close, high, low, volume, turnover]`, all of them text ("Get Klines").
fn kucoin_candle_json(candle: &Candle) -> Value {
    let amounts = [
        candle.open,
        candle.close,
        candle.high,
        candle.low,
        candle.volume,
        candle.turnover,
    ];
    let texts =
        std::iter::once(candle.time_s.to_string()).chain(amounts.iter().map(Amount::to_string));
    Value::Array(texts.map(Value::String).collect())
}

fn binance_trade_json(trade: &Trade) -> Value {
    json!({
        "a": trade.id, "p": trade.price.to_string(), "q": trade.size.to_string(),
        "f": trade.id * 2, "l": trade.id * 2 + 1, "T": trade.time_ms, "m": trade.buyer_is_maker, "M": true,
    })
}

fn coinbase_trade_json(trade: &Trade) -> Value {
    let time = chrono::DateTime::from_timestamp_millis(trade.time_ms).expect("an instant of 2026");
    json!({
        "trade_id": trade.id, "side": if trade.buyer_is_maker { "buy" } else { "sell" },
        "size": trade.size.to_string(), "price": trade.price.to_string(),
        "time": time.to_rfc3339_opts(chrono::SecondsFormat::Micros, true),
    })
}

fn coin_json(coin: &Coin) -> Value {
    json!({
        "id": coin.id.to_string(), "symbol": coin.symbol, "name": coin.name,
        "nameid": coin.name.to_lowercase().replace(' ', "-"), "rank": coin.rank,
        "price_usd": coin.price_usd.to_string(), "percent_change_24h": coin.percent_change_24h.to_string(),
        "percent_change_1h": "0.10", "percent_change_7d": "-1.10", "price_btc": "0.5",
        "market_cap_usd": "1000.00", "volume24": 5000.25, "volume24a": 4000.75,
        "csupply": "100.00", "tsupply": "100", "msupply": "200",
    })
}

fn bybit_instrument_json(index: usize) -> Value {
    let (base, quote) = Exchanges::pair(index);
    json!({
        "symbol": format!("{base}{quote}"), "contractType": "LinearPerpetual", "status": "Trading",
        "baseCoin": base, "quoteCoin": quote, "launchTime": START_MS.to_string(), "priceScale": "2",
    })
}
