//! The tokens of one statement, and a cursor that reads them.
//!
//! Knows brackets and places; no statement.

use super::script::is_entity_word;
use super::statement::{Ident, SqlText};
use super::token::{Lexer, Token, TokenKind, is_reserved};
use crate::diagnostic::{Diagnostic, FileId, Span};

/// The answer of a parse function; the fault is boxed because it is large and rare.
pub(super) type Parse<T> = Result<T, Box<Diagnostic>>;

/// One statement's tokens.
pub(super) struct Piece<'a> {
    /// The text of the whole file.
    pub text: &'a str,
    pub file: FileId,
    /// Without the `;`.
    pub tokens: Vec<Token>,
    /// For each bracket, the index of the one that matches it.
    partners: Vec<Option<usize>>,
    /// The `;`, or the empty place where it would be.
    end: Span,
    /// The byte to go on at.
    pub next: usize,
    /// The first token of the next statement, where the `;` between them is missing.
    pub runs_into: Option<Token>,
}

impl<'a> Piece<'a> {
    /// Takes the tokens from byte `at` to the next `;`, or to a line that starts with `CREATE` or `DROP`
    /// and a kind of entity, which no statement contains. `None` if nothing is left.
    pub(super) fn cut(text: &'a str, file: FileId, at: usize) -> Option<Self> {
        let mut lexer = Lexer::new(text, at);
        let mut tokens: Vec<Token> = Vec::new();
        let mut next = text.len();
        let mut semicolon = None;
        let mut runs_into = None;
        while let Some(token) = lexer.next() {
            if token.is_symbol(';') {
                next = token.end;
                semicolon = Some(token);
                break;
            }
            if let Some(last) = tokens.last()
                && !last.is_word(text, "SHOW")
                && starts_statement(text, token, &lexer)
            {
                next = token.start;
                runs_into = Some(token);
                break;
            }
            tokens.push(token);
        }
        if tokens.is_empty() && semicolon.is_none() {
            return None;
        }
        let last = tokens.last().map_or(at, |token| token.end);
        let (start, end) = semicolon.map_or((last, last), |token| (token.start, token.end));
        Some(Self {
            text,
            file,
            partners: partners(&tokens),
            tokens,
            end: Span { file, start, end },
            next,
            runs_into,
        })
    }

    pub(super) fn span(&self, token: Token) -> Span {
        Span {
            file: self.file,
            start: token.start,
            end: token.end,
        }
    }

    /// Says whether a quote or comment is still open at the end.
    pub(super) fn is_unclosed(&self) -> bool {
        (self.tokens.last()).is_some_and(|token| matches!(token.kind, TokenKind::Unclosed(_)))
    }

    /// Returns a cursor over all tokens.
    pub(super) fn cursor(&self) -> Cursor<'_> {
        Cursor {
            piece: self,
            at: 0,
            stop: self.tokens.len(),
        }
    }
}

fn starts_statement(text: &str, token: Token, lexer: &Lexer<'_>) -> bool {
    if !token.is_word(text, "CREATE") && !token.is_word(text, "DROP") {
        return false;
    }
    let before = text[..token.start].trim_end_matches([' ', '\t', '\r']);
    before.ends_with('\n')
        && lexer
            .clone()
            .next()
            .is_some_and(|next| next.kind == TokenKind::Word && is_entity_word(next.text(text)))
}

/// Pairs brackets. One that was left open inside a pair, or closes nothing, has no partner.
fn partners(tokens: &[Token]) -> Vec<Option<usize>> {
    let mut partners = vec![None; tokens.len()];
    let mut open: Vec<(usize, char)> = Vec::new();
    let mut parens_open = 0_usize;
    for (index, token) in tokens.iter().enumerate() {
        let TokenKind::Symbol(symbol) = token.kind else {
            continue;
        };
        let closes = match symbol {
            '(' | '[' | '{' => {
                open.push((index, symbol));
                parens_open += usize::from(symbol == '(');
                continue;
            }
            ')' => '(',
            ']' => '[',
            '}' => '{',
            _ => continue,
        };
        if let Some((_, symbol)) = open.last()
            && *symbol == closes
            && let Some((opening, _)) = open.pop()
        {
            partners[opening] = Some(index);
            partners[index] = Some(opening);
            parens_open -= usize::from(closes == '(');
        } else if closes == '('
            && parens_open > 0
            && let Some(depth) = open.iter().rposition(|(_, symbol)| *symbol == '(')
        {
            // A `[` or `{` was left open: parentheses are what the statement heads are made of.
            let opening = open[depth].0;
            open.truncate(depth);
            partners[opening] = Some(index);
            partners[index] = Some(opening);
            parens_open -= 1;
        }
    }
    partners
}

