//! Finds the PIVOT of a query that takes its columns from the rows.
//!
//! Called where DuckDB gives no tree: it makes two statements of such a query, which have none.

use crate::sql::{Token, tokens};

const PIVOTS: [&str; 2] = ["PIVOT", "PIVOT_WIDER"];

/// The words after which `PIVOT … ON` names no more columns.
const AFTER_COLUMNS: [&str; 4] = ["USING", "GROUP", "ORDER", "LIMIT"];

/// The words that a query in the place of the values starts with.
const QUERIES: [&str; 4] = ["SELECT", "FROM", "WITH", "VALUES"];

/// Returns offset and length of the first PIVOT that does not list its values; of the first one at all where none can
/// be told.
pub(super) fn without_values(text: &str) -> Option<(usize, usize)> {
    let tokens = tokens(text);
    let pivots: Vec<usize> = (0..tokens.len())
        .filter(|at| is_any(&tokens[*at], text, &PIVOTS))
        .collect();
    let found = pivots.iter().find(|at| !lists(&tokens[**at + 1..], text));
    let token = tokens[*found.or(pivots.first())?];
    Some((token.start, token.end - token.start))
}

fn is_any(token: &Token, text: &str, words: &[&str]) -> bool {
    words.iter().any(|word| token.is_word(text, word))
}

/// Says whether each column of a PIVOT, of which these are the tokens after the word, has a list of values.
fn lists(tokens: &[Token], text: &str) -> bool {
    let mut depth = 0_usize;
    let mut on = false;
    let mut listed = true;
    for (at, token) in tokens.iter().enumerate() {
        let is_open = token.is_symbol('(') || token.is_symbol('[');
        if is_open {
            depth += 1;
        } else if token.is_symbol(')') || token.is_symbol(']') {
            if depth == 0 {
                break;
            }
            depth -= 1;
        } else if depth > 0 {
            continue;
        } else if !on && token.is_word(text, "ON") {
            (on, listed) = (true, false);
        } else if on && is_any(token, text, &AFTER_COLUMNS) {
            break;
        } else if on && token.is_symbol(',') {
            if !listed {
                return false;
            }
            listed = false;
        } else if on && token.is_word(text, "IN") {
            let next = tokens.iter().skip(at + 1);
            let mut inside = next.skip_while(|next| next.is_symbol('('));
            listed = inside
                .next()
                .is_some_and(|first| !is_any(first, text, &QUERIES));
        }
    }
    listed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pivot_at_fault_is_found() {
        for (text, at) in [
            ("PIVOT s ON g USING sum(v)", Some(0)),
            ("FROM (PIVOT s ON g IN ('a')), (PIVOT s ON g)", Some(31)),
            ("FROM (PIVOT s ON g, h IN (1, 2) USING sum(v))", Some(6)),
            ("FROM (PIVOT s ON g IN (1, 2), h USING sum(v))", Some(6)),
            ("PIVOT s ON g IN (SELECT g FROM s)", Some(0)),
            (
                "PIVOT (FROM a JOIN b ON a.n = b.n) ON lower(g) GROUP BY n",
                Some(0),
            ),
            ("pivot_wider s ON g", Some(0)),
            ("SELECT \"pivot\" FROM s", None),
        ] {
            assert_eq!(without_values(text).map(|place| place.0), at, "{text}");
        }
    }
}
