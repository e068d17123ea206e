//! An array walked in parts gives what it gives in one.

use super::{column, prices, shown};
use crate::batch::datatypes::DataType;
use crate::format::decode::{Decoder, Page};
use crate::format::jq::{Filter, Split};
use crate::format::testing::Documents;

/// Decodes a body into so many parts; the texts of a fault, if it is one.
fn decoded(decoder: &Decoder, body: &str, parts: usize) -> Result<Page, String> {
    let mut decoder = decoder.clone();
    decoder.split = Split::into_parts(parts);
    let page = decoder.decode_page(body.as_bytes(), Some("b"), None);
    page.map_err(|error| format!("{error:#}"))
}

/// Compares the answers of one part and of several; returns how many rows there are, or none of a fault.
fn compare(decoder: &Decoder, body: &str) -> Option<usize> {
    let whole = decoded(decoder, body, 1);
    for parts in 2..5 {
        let cut = decoded(decoder, body, parts);
        match (&whole, cut) {
            (Ok(whole), Ok(cut)) => {
                assert_eq!(shown(&whole.decoded), shown(&cut.decoded), "{body}");
                assert_eq!(whole.row_count, cut.row_count, "{body}");
                assert_eq!(whole.is_empty, cut.is_empty, "{body}");
                assert_eq!(whole.last_cursor, cut.last_cursor, "{body}");
            }
            (Err(whole), Err(cut)) => assert_eq!(*whole, cut, "{body}"),
            (whole, cut) => panic!("{body}: {whole:?} but {cut:?}"),
        }
    }
    whole.ok().map(|page| page.row_count)
}

#[test]
fn odd_items_give_the_same_rows_in_parts() {
    let columns = vec![
        column("a", "VARCHAR", DataType::Utf8),
        column("b", "DOUBLE", DataType::Float64),
        column("c", "JSON", DataType::Utf8),
    ];
    let filters = [
        (".", ""),
        (".[]", ""),
        ("[.[] | {a, b}]", ""),
        (".[] | select(.a) | {a: .b, b: .a}", ""),
        (".a", "a"),
        (".a[] | .[]?", "a"),
        (".a[:9][]", "a"),
    ];
    let decoders = filters.map(|(text, key)| {
        let filter = Filter::compile(text).unwrap();
        (Decoder::new(columns.clone(), filter, None), key)
    });
    let mut documents = Documents::new(31);
    let mut random = fastrand::Rng::with_seed(32);
    let (mut rows, mut faults) = (0, 0);
    for _ in 0..60 {
        let mut items = String::new();
        for number in 0..20 {
            let comma = if number > 0 { ", " } else { "" };
            match random.u8(..3) {
                0 => items.push_str(&format!("{comma}{}", documents.document())),
                // As the others begin, and with what looks like such a beginning inside.
                1 => items.push_str(&format!(r#"{comma}{{"a":[1,{{"a":2}}],"b":"x"}}"#)),
                _ => items.push_str(&format!(r#"{comma}{{"a":"y, {{\"a\":","b":{number}}}"#)),
            }
        }
        for (decoder, key) in &decoders {
            let array = format!("[{items}]");
            let mut body = match (key.is_empty(), random.u8(..4)) {
                (true, _) => array,
                // The key given twice: what came of the first is taken back.
                (false, 0) => format!(r#"{{"a": {array}, "{key}":[{{"a":1}}]}}"#),
                (false, _) => format!(r#"{{"{key}": {array}, "x": [{{"a":1}}, {{"a":2}}]}}"#),
            };
            if random.u8(..6) == 0 {
                let at = random.usize(..body.len());
                let at = (at..).find(|at| body.is_char_boundary(*at)).unwrap();
                body.truncate(at);
            }
            match compare(decoder, &body) {
                Some(count) => rows += count,
                None => faults += 1,
            }
        }
    }
    assert!(rows > 3_000 && faults > 20, "{rows} {faults}");
}

#[test]
fn rows_that_follow_an_array_in_parts_stand_behind_it() {
    let row = |number: usize| format!(r#"{{"symbol":"S{number}","price":{number}}}"#);
    let rows: Vec<String> = (0..9).map(row).collect();
    let array = format!("[{}]", rows.join(","));
    let decoder = Decoder::new(prices(), Filter::compile(".[]").unwrap(), None);
    assert_eq!(compare(&decoder, &format!("{array}\n{array}")), Some(18));
    assert_eq!(
        compare(&decoder, &format!("{array} [1, {}]", row(1))),
        Some(11)
    );
}