/// A place in a run of tokens. Cheap to clone, for looking ahead.
#[derive(Clone)]
pub(super) struct Cursor<'a> {
    pub piece: &'a Piece<'a>,
    pub at: usize,
    /// The index after the run's last token.
    pub stop: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn text(&self) -> &'a str {
        self.piece.text
    }

    pub(super) fn peek(&self) -> Option<Token> {
        self.peek_at(0)
    }

    pub(super) fn peek_at(&self, ahead: usize) -> Option<Token> {
        let index = self.at + ahead;
        (index < self.stop).then(|| self.piece.tokens[index])
    }

    pub(super) fn next(&mut self) -> Option<Token> {
        let token = self.peek()?;
        self.at += 1;
        Some(token)
    }

    pub(super) fn is_end(&self) -> bool {
        self.at >= self.stop
    }

    /// Returns the span of the next token, or of the `)` or `;` that ends the run.
    pub(super) fn here(&self) -> Span {
        match self.piece.tokens.get(self.at.min(self.stop)) {
            Some(token) => self.piece.span(*token),
            None => self.piece.end,
        }
    }

    pub(super) fn span(&self, token: Token) -> Span {
        self.piece.span(token)
    }

    /// Returns the span from token `from` up to and without token `to`; empty if they are the same.
    pub(super) fn span_of(&self, from: usize, to: usize) -> Span {
        let tokens = &self.piece.tokens;
        if from >= to {
            let here = Cursor {
                at: from,
                ..self.clone()
            };
            let here = here.here();
            return Span {
                end: here.start,
                ..here
            };
        }
        self.piece
            .span(tokens[from])
            .to(self.piece.span(tokens[to - 1]))
    }

    /// Returns the text from token `from` up to and without token `to`.
    pub(super) fn raw(&self, from: usize, to: usize) -> SqlText {
        let span = self.span_of(from, to);
        SqlText::new(self.text()[span.start..span.end].to_owned(), span)
    }

    /// Takes all tokens that are left.
    pub(super) fn take_rest(&mut self) -> Self {
        let rest = self.clone();
        self.at = self.stop;
        rest
    }

    pub(super) fn is_word(&self, word: &str) -> bool {
        self.is_word_at(0, word)
    }

    pub(super) fn is_word_at(&self, ahead: usize, word: &str) -> bool {
        self.peek_at(ahead)
            .is_some_and(|token| token.is_word(self.text(), word))
    }

    /// Says whether the next tokens are these words.
    pub(super) fn is_words(&self, words: &[&str]) -> bool {
        let mut numbered = words.iter().enumerate();
        numbered.all(|(ahead, word)| self.is_word_at(ahead, word))
    }

    pub(super) fn is_symbol(&self, symbol: char) -> bool {
        self.peek().is_some_and(|token| token.is_symbol(symbol))
    }

    pub(super) fn eat_word(&mut self, word: &str) -> Option<Token> {
        if self.is_word(word) {
            self.next()
        } else {
            None
        }
    }

    pub(super) fn eat_symbol(&mut self, symbol: char) -> Option<Token> {
        if self.is_symbol(symbol) {
            self.next()
        } else {
            None
        }
    }

    /// Takes a word, or says that `expected` was expected.
    pub(super) fn expect_word(&mut self, word: &str, expected: &str) -> Parse<Token> {
        self.eat_word(word).ok_or_else(|| self.unexpected(expected))
    }

    /// Returns the next token as an upper-case keyword; empty if it is no bare word.
    pub(super) fn keyword(&self) -> String {
        match self.peek() {
            Some(token) if token.kind == TokenKind::Word => token.text(self.text()).to_uppercase(),
            _ => String::new(),
        }
    }

    /// Makes a fault at the next token.
    pub(super) fn unexpected(&self, expected: &str) -> Box<Diagnostic> {
        let message = format!("found {}, expected {expected}", self.found());
        Box::new(Diagnostic::new(self.here(), message))
    }

    /// Returns the next token for a message.
    pub(super) fn found(&self) -> String {
        match self.piece.tokens.get(self.at.min(self.stop)) {
            Some(token) => shown(token.text(self.text())),
            None => "the end of the statement".to_owned(),
        }
    }

    /// Takes a bare or quoted name; any keyword will do.
    pub(super) fn ident(&mut self, expected: &str) -> Parse<Ident> {
        let Some((token, name)) = self
            .peek()
            .and_then(|token| Some((token, token.name(self.text())?)))
        else {
            return Err(self.unexpected(expected));
        };
        let span = self.span(token);
        if name.is_empty() {
            let fault = Diagnostic::new(span, format!("found an empty name, expected {expected}"));
            return Err(Box::new(fault));
        }
        self.at += 1;
        Ok(Ident { name, span })
    }

    /// Takes the name of an entity: no reserved word, no schema in front.
    pub(super) fn entity_name(&mut self, expected: &str) -> Parse<Ident> {
        if let Some(token) = self.peek()
            && token.kind == TokenKind::Word
            && is_reserved(token.text(self.text()))
        {
            let word = token.text(self.text());
            return Err(Box::new(self.unexpected(expected).help(format!(
                "`{word}` is a reserved word; as a name it is written `\"{word}\"`"
            ))));
        }
        let name = self.ident(expected)?;
        if let Some(dot) = self
            .peek()
            .filter(|token| token.text(self.text()).starts_with('.'))
        {
            let span = self.span(dot).part(0, 1);
            let fault = Diagnostic::new(span, "found `.`, expected a name without a schema");
            return Err(Box::new(fault.help(
                "all entities share one name space: write the last part alone",
            )));
        }
        Ok(name)
    }

    /// Takes a bracket and all up to its partner; the cursor returned reads what is between them.
    pub(super) fn group(&mut self, expected: &str) -> Parse<Self> {
        let Some(open) = self.peek().filter(|token| token.is_symbol('(')) else {
            return Err(self.unexpected(expected));
        };
        let Some(close) = self.partner().filter(|close| *close < self.stop) else {
            let end = Cursor {
                at: self.stop,
                ..self.clone()
            };
            return Err(Box::new(
                end.unexpected("`)`")
                    .also(self.span(open), "this `(` is not closed"),
            ));
        };
        let inside = Cursor {
            at: self.at + 1,
            stop: close,
            ..self.clone()
        };
        self.at = close + 1;
        Ok(inside)
    }

    /// Returns the index of the bracket that matches the next token.
    pub(super) fn partner(&self) -> Option<usize> {
        *self.piece.partners.get(self.at)?
    }

    /// Skips one token, or a bracket with all up to its partner.
    pub(super) fn skip_tree(&mut self) {
        match self.partner() {
            Some(close) if close > self.at && close < self.stop => self.at = close + 1,
            _ => self.at += 1,
        }
    }

    /// Skips to the next `,` outside of brackets, or to the end.
    pub(super) fn skip_to_comma(&mut self) {
        while !self.is_end() && !self.is_symbol(',') {
            self.skip_tree();
        }
    }

    /// Says that nothing may follow.
    pub(super) fn expect_end(&self, expected: &str) -> Parse<()> {
        if self.is_end() {
            return Ok(());
        }
        Err(self.unexpected(expected))
    }

    /// Returns the first bracket of the run that has no partner in it.
    pub(super) fn unbalanced(&self) -> Option<Box<Diagnostic>> {
        (self.at..self.stop).find_map(|index| {
            let token = self.piece.tokens[index];
            let TokenKind::Symbol(symbol @ ('(' | ')' | '[' | ']' | '{' | '}')) = token.kind else {
                return None;
            };
            let paired = self.piece.partners[index]
                .is_some_and(|partner| (self.at..self.stop).contains(&partner));
            if paired {
                return None;
            }
            let message = if "([{".contains(symbol) {
                format!("`{symbol}` is never closed")
            } else {
                format!("`{symbol}` closes nothing")
            };
            Some(Box::new(Diagnostic::new(self.span(token), message)))
        })
    }
}

/// Puts a piece of source into backticks: its first line, and not too much of it.
pub(super) fn shown(text: &str) -> String {
    // Longer ones hide the message.
    const CHARS_MAX: usize = 40;
    let line = text.lines().next().unwrap_or_default();
    if line.len() == text.len() && line.chars().count() <= CHARS_MAX {
        return format!("`{line}`");
    }
    let start: String = line.chars().take(CHARS_MAX).collect();
    format!("`{start}…`")
}
