//! The `Link` header of RFC 8288, as far as `rel="next"` goes.

/// Returns the target of the first link whose relations contain `next`, as written (it may be
/// relative). Grammar: RFC 8288, section 3; quoted strings and commas inside `<…>` are respected, and
/// malformed links are passed over as its appendix B.2 asks.
pub(super) fn next_target(header: &str) -> Option<&str> {
    let mut rest = header;
    while let Some(open) = rest.find('<') {
        let after = &rest[open + 1..];
        let close = after.find('>')?;
        let target = &after[..close];
        let (params, following) = split_link(&after[close + 1..]);
        if is_next(params) {
            return Some(target.trim());
        }
        rest = following;
    }
    None
}

/// Cuts at the first comma outside of quotes.
fn split_link(text: &str) -> (&str, &str) {
    match unquoted(text, ',').next() {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, ""),
    }
}

/// Returns the places of `wanted` outside of quoted strings.
fn unquoted(text: &str, wanted: char) -> impl Iterator<Item = usize> {
    let mut quoted = false;
    let mut escaped = false;
    text.char_indices().filter_map(move |(at, c)| {
        if escaped {
            escaped = false;
            return None;
        }
        match c {
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if c == wanted && !quoted => return Some(at),
            _ => {}
        }
        None
    })
}

fn is_next(params: &str) -> bool {
    let mut starts = vec![0];
    starts.extend(unquoted(params, ';').map(|at| at + 1));
    let ends = starts
        .iter()
        .skip(1)
        .map(|start| start - 1)
        .chain([params.len()]);
    for (start, end) in starts.iter().zip(ends) {
        let Some((name, value)) = params[*start..end].split_once('=') else {
            continue;
        };
        // Only the first `rel` counts (RFC 8288, section 3.3).
        if name.trim().eq_ignore_ascii_case("rel") {
            let relations = value.trim().trim_matches('"');
            return relations
                .split_ascii_whitespace()
                .any(|rel| rel.eq_ignore_ascii_case("next"));
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::next_target;

    #[track_caller]
    fn check(header: &str, expected: Option<&str>) {
        assert_eq!(next_target(header), expected, "{header}");
    }

    #[test]
    fn the_next_link_is_found_among_others() {
        check(
            r#"<https://a/?p=1>; rel="prev", <https://a/?p=3,4>; rel="next""#,
            Some("https://a/?p=3,4"),
        );
        check(
            r#"</b>; title="x, rel=next; \" <z>"; rel="last", <c>; rel=NEXT"#,
            Some("c"),
        );
        check(r#"<c>; rel="start next""#, Some("c"));
        check(r#"<c>;rel=prev;rel=next"#, None);
        check(r#"<c>; rel="nextish""#, None);
        check("<c", None);
        check("", None);
    }
}
