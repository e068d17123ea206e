//! Cuts SQL text into tokens with byte places, by the lexical rules of DuckDB (those of PostgreSQL).
//!
//! Knows no grammar. Never fails: what does not close is a token that says so, what fits nothing is a
//! symbol. Our own lexer and not a library's, since a library's stops at the first fault and refuses
//! some text that DuckDB reads. The parser reads statements with it; other modules use [`tokens`] to
//! find names and function calls in a raw expression.

/// A piece of SQL text; `start` and `end` are byte offsets into the text that was cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    pub kind: TokenKind,
    pub start: usize,
    pub end: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// A bare keyword or name.
    Word,
    /// A name in double quotes.
    Quoted,
    /// A text in single quotes.
    Text,
    /// `E'…'`, `X'…'` or `B'…'`: a text whose quotes are not its only rule.
    PrefixedText,
    /// `$$…$$` or `$tag$…$tag$`.
    DollarText,
    Number,
    /// `$name` or `$1`.
    Param,
    /// Any other single character.
    Symbol(char),
    /// A quote or comment that is still open where the text ends.
    Unclosed(Opening),
}

/// What opens a token that runs to its closing mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    Text,
    Quoted,
    DollarText,
    Comment,
}

impl Token {
    /// Returns the token as written; `source` is the text that was cut.
    pub fn text<'a>(&self, source: &'a str) -> &'a str {
        &source[self.start..self.end]
    }

    /// Returns the name of a word or quoted name without its quotes, `None` for other tokens.
    pub fn name(&self, source: &str) -> Option<String> {
        let text = self.text(source);
        match self.kind {
            TokenKind::Word => Some(text.to_owned()),
            TokenKind::Quoted => Some(text[1..text.len() - 1].replace("\"\"", "\"")),
            _ => None,
        }
    }

    /// Returns the name of a `$param` without its `$`, `None` for other tokens.
    pub fn param<'a>(&self, source: &'a str) -> Option<&'a str> {
        (self.kind == TokenKind::Param).then(|| &self.text(source)[1..])
    }

    /// Returns the content of a text in single or dollar quotes, `None` for other tokens.
    pub fn content(&self, source: &str) -> Option<String> {
        let text = self.text(source);
        match self.kind {
            TokenKind::Text => Some(text[1..text.len() - 1].replace("''", "'")),
            TokenKind::DollarText => {
                let tag = text[1..].find('$').map_or(1, |at| at + 2);
                Some(text[tag..text.len() - tag].to_owned())
            }
            _ => None,
        }
    }

    /// Says whether this is the bare word, compared without regard to case; a quoted name never is.
    pub fn is_word(&self, source: &str, word: &str) -> bool {
        self.kind == TokenKind::Word && self.text(source).eq_ignore_ascii_case(word)
    }

    pub fn is_symbol(&self, symbol: char) -> bool {
        self.kind == TokenKind::Symbol(symbol)
    }
}

/// Cuts a text into its tokens; white space and comments are left out.
///
/// ```
/// # use omlsp::sql::tokens;
/// let text = "lower(\"a b\") -- why";
/// let words: Vec<&str> = tokens(text).iter().map(|token| token.text(text)).collect();
/// assert_eq!(words, ["lower", "(", "\"a b\"", ")"]);
/// ```
pub fn tokens(text: &str) -> Vec<Token> {
    Lexer::new(text, 0).collect()
}

/// Says whether a text ends with a `;` that ends a statement: one outside of quotes and comments, with
/// nothing but white space and comments after it.
pub fn ends_statement(text: &str) -> bool {
    Lexer::new(text, 0)
        .last()
        .is_some_and(|token| token.is_symbol(';'))
}

/// Returns a name in double quotes, as SQL that names exactly it.
pub fn quote_ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Returns a name as a statement has it: in quotes only where it needs them.
pub fn name_in_sql(name: &str) -> String {
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        // Behind a kind of entity, `IF` begins `IF NOT EXISTS`.
        && !name.eq_ignore_ascii_case("IF")
        && !is_reserved(name);
    if plain {
        name.to_owned()
    } else {
        quote_ident(name)
    }
}

