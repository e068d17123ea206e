//! Which parts of a file must not be shown: the values of secrets, credentials in options and URLs.
//!
//! Works on tokens, so that it also finds them in statements that cannot be parsed: those are the ones whose
//! lines are shown. Called where a file becomes part of a source map, and where a definition is shown.

use std::ops::Range;
use std::path::PathBuf;

use super::piece::Piece;
use super::script::{statement_line, unclosed_resume};
use super::token::{Token, TokenKind};
use crate::diagnostic::{FileId, SourceMap};

/// Adds a text to a source map, what is secret in it hidden from snippets.
pub fn add_source(
    sources: &mut SourceMap,
    path: impl Into<PathBuf>,
    text: impl Into<String>,
) -> FileId {
    add(sources, path.into(), text.into(), Where::Anywhere)
}

fn add(sources: &mut SourceMap, path: PathBuf, text: String, place: Where) -> FileId {
    // The number is only for the spans of the pieces, which are not used.
    let file = sources.add(path, text);
    let ranges = secret_ranges(sources.text(file), file, place);
    sources.hide(file, ranges);
    file
}

/// Returns a text of statements with every credential in its options and URLs as `*`, every other byte in its
/// place.
///
/// ```
/// # use omlsp::sql::mask_credentials;
/// let text = "CREATE SINK s FROM t WITH (auth.type = 'bearer', auth.token = 'abc')";
/// let masked = "CREATE SINK s FROM t WITH (auth.type = 'bearer', auth.token = '***')";
/// assert_eq!(mask_credentials(text), masked);
/// ```
pub fn mask_credentials(text: &str) -> String {
    masked(text, Where::Anywhere)
}

/// Returns the text of a statement that could be read as [`mask_credentials`] does, its query as it is: in a query
/// `token = 'abc'` is a condition.
pub fn mask_definition(text: &str) -> String {
    masked(text, Where::Options)
}

fn masked(text: &str, place: Where) -> String {
    let mut sources = SourceMap::default();
    let file = add(&mut sources, PathBuf::new(), text.to_owned(), place);
    sources.shown(file).to_owned()
}

/// Where credentials are looked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Where {
    Anywhere,
    /// In the brackets after WITH.
    Options,
}

fn secret_ranges(text: &str, file: FileId, place: Where) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let mut at = 0;
    while let Some(piece) = Piece::cut(text, file, at) {
        let start = at;
        at = piece.next;
        if let Some(resume) = unclosed_resume(&piece).filter(|resume| *resume > start) {
            at = resume;
        }
        let of_secret = after_secret_name(&piece);
        if let Some(first) = of_secret.filter(|_| !names_a_place(&piece)) {
            hide_secret(&piece, first, &mut ranges);
        }
        hide_options(&piece, place, &mut ranges);
    }
    ranges
}

/// Returns the index of the first token after `CREATE [OR REPLACE] SECRET [IF NOT EXISTS] name`.
fn after_secret_name(piece: &Piece<'_>) -> Option<usize> {
    let is_word = |index: usize, word: &str| {
        (piece.tokens.get(index)).is_some_and(|token: &Token| token.is_word(piece.text, word))
    };
    let mut at = if is_word(1, "OR") { 3 } else { 1 };
    if !is_word(0, "CREATE") || !is_word(at, "SECRET") {
        return None;
    }
    at += 1;
    while ["IF", "NOT", "EXISTS"].iter().any(|word| is_word(at, word)) {
        at += 1;
    }
    Some(at + 1)
}

/// Says whether the value is the name of a variable or file, which is not secret.
fn names_a_place(piece: &Piece<'_>) -> bool {
    piece.tokens.windows(3).any(|tokens| {
        let [key, equals, value] = tokens else {
            return false;
        };
        let value = value.text(piece.text).trim_matches('\'').to_lowercase();
        key.is_word(piece.text, "backend")
            && equals.is_symbol('=')
            && matches!(value.as_str(), "env" | "file")
    })
}

/// Hides all that may be the value: outside of the option list everything but its key words, inside it
/// texts that no `=` makes an option of.
fn hide_secret(piece: &Piece<'_>, first: usize, ranges: &mut Vec<Range<usize>>) {
    let mut depth = 0_usize;
    for index in first..piece.tokens.len() {
        let token = piece.tokens[index];
        let is_equals =
            |at: usize| (piece.tokens.get(at)).is_some_and(|token| token.is_symbol('='));
        match token.kind {
            TokenKind::Symbol('(') => depth += 1,
            TokenKind::Symbol(')') => depth = depth.saturating_sub(1),
            TokenKind::Symbol(_) if depth > 0 => {}
            TokenKind::Word if depth > 0 => {}
            _ if depth > 0 && (is_equals(index + 1) || (index > 0 && is_equals(index - 1))) => {}
            _ if token.is_word(piece.text, "AS") || token.is_word(piece.text, "WITH") => {}
            _ => ranges.push(inside(piece, token)),
        }
    }
}

