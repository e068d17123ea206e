//! Parses `WITH ( key = value, … )`.
//!
//! Knows how keys and values are written, no key. What is written as a value may be a password: no
//! message repeats it.

use super::piece::{Cursor, Parse};
use super::statement::{Ident, OptionEntry, OptionList, OptionValue, OptionValueKind};
use super::token::{Token, TokenKind, is_typographic_quote, tokens};
use crate::diagnostic::{Diagnostic, Span};

/// Takes `WITH (…)`, noting the faults of single entries; without a `WITH`, an absent list.
///
/// # Errors
/// The list does not open or close.
pub(super) fn option_list(
    cursor: &mut Cursor<'_>,
    faults: &mut Vec<Diagnostic>,
) -> Parse<OptionList> {
    if cursor.eat_word("WITH").is_none() {
        return Ok(OptionList {
            entries: Vec::new(),
            span: cursor.span_of(cursor.at, cursor.at),
            present: false,
        });
    }
    let start = cursor.at;
    let mut inside = cursor.group("`(` and the options after `WITH`")?;
    Ok(OptionList {
        span: cursor.span_of(start, cursor.at),
        entries: entries(&mut inside, faults),
        present: true,
    })
}

fn entries(cursor: &mut Cursor<'_>, faults: &mut Vec<Diagnostic>) -> Vec<OptionEntry> {
    let mut entries = Vec::new();
    while !cursor.is_end() {
        if cursor.is_symbol(',') {
            faults.push(*cursor.unexpected("an option"));
            cursor.next();
            continue;
        }
        match entry(cursor) {
            Ok(entry) => entries.push(entry),
            Err(fault) => {
                faults.push(*fault);
                cursor.skip_to_comma();
            }
        }
        if cursor.is_end() || cursor.eat_symbol(',').is_some() {
            continue;
        }
        // `entry` stops before something else than a comma only where the next entry starts.
        let message = format!("found {}, expected `,` before it", cursor.found());
        let fault = Diagnostic::new(cursor.here(), message);
        faults.push(fault.help("options are separated by commas"));
    }
    entries
}

fn entry(cursor: &mut Cursor<'_>) -> Parse<OptionEntry> {
    let key = key(cursor, "an option such as `connector = '…'`")?;
    let name = &key.name;
    if cursor.is_end() || cursor.is_symbol(',') {
        let fault = Diagnostic::new(key.span, format!("option `{name}` has no value"));
        return Err(Box::new(fault.help(format!("write `{name} = …`"))));
    }
    let Some(equals) = cursor.eat_symbol('=') else {
        let message = format!("option `{name}` has no `=`");
        let fault = Diagnostic::new(cursor.here(), message).label("expected `=` before this");
        return Err(Box::new(fault));
    };
    if cursor.is_end() || cursor.is_symbol(',') {
        let message = format!("option `{name}` has no value");
        let fault = Diagnostic::new(cursor.span(equals), message);
        return Err(Box::new(fault.label("expected a value after this")));
    }
    if cursor.is_symbol('=') {
        return Err(cursor.unexpected("a value after `=`"));
    }
    let value = value(cursor, &key)?;
    if cursor.is_end() || cursor.is_symbol(',') || starts_entry(cursor) {
        return Ok(OptionEntry { key, value });
    }
    let message = format!("found more after the value of `{name}`, expected `,`");
    let fault = Diagnostic::new(cursor.here(), message)
        .also(value.span, "the value ends here")
        .help("a value is one text in single quotes; a quote inside it is written twice: `''`");
    Err(Box::new(fault))
}

/// Says whether a key and its `=` follow.
fn starts_entry(cursor: &Cursor<'_>) -> bool {
    let mut ahead = cursor.clone();
    key(&mut ahead, "").is_ok() && ahead.is_symbol('=')
}

/// Takes a key: a quoted text, or bare words, numbers, dots and hyphens without spaces between them.
pub(super) fn key(cursor: &mut Cursor<'_>, expected: &str) -> Parse<Ident> {
    let Some(first) = cursor.peek() else {
        return Err(cursor.unexpected(expected));
    };
    if let Some(name) = first.content(cursor.text()) {
        let span = cursor.span(first);
        if name.is_empty() {
            return Err(Box::new(Diagnostic::new(
                span,
                format!("found an empty key, expected {expected}"),
            )));
        }
        cursor.next();
        return Ok(Ident { name, span });
    }
    if !matches!(
        first.kind,
        TokenKind::Word | TokenKind::Quoted | TokenKind::Number
    ) {
        return Err(cursor.unexpected(expected));
    }
    let start = cursor.at;
    let mut name = String::new();
    for token in run(cursor, |token| {
        token.is_symbol('.') || token.is_symbol('-') || token.kind == TokenKind::Quoted
    }) {
        match token.name(cursor.text()) {
            Some(part) => name.push_str(&part),
            None => name.push_str(token.text(cursor.text())),
        }
    }
    let span = cursor.span_of(start, cursor.at);
    Ok(Ident { name, span })
}

