//! The value of one option: with `${…}` and `SECRET` replaced, and which parts of it came from outside.
//!
//! Knows no option. What reads a value as a template asks for its [`Text::parts`].

use std::borrow::Cow;
use std::ops::Range;

use super::Environment;
use crate::diagnostic::{Diagnostic, Span};
use crate::secret::Secret;

/// An option's value after `${…}` and `SECRET` were replaced, with the place it was written at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// Prints as `***` also when it is no secret: it may have come from the environment.
    value: Secret,
    /// True for `SECRET name`.
    pub secret: bool,
    pub span: Span,
    written: Written,
    bare: bool,
    /// The bytes of the value that came from the environment, in ascending order.
    foreign: Vec<Range<usize>>,
}

/// How a value stands in the source, and what a byte offset into the one is in the other: see [`Text::part`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Written {
    /// As it is, between quotes.
    Verbatim,
    /// Between quotes, and each quote in it twice.
    QuotesTwice,
    /// Not at all, or with parts replaced.
    Otherwise,
}

impl Written {
    fn of(value: &str, span: Span) -> Self {
        let quotes = value.matches('\'').count();
        match (span.end - span.start).checked_sub(value.len() + 2) {
            Some(0) => Self::Verbatim,
            Some(more) if more == quotes => Self::QuotesTwice,
            _ => Self::Otherwise,
        }
    }
}

/// A run of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextPart<'t> {
    /// Where it begins in the value.
    pub start: usize,
    pub text: &'t str,
    /// True for what did not stand in the statement, and so is no template: a variable or a secret.
    pub foreign: bool,
}

impl Text {
    pub(super) fn of_secret(value: Secret, span: Span) -> Self {
        Self {
            value,
            secret: true,
            span,
            written: Written::Otherwise,
            bare: false,
            foreign: Vec::new(),
        }
    }

    /// Returns the value of a word or number without quotes.
    pub(super) fn of_bare(text: &str, span: Span) -> Self {
        Self {
            value: Secret::new(text),
            secret: false,
            span,
            written: Written::Otherwise,
            bare: true,
            foreign: Vec::new(),
        }
    }

    /// Returns the value of a text in quotes. `span` covers it with its quotes.
    ///
    /// # Errors
    /// See [`replace_variables`].
    pub(super) fn of_quoted(
        text: &str,
        span: Span,
        environment: &Environment,
    ) -> Result<Self, Box<Diagnostic>> {
        let (replaced, foreign) = replace(text, span, environment)?;
        Ok(Self {
            written: match replaced == *text {
                true => Written::of(text, span),
                false => Written::Otherwise,
            },
            value: Secret::new(replaced),
            secret: false,
            span,
            bare: false,
            foreign,
        })
    }

    /// Returns the clear text.
    pub fn expose(&self) -> &str {
        self.value.expose()
    }

    /// Returns true for a word or number that was written without quotes.
    pub fn is_bare(&self) -> bool {
        self.bare
    }

    /// Cuts the value where what was written meets what came from outside.
    pub fn parts(&self) -> Vec<TextPart<'_>> {
        let value = self.value.expose();
        let part = |range: Range<usize>, foreign| TextPart {
            start: range.start,
            text: &value[range],
            foreign,
        };
        if self.secret {
            return vec![part(0..value.len(), true)];
        }
        let mut parts = Vec::with_capacity(2 * self.foreign.len() + 1);
        let mut at = 0;
        for range in &self.foreign {
            parts.push(part(at..range.start, false));
            parts.push(part(range.clone(), true));
            at = range.end;
        }
        parts.push(part(at..value.len(), false));
        parts.retain(|part| !part.text.is_empty());
        parts
    }

    /// Returns the value with each `$` that came from outside doubled, as a template says a dollar sign.
    pub fn as_template(&self) -> Cow<'_, str> {
        let parts = self.parts();
        if parts.iter().all(|part| !part.foreign) {
            return Cow::Borrowed(self.expose());
        }
        let escaped = parts.iter().map(|part| match part.foreign {
            true => part.text.replace('$', "$$"),
            false => part.text.to_owned(),
        });
        Cow::Owned(escaped.collect())
    }

    /// Returns the span of the bytes `start..end` of the value, or of the whole value where it is not
    /// written out in the source (environment, secrets).
    pub fn part(&self, start: usize, end: usize) -> Span {
        let quotes = |end: usize| {
            let before = self.expose().bytes().take(end);
            before.filter(|byte| *byte == b'\'').count()
        };
        match self.written {
            Written::Verbatim => self.span.part(start + 1, end + 1),
            Written::QuotesTwice => {
                (self.span).part(start + 1 + quotes(start), end + 1 + quotes(end))
            }
            Written::Otherwise => self.span,
        }
    }

    /// Returns the value as it may be shown: secrets as `***`.
    pub fn shown(&self) -> &str {
        if self.secret { "***" } else { self.expose() }
    }
}

