//! Where to connect: one address, or one per row of `on_start_query`.
//!
//! Two rows of one address are one connection: it would bring every message twice.

use std::collections::HashMap;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};
use url::Url;

use super::options::{UrlPiece, WsOptions};
use crate::secret::Secret;

/// Everything but the unreserved characters of RFC 3986 section 2.3.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Each connection takes a file descriptor and buffers; more rows than this are hardly meant.
pub(super) const CONNECTIONS_MAX: usize = 4096;

/// What to connect to, and how to call it.
#[derive(Clone, Debug)]
pub(super) struct Address {
    /// May hold keys.
    pub url: Secret,
    /// The values of the row, such as `symbol=BTCUSDT`; empty for an only connection.
    pub label: String,
}

/// The addresses of the rows, by URL, and the rows that have none.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    pub by_url: HashMap<String, Address>,
    /// What is wrong with which row.
    pub faults: Vec<String>,
}

impl Addresses {
    /// Returns the address of a source without a query.
    pub fn single(options: &WsOptions) -> Self {
        let mut addresses = Self::default();
        addresses.add(options, &Map::new());
        addresses
    }

    /// Returns the addresses of the rows of the query.
    pub fn of_rows(options: &WsOptions, rows: &[Map<String, Value>]) -> Self {
        let mut addresses = Self::default();
        for row in rows {
            if addresses.by_url.len() == CONNECTIONS_MAX {
                let fault = format!(
                    "`on_start_query` gives more than {CONNECTIONS_MAX} addresses, the rest are left out"
                );
                addresses.faults.push(fault);
                break;
            }
            addresses.add(options, row);
        }
        addresses
    }

    fn add(&mut self, options: &WsOptions, row: &Map<String, Value>) {
        match address(&options.url_pieces, row) {
            Ok(address) => {
                self.by_url.insert(address.url.expose().to_owned(), address);
            }
            Err(fault) => self.faults.push(fault),
        }
    }
}

fn address(pieces: &[UrlPiece], row: &Map<String, Value>) -> Result<Address, String> {
    let mut url = String::new();
    let mut labels: Vec<String> = Vec::new();
    for piece in pieces {
        match piece {
            UrlPiece::Literal(literal) => url.push_str(literal),
            UrlPiece::Column(name) => {
                let value = row
                    .iter()
                    .find(|(column, _)| column.eq_ignore_ascii_case(name))
                    .and_then(|(_, value)| text_of(value))
                    .ok_or_else(|| {
                        let row = Value::Object(row.clone());
                        format!("a row of `on_start_query` has no `{name}` for the url: {row}")
                    })?;
                url.extend(utf8_percent_encode(&value, RESERVED));
                let label = format!("{name}={value}");
                if !labels.contains(&label) {
                    labels.push(label);
                }
            }
        }
    }
    // The options were checked with other values, and an encoded value cannot break an address.
    let url =
        Url::parse(&url).map_err(|error| format!("the url of a row is not valid: {error}"))?;
    Ok(Address {
        url: Secret::new(url),
        label: labels.join(", "),
    })
}

/// Returns a value as it is written in a URL; `None` for NULL.
fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => match number.as_f64() {
            // Rust prints the shortest decimal that reads back, never with an exponent.
            Some(float) if number.is_f64() => Some(float.to_string()),
            _ => Some(number.to_string()),
        },
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::connector::testing::take;

    fn of_rows(rows: Value) -> (Vec<String>, Vec<String>, Vec<String>) {
        let with = "url = 'wss://h/$symbol@t?id=$id', on_start_query = 'SELECT 1'";
        let options = take(with, WsOptions::take).unwrap();
        let rows: Vec<Map<String, Value>> = serde_json::from_value(rows).unwrap();
        let addresses = Addresses::of_rows(&options, &rows);
        let mut urls: Vec<String> = addresses.by_url.keys().cloned().collect();
        urls.sort();
        let labels = urls.iter().map(|url| addresses.by_url[url].label.clone());
        (urls.clone(), labels.collect(), addresses.faults)
    }

    #[test]
    fn values_are_percent_encoded_and_equal_addresses_are_one() {
        let (urls, labels, faults) = of_rows(json!([
            {"SYMBOL": "a/b?c&d e#ü", "id": 1e21},
            {"symbol": "x", "id": 7},
            {"symbol": "x", "id": "7"},
            {"symbol": null, "id": 7},
            {"id": 7},
        ]));
        let expected = [
            "wss://h/a%2Fb%3Fc%26d%20e%23%C3%BC@t?id=1000000000000000000000",
            "wss://h/x@t?id=7",
        ];
        assert_eq!(urls, expected);
        assert_eq!(labels[1], "symbol=x, id=7");
        assert_eq!(faults.len(), 2);
        assert!(faults[0].contains("has no `symbol` for the url: {\"symbol\":null,\"id\":7}"));
    }

    #[test]
    fn connections_are_bounded() {
        let rows: Vec<Value> = (0..5000)
            .map(|id| json!({"symbol": "s", "id": id}))
            .collect();
        let (urls, _, faults) = of_rows(Value::Array(rows));
        assert_eq!(urls.len(), CONNECTIONS_MAX);
        assert!(faults[0].contains("more than 4096 addresses"));
    }
}
