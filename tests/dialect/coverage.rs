//! Every option of the language has a page that uses it and a misuse that is refused.

use std::fmt::Write as _;

use super::goldens::folder;
use crate::support::golden::files;

/// The options of the language, a family by its prefix.
const OPTIONS: &[&str] = &[
    "connector",
    "url",
    "method",
    "schedule",
    "timezone",
    "interval",
    "overlap",
    "jq",
    "headers.",
    "params.",
    "json.",
    "body",
    "pagination.type",
    "pagination.page_param",
    "pagination.start",
    "pagination.step",
    "pagination.cursor_param",
    "pagination.cursor_id",
    "pagination.next_header",
    "pagination.body_link_path",
    "pagination.size_param",
    "pagination.max_pages",
    "auth.type",
    "connect_timeout",
    "timeout",
    "retry.max_attempts",
    "retry.initial_backoff",
    "retry.max_backoff",
    "retry.codes",
    "max_body_bytes",
    "rate_limit",
    "conditional",
    "on_error",
    "lookup.concurrency",
    "lookup.cache",
    "lookup.cache.max_rows",
    "lookup.cache.ttl",
    "lookup.cache.missing",
    "lookup.on_error",
    "timestamp_unit",
    "subscribe.",
    "on_start_query",
    "on_start_refresh",
    "ping_interval",
    "ping_message",
    "idle_timeout",
    "batch.max_rows",
    "batch.linger",
    "topic",
    "server",
    "properties.bootstrap.server",
    "group_id",
    "scan.startup.mode",
    "encode",
    "registry",
    "properties.",
    "key",
    "path",
    "snapshot",
    "watermark.idle_timeout",
    "rows",
    "rows_per_second",
    "backend",
];

fn text_of(name: &str) -> String {
    let mut text = String::new();
    for file in files(&folder(name), "sql") {
        let file = std::fs::read_to_string(file).expect("the file can be read");
        writeln!(text, "{file}").expect("writing to a string cannot fail");
    }
    text
}

/// Says whether the option stands somewhere as a key, bare or in quotes.
fn has_key(text: &str, option: &str) -> bool {
    let mut places = text.match_indices(option);
    places.any(|(at, _)| {
        let before = text[..at].chars().next_back().unwrap_or(' ');
        let after = &text[at + option.len()..];
        let begins = before.is_whitespace() || matches!(before, '\'' | '"' | '(' | ',');
        let ends = option.ends_with('.')
            || after
                .trim_start_matches(['\'', '"'])
                .trim_start()
                .starts_with('=');
        begins && ends
    })
}

#[test]
fn every_option_is_accepted_somewhere_and_misused_somewhere() {
    for name in ["accept", "reject"] {
        let text = text_of(name);
        let lacking: Vec<&&str> = OPTIONS
            .iter()
            .filter(|option| !has_key(&text, option))
            .collect();
        assert!(lacking.is_empty(), "{name} lacks {lacking:?}");
    }
}