/// Returns a text in single quotes, as SQL that gives exactly it.
pub fn quote_text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// The words that DuckDB takes for a name in quotes only (`duckdb_keywords()`, category `reserved`).
#[rustfmt::skip]
const RESERVED: &[&str] = &[
    "ALL", "ANALYSE", "ANALYZE", "AND", "ANY", "ARRAY", "AS", "ASC", "ASYMMETRIC", "BOTH", "CASE",
    "CAST", "CHECK", "COLLATE", "COLUMN", "CONSTRAINT", "CREATE", "DEFAULT", "DEFERRABLE", "DESC",
    "DESCRIBE", "DISTINCT", "DO", "ELSE", "END", "EXCEPT", "FALSE", "FETCH", "FOR", "FOREIGN",
    "FROM", "GROUP", "HAVING", "IN", "INITIALLY", "INTERSECT", "INTO", "LAMBDA", "LATERAL",
    "LEADING", "LIMIT", "NOT", "NULL", "OFFSET", "ON", "ONLY", "OR", "ORDER", "PIVOT",
    "PIVOT_LONGER", "PIVOT_WIDER", "PLACING", "PRIMARY", "QUALIFY", "REFERENCES", "RETURNING",
    "SELECT", "SHOW", "SOME", "SUMMARIZE", "SYMMETRIC", "TABLE", "THEN", "TO", "TRAILING", "TRUE",
    "UNION", "UNIQUE", "UNPIVOT", "USING", "VARIADIC", "WHEN", "WHERE", "WINDOW", "WITH",
];

/// Says whether a word is a name in quotes only.
pub(super) fn is_reserved(word: &str) -> bool {
    RESERVED
        .iter()
        .any(|known| word.eq_ignore_ascii_case(known))
}

/// The tokens of a text from some place on, one at a time.
#[derive(Clone)]
pub(super) struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    /// Starts at byte `at`, which lies on a character boundary.
    pub(super) fn new(text: &'a str, at: usize) -> Self {
        Self { text, at }
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// Skips white space and comments; an unclosed comment is a token.
    fn skip_blank(&mut self) -> Option<Token> {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start_matches(is_blank);
            self.at += rest.len() - trimmed.len();
            if trimmed.starts_with("--") {
                self.at += trimmed.find('\n').unwrap_or(trimmed.len());
            } else if trimmed.starts_with("/*") {
                match comment_length(trimmed) {
                    Some(length) => self.at += length,
                    None => {
                        let unclosed = TokenKind::Unclosed(Opening::Comment);
                        return Some(self.take(unclosed, trimmed.len()));
                    }
                }
            } else {
                return None;
            }
        }
    }

    fn take(&mut self, kind: TokenKind, length: usize) -> Token {
        let start = self.at;
        self.at += length;
        Token {
            kind,
            start,
            end: self.at,
        }
    }

    fn take_or_rest(&mut self, kind: TokenKind, opening: Opening, length: Option<usize>) -> Token {
        match length {
            Some(length) => self.take(kind, length),
            None => self.take(TokenKind::Unclosed(opening), self.text.len() - self.at),
        }
    }
}