/// Says of each token whether it stands in the brackets after WITH.
fn in_options(piece: &Piece<'_>) -> Vec<bool> {
    let (mut depth, mut since) = (0_usize, None);
    let tokens = piece.tokens.iter().enumerate();
    let stands = tokens.map(|(index, token)| {
        if token.is_symbol('(') {
            depth += 1;
            if index > 0 && piece.tokens[index - 1].is_word(piece.text, "WITH") {
                since.get_or_insert(depth);
            }
        } else if token.is_symbol(')') {
            depth = depth.saturating_sub(1);
            since = since.filter(|since| depth >= *since);
        }
        since.is_some()
    });
    stands.collect()
}

/// Hides the values of options that hold credentials, and those in URLs.
fn hide_options(piece: &Piece<'_>, place: Where, ranges: &mut Vec<Range<usize>>) {
    let in_options = in_options(piece);
    for (index, token) in piece.tokens.iter().enumerate() {
        if place == Where::Options && !in_options[index] {
            continue;
        }
        let is_text = matches!(
            token.kind,
            TokenKind::Text
                | TokenKind::PrefixedText
                | TokenKind::DollarText
                | TokenKind::Unclosed(_)
        );
        // Without quotes it is a value only among options.
        let is_bare = in_options[index]
            && matches!(token.kind, TokenKind::Word | TokenKind::Number)
            && !token.is_word(piece.text, "SECRET");
        if !is_text && !is_bare {
            continue;
        }
        let range = inside(piece, *token);
        let value = &piece.text[range.clone()];
        let named = index > 1
            && piece.tokens[index - 1].is_symbol('=')
            && is_credential(&key_before(piece, index - 1));
        let reference =
            value.starts_with("SECRET ") || (value.starts_with("${") && !value.contains(":-"));
        if named && !reference {
            ranges.push(range);
        } else if let Some(credentials) = credentials(value) {
            ranges.push(range.start + credentials.start..range.start + credentials.end);
        }
    }
}

/// Returns the option's key that ends before a token, without quotes and in lower case.
fn key_before(piece: &Piece<'_>, equals: usize) -> String {
    let mut first = equals - 1;
    while first > 0 && piece.tokens[first - 1].end == piece.tokens[first].start {
        let glues = !matches!(piece.tokens[first - 1].kind, TokenKind::Symbol(',' | '('));
        if !glues {
            break;
        }
        first -= 1;
    }
    let key = &piece.text[piece.tokens[first].start..piece.tokens[equals - 1].end];
    key.trim_matches(['\'', '"']).to_lowercase()
}

fn is_credential(key: &str) -> bool {
    const ENDS: [&str; 8] = [
        "key.pem",
        "password",
        "passphrase",
        "secret",
        "token",
        "apikey",
        "api-key",
        "api_key",
    ];
    matches!(key, "auth.key" | "headers.authorization" | "headers.cookie")
        || ENDS.iter().any(|end| key.ends_with(end))
}

/// Returns the place of `user:password` in a URL.
fn credentials(value: &str) -> Option<Range<usize>> {
    let start = value.find("://")? + 3;
    let rest = &value[start..];
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    authority.rfind('@').map(|at| start..start + at)
}

/// Returns the content of a text, or all of another token. A text that was never closed is cut where the
/// next statement starts.
fn inside(piece: &Piece<'_>, token: Token) -> Range<usize> {
    let text = token.text(piece.text);
    let swallowed = statement_line(text).map_or(token.end, |at| token.start + at);
    match token.kind {
        TokenKind::Text => token.start + 1..(token.end - 1).min(swallowed),
        TokenKind::Unclosed(_) => token.start + 1..swallowed,
        _ => token.start..token.end,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_definition_only_options_are_masked() {
        let text = "CREATE SINK s FROM (WITH c AS (SELECT 1) SELECT 'x://a@b' FROM t WHERE token = 'usd') \
                    WITH (auth.token = 'abc', auth.key = 12345, url = 'http://u:p@h/', api_key = SECRET k)";
        let masked = "CREATE SINK s FROM (WITH c AS (SELECT 1) SELECT 'x://a@b' FROM t WHERE token = 'usd') \
                    WITH (auth.token = '***', auth.key = *****, url = 'http://***@h/', api_key = SECRET k)";
        assert_eq!(mask_definition(text), masked);
        assert!(mask_credentials(text).contains("token = '***') WITH (auth.token = '***'"));
    }
}
