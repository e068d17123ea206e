//! Hides the values of secrets in a text of statements, so that it can be shown.

use super::token::{Token, TokenKind, name_in_sql, quote_text, tokens};
use crate::secret::HIDDEN;

/// The texts of a `CREATE SECRET` that are no secret.
const BACKENDS: [&str; 3] = ["'meta'", "'env'", "'file'"];

/// Returns the text with what may be the value of a secret as `*`, every other byte in its place.
///
/// Also of statements that are not well formed: whatever follows the `AS` of a `CREATE SECRET` is hidden up
/// to its end, and before it every text that names no backend.
///
/// ```
/// # use omlsp::sql::mask_secrets;
/// let text = "CREATE SECRET s WITH (backend = 'meta') AS 'abc'; SELECT 'abc'";
/// let masked = "CREATE SECRET s WITH (backend = 'meta') AS *****; SELECT 'abc'";
/// assert_eq!(mask_secrets(text), masked);
/// ```
pub fn mask_secrets(text: &str) -> String {
    let tokens = tokens(text);
    let mut masked = text.as_bytes().to_vec();
    for statement in tokens.split(|token| token.is_symbol(';')) {
        for token in hidden(statement, text) {
            masked[token.start..token.end].fill(b'*');
        }
    }
    String::from_utf8(masked).expect("tokens end on character boundaries")
}

/// Returns the statement that creates a secret, [`HIDDEN`] in the place of its value.
///
/// ```
/// # use omlsp::sql::shown_secret;
/// let shown = r#"CREATE SECRET "my key" WITH (backend = 'meta') AS '***'"#;
/// assert_eq!(shown_secret("my key", "meta"), shown);
/// ```
pub fn shown_secret(name: &str, backend: &str) -> String {
    let (name, backend) = (name_in_sql(name), quote_text(backend));
    format!("CREATE SECRET {name} WITH (backend = {backend}) AS '{HIDDEN}'")
}

fn hidden<'a>(statement: &'a [Token], text: &'a str) -> impl Iterator<Item = &'a Token> {
    let is_word = |token: &Token, word: &str| {
        token.kind == TokenKind::Word && token.text(text).eq_ignore_ascii_case(word)
    };
    let creates = statement
        .first()
        .is_some_and(|token| is_word(token, "CREATE"));
    // `CREATE OR REPLACE SECRET` has it fourth; anything else there is a name.
    let replaces = statement.get(1).is_some_and(|token| is_word(token, "OR"));
    let at = if replaces { 3 } else { 1 };
    let head = statement
        .get(at)
        .filter(|token| is_word(token, "SECRET"))
        .map(|_| at);
    let body = match head.filter(|_| creates) {
        Some(at) => &statement[at + 1..],
        None => &[],
    };
    let value = body.iter().skip(1).position(|token| is_word(token, "AS"));
    let value = value.map_or(body.len(), |at| at + 2);
    body.iter().enumerate().filter_map(move |(at, token)| {
        let is_text = matches!(
            token.kind,
            TokenKind::Text
                | TokenKind::PrefixedText
                | TokenKind::DollarText
                | TokenKind::Unclosed(_)
        );
        let open = BACKENDS.contains(&token.text(text).to_lowercase().as_str());
        (at >= value || (is_text && !open)).then_some(token)
    })
}

#[cfg(test)]
mod tests {
    use super::mask_secrets;

    #[test]
    fn hides_values_wherever_they_stand() {
        let cases = [
            (
                "create or replace secret a with (backend='meta') as 'xyz'",
                "xyz",
            ),
            (
                "CREATE SECRET a WITH (backend = 'mta') AS 'xyz' more xyz",
                "xyz",
            ),
            ("CREATE SECRET a AS \"xyz\"", "xyz"),
            ("CREATE SECRET a WITH (backend = 'meta') 'xyz'", "xyz"),
            (
                "CREATE SECRET a WITH (backend = 'meta') AS 'xyz\nSELECT 1;",
                "xyz",
            ),
            (
                "SELECT 1; CREATE SECRET a WITH (backend = 'env') AS E'xyzé'",
                "xyz",
            ),
        ];
        for (text, value) in cases {
            let masked = mask_secrets(text);
            assert!(!masked.contains(value), "{masked}");
            assert_eq!(masked.len(), text.len());
        }
        let open = "CREATE TABLE secret AS SELECT 'x'; SELECT 'y' AS z";
        assert_eq!(mask_secrets(open), open);
    }
}