impl Iterator for Lexer<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        if let Some(unclosed) = self.skip_blank() {
            return Some(unclosed);
        }
        let rest = self.rest();
        let first = rest.chars().next()?;
        let second = rest[first.len_utf8()..].chars().next();
        Some(match first {
            '\'' => self.take_or_rest(TokenKind::Text, Opening::Text, quote_length(rest, '\'')),
            '"' => self.take_or_rest(TokenKind::Quoted, Opening::Quoted, quote_length(rest, '"')),
            'e' | 'E' | 'x' | 'X' | 'b' | 'B' if second == Some('\'') => {
                let length = if first.eq_ignore_ascii_case(&'e') {
                    escaped_length(&rest[1..])
                } else {
                    quote_length(&rest[1..], '\'')
                };
                let length = length.map(|length| length + 1);
                self.take_or_rest(TokenKind::PrefixedText, Opening::Text, length)
            }
            '$' => match dollar(rest) {
                Dollar::Param(length) => self.take(TokenKind::Param, length),
                Dollar::Text(length) => {
                    self.take_or_rest(TokenKind::DollarText, Opening::DollarText, length)
                }
                Dollar::Alone => self.take(TokenKind::Symbol('$'), 1),
            },
            '0'..='9' => self.take(TokenKind::Number, number_length(rest)),
            '.' if second.is_some_and(|c| c.is_ascii_digit()) => {
                self.take(TokenKind::Number, number_length(rest))
            }
            _ if is_word_start(first) => {
                let length = rest
                    .find(|c| !is_word_part(c) && c != '$')
                    .unwrap_or(rest.len());
                self.take(TokenKind::Word, length)
            }
            _ => self.take(TokenKind::Symbol(first), first.len_utf8()),
        })
    }
}

/// White space, and the marks without width that editors leave behind.
fn is_blank(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{feff}' | '\u{200b}')
}

/// Typographic quotes come from word processors and are never part of a name.
pub(super) fn is_typographic_quote(c: char) -> bool {
    matches!(c, '\u{2018}'..='\u{201f}' | '\u{ab}' | '\u{bb}')
}

fn is_word_start(c: char) -> bool {
    c.is_ascii_alphabetic()
        || c == '_'
        || (!c.is_ascii() && !is_blank(c) && !is_typographic_quote(c))
}

fn is_word_part(c: char) -> bool {
    is_word_start(c) || c.is_ascii_digit()
}

/// The length of a `/* … */`, inner ones included.
fn comment_length(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut depth = 0_usize;
    let mut at = 0;
    while at + 1 < bytes.len() {
        match &bytes[at..at + 2] {
            b"/*" => {
                depth += 1;
                at += 2;
            }
            b"*/" => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => at += 1,
        }
    }
    None
}

/// The length of a quoted piece in which the doubled quote stands for one.
fn quote_length(text: &str, quote: char) -> Option<usize> {
    let mut at = 1;
    loop {
        at += text[at..].find(quote)? + 1;
        if !text[at..].starts_with(quote) {
            return Some(at);
        }
        at += 1;
    }
}

/// The length of a quoted piece in which a backslash guards the next character.
fn escaped_length(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'\'' if bytes.get(at + 1) == Some(&b'\'') => at += 2,
            b'\'' => return Some(at + 1),
            _ => at += 1,
        }
    }
    None
}

enum Dollar {
    Param(usize),
    /// The length, if it closes.
    Text(Option<usize>),
    Alone,
}

fn dollar(text: &str) -> Dollar {
    let name = &text[1..];
    let length = name.find(|c| !is_word_part(c)).unwrap_or(name.len());
    let numbered = name.starts_with(|c: char| c.is_ascii_digit());
    if !numbered && name[length..].starts_with('$') {
        let tag = &text[..length + 2];
        let close = text[tag.len()..].find(tag);
        return Dollar::Text(close.map(|at| at + 2 * tag.len()));
    }
    if length == 0 {
        Dollar::Alone
    } else {
        Dollar::Param(length + 1)
    }
}

/// The length of `12`, `1_000`, `1.5`, `.5`, `1e-3` or `0xff`.
fn number_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let digits_from = |from: usize| {
        let digits = bytes[from..]
            .iter()
            .take_while(|byte| byte.is_ascii_digit() || **byte == b'_')
            .count();
        from + digits
    };
    if let [b'0', b'x' | b'X', digit, ..] = bytes
        && digit.is_ascii_hexdigit()
    {
        let hex = bytes[2..]
            .iter()
            .take_while(|byte| byte.is_ascii_hexdigit());
        return 2 + hex.count();
    }
    let mut end = digits_from(0);
    if bytes.get(end) == Some(&b'.') {
        end = digits_from(end + 1);
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let signed = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        if bytes.get(end + 1 + signed).is_some_and(u8::is_ascii_digit) {
            end = digits_from(end + 1 + signed);
        }
    }
    end
}