/// Replaces `${NAME}` and `${NAME:-default}` in a quoted value. `span` covers the value with its quotes.
///
/// # Errors
/// A variable that is not set and has no default, or a `${` without its `}`, at its place.
pub fn replace_variables(
    text: &str,
    span: Span,
    environment: &Environment,
) -> Result<String, Box<Diagnostic>> {
    replace(text, span, environment).map(|(replaced, _)| replaced)
}

/// As [`replace_variables`]; also returns which bytes are those of variables. A default was written in the
/// statement.
fn replace(
    text: &str,
    span: Span,
    environment: &Environment,
) -> Result<(String, Vec<Range<usize>>), Box<Diagnostic>> {
    let mut replaced = String::with_capacity(text.len());
    let mut foreign = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let start = text.len() - rest.len() + at;
        replaced.push_str(&rest[..at]);
        let Some(length) = rest[at..].find('}') else {
            let place = span.part(start + 1, start + 3);
            return Err(Box::new(
                Diagnostic::new(place, "`${` has no closing `}`")
                    .help("write `${NAME}` or `${NAME:-default}`"),
            ));
        };
        let inner = &rest[at + 2..at + length];
        let (name, default) = match inner.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inner, None),
        };
        let value = environment.get(name).filter(|value| !value.is_empty());
        match (value, default) {
            (Some(value), _) => {
                let start = replaced.len();
                replaced.push_str(value);
                foreign.push(start..replaced.len());
            }
            (None, Some(default)) => replaced.push_str(default),
            (None, None) => {
                let place = span.part(start + 1, start + 1 + length + 1);
                let message = format!("environment variable `{name}` is not set");
                return Err(Box::new(
                    Diagnostic::new(place, message)
                        .help(format!("set it, or give a default: `${{{name}:-…}}`")),
                ));
            }
        }
        rest = &rest[at + length + 1..];
    }
    replaced.push_str(rest);
    Ok((replaced, foreign))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::SourceMap;

    fn text(written: &str) -> Text {
        let file = SourceMap::default().add("test.sql", format!("'{written}'"));
        let span = Span {
            file,
            start: 0,
            end: written.len() + 2,
        };
        let environment = Environment::from_iter([("PW".to_owned(), "a$b$$".to_owned())]);
        Text::of_quoted(written, span, &environment).unwrap()
    }

    #[test]
    fn what_came_from_the_environment_is_told_apart() {
        let mixed = text("$x-${PW}$y${NONE:-$z}");
        assert_eq!(mixed.expose(), "$x-a$b$$$y$z");
        assert_eq!(mixed.as_template(), "$x-a$$b$$$$$y$z");
        let parts = mixed.parts();
        let parts: Vec<_> = (parts.iter())
            .map(|part| (part.start, part.text, part.foreign))
            .collect();
        assert_eq!(
            parts,
            [(0, "$x-", false), (3, "a$b$$", true), (8, "$y$z", false)]
        );
        assert_eq!(text("a$b").as_template(), "a$b");
        assert!(text("").parts().is_empty());
    }
}