/// Takes words, numbers and `others` as long as nothing lies between them.
fn run(cursor: &mut Cursor<'_>, others: impl Fn(Token) -> bool) -> Vec<Token> {
    let mut taken: Vec<Token> = Vec::new();
    while let Some(token) = cursor.peek() {
        let glued = taken.last().is_none_or(|last| last.end == token.start);
        let fits = matches!(token.kind, TokenKind::Word | TokenKind::Number) || others(token);
        if !glued || !fits {
            break;
        }
        taken.push(token);
        cursor.next();
    }
    taken
}

/// Takes the value of `key`: a text in single or dollar quotes, `SECRET name`, or a bare word or number.
pub(super) fn value(cursor: &mut Cursor<'_>, key: &Ident) -> Parse<OptionValue> {
    let Some(token) = cursor.peek() else {
        return Err(cursor.unexpected(&format!("a value for `{}`", key.name)));
    };
    let span = cursor.span(token);
    if let Some(text) = token.content(cursor.text()) {
        cursor.next();
        let kind = match secret_in(&text, token, span) {
            Some(name) => OptionValueKind::Secret(name),
            None => OptionValueKind::Text(text),
        };
        return Ok(OptionValue { kind, span });
    }
    if cursor.is_word("SECRET") {
        return bare_secret(cursor);
    }
    match token.kind {
        TokenKind::Quoted => {
            let message = format!("the value of `{}` is in double quotes", key.name);
            let fault = Diagnostic::new(span, message);
            Err(Box::new(fault.help(
                "double quotes are for names: write the value in single quotes",
            )))
        }
        TokenKind::PrefixedText => {
            let message = format!("the value of `{}` has a letter before its quote", key.name);
            let fault = Diagnostic::new(span.part(0, 1), message);
            Err(Box::new(fault.help("write a plain text: `'…'` or `$$…$$`")))
        }
        _ => bare_value(cursor, key),
    }
}

fn bare_value(cursor: &mut Cursor<'_>, key: &Ident) -> Parse<OptionValue> {
    let start = cursor.clone();
    let bare = run(cursor, |token| {
        matches!(token.kind, TokenKind::Symbol('.' | '-' | '+'))
    });
    let whole = cursor.is_end() || cursor.is_symbol(',') || starts_entry(cursor);
    let spelled = bare
        .iter()
        .any(|token| !matches!(token.kind, TokenKind::Symbol(_)));
    if whole && spelled {
        let raw = cursor.raw(start.at, cursor.at);
        return Ok(OptionValue {
            kind: OptionValueKind::Bare(raw.text),
            span: raw.span,
        });
    }
    cursor.skip_to_comma();
    let span = cursor.span_of(start.at, cursor.at);
    let message = format!("the value of `{}` must be quoted", key.name);
    let typographic = cursor.text()[span.start..span.end].contains(is_typographic_quote);
    let help = if typographic {
        "these are typographic quotes: write straight single quotes, `'…'`"
    } else {
        "only a single word or number needs no quotes: write it as `'…'`"
    };
    Err(Box::new(Diagnostic::new(span, message).help(help)))
}

fn bare_secret(cursor: &mut Cursor<'_>) -> Parse<OptionValue> {
    let start = cursor.at;
    let word = cursor.here();
    cursor.next();
    let named = cursor
        .peek()
        .is_some_and(|token| matches!(token.kind, TokenKind::Word | TokenKind::Quoted));
    if !named || starts_entry(cursor) {
        let fault = Diagnostic::new(word, "`SECRET` has no name after it")
            .help("write `SECRET name`; the word itself as a value is written `'secret'`");
        return Err(Box::new(fault));
    }
    let name = cursor.ident("the name of a secret")?;
    Ok(OptionValue {
        kind: OptionValueKind::Secret(name),
        span: cursor.span_of(start, cursor.at),
    })
}

/// Returns the name in a text that is `SECRET name` and nothing else.
fn secret_in(text: &str, token: Token, span: Span) -> Option<Ident> {
    let words = tokens(text);
    let [secret, name] = words.as_slice() else {
        return None;
    };
    if !secret.is_word(text, "SECRET") {
        return None;
    }
    // Offsets into the text are offsets into the source only where no quote is doubled.
    let marks = (span.end - span.start - text.len()) / 2;
    let verbatim = token.kind == TokenKind::DollarText || !text.contains('\'');
    Some(Ident {
        name: name.name(text).filter(|name| !name.is_empty())?,
        span: if verbatim {
            span.part(marks + name.start, marks + name.end)
        } else {
            span
        },
    })
}
