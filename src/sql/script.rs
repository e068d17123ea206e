//! Reads a whole file: cuts it into statements, and goes on after what cannot be read.
//!
//! Knows where statements end and what an unclosed quote does to those after it; nothing of what is
//! inside a statement.

use super::parse::parse_statement;
use super::piece::Piece;
use super::statement::{Create, Ident, Statement};
use super::token::{Opening, Token, TokenKind};
use crate::diagnostic::{Diagnostic, FileId, SourceMap, Span};

/// Unclosed quotes after which a file is given up: each costs another reading of what follows, and
/// nobody reads so many messages.
const UNCLOSED_MAX: usize = 50;

/// What a file holds.
#[derive(Clone, Debug, Default)]
pub struct Parsed {
    /// The statements without a fault, in order.
    pub statements: Vec<Statement>,
    pub faults: Vec<Diagnostic>,
    /// The names that faulty `CREATE` statements were to define, so that whoever uses them is not
    /// blamed for naming something unknown.
    pub broken: Vec<Ident>,
    /// Those of them whose column list alone is faulty, as far as they were read.
    pub partial: Vec<Create>,
}

/// Parses every statement of a file and collects every fault; a faulty statement ends at its `;`.
pub fn parse_file(sources: &SourceMap, file: FileId) -> Parsed {
    let text = sources.text(file);
    let mut parsed = Parsed::default();
    let mut unclosed_count = 0;
    let mut at = 0;
    while let Some(piece) = Piece::cut(text, file, at) {
        at = piece.next;
        if piece.tokens.is_empty() {
            continue;
        }
        let outcome = parse_statement(&piece);
        let faulty = outcome.statement.is_none() || piece.is_unclosed();
        if faulty {
            parsed.broken.extend(outcome.created);
        }
        if let Some(unclosed) = Unclosed::of(&piece).filter(|_| faulty) {
            parsed.faults.push(unclosed.fault(&piece));
            unclosed_count += 1;
            if unclosed_count == UNCLOSED_MAX {
                let message = "too many unclosed quotes, the rest of the file is not read";
                let rest = unclosed.resume.unwrap_or(text.len());
                parsed
                    .faults
                    .push(Diagnostic::new(span(file, rest, rest), message));
                break;
            }
            at = unclosed.resume.unwrap_or(text.len());
            continue;
        }
        parsed.faults.extend(outcome.faults);
        if faulty {
            parsed.partial.extend(outcome.partial);
            continue;
        }
        parsed.faults.extend(missing_semicolon(&piece));
        parsed.statements.extend(outcome.statement);
    }
    parsed
}

fn span(file: FileId, start: usize, end: usize) -> Span {
    Span { file, start, end }
}

fn missing_semicolon(piece: &Piece<'_>) -> Option<Diagnostic> {
    let next = piece.runs_into?;
    let last = piece.tokens.last()?;
    let fault = Diagnostic::new(
        piece.span(next),
        format!("found `{}`, expected `;` before it", next.text(piece.text)),
    );
    let label = "add `;` to end this statement here";
    Some(fault.also(piece.span(*last), label))
}

/// A quote or comment that opens in a statement and closes nowhere, or only in a later statement.
struct Unclosed {
    opening: Token,
    /// Where the next statement starts, if one can be made out.
    resume: Option<usize>,
}

impl Unclosed {
    fn of(piece: &Piece<'_>) -> Option<Self> {
        let (index, resume) = piece.tokens.iter().enumerate().find_map(|(index, token)| {
            let resume = || statement_line(token.text(piece.text)).map(|at| token.start + at);
            match token.kind {
                TokenKind::Unclosed(_) => Some((index, resume())),
                TokenKind::Text
                | TokenKind::PrefixedText
                | TokenKind::Quoted
                | TokenKind::DollarText => resume().map(|resume| (index, Some(resume))),
                _ => None,
            }
        })?;
        let swallowing = piece.tokens[index];
        let opening = match swallowing.kind {
            TokenKind::Text | TokenKind::Unclosed(Opening::Text) => {
                first_odd_quote(piece, index).unwrap_or(swallowing)
            }
            _ => swallowing,
        };
        Some(Self { opening, resume })
    }

    fn fault(&self, piece: &Piece<'_>) -> Diagnostic {
        let token = self.opening;
        let text = token.text(piece.text);
        let (mark, help) = match token.kind {
            TokenKind::Quoted | TokenKind::Unclosed(Opening::Quoted) => {
                ("\"", "close the name with `\"`")
            }
            TokenKind::DollarText | TokenKind::Unclosed(Opening::DollarText) => {
                let tag = text[1..].find('$').map_or(1, |at| at + 2);
                (&text[..tag], "close the text with the same mark")
            }
            TokenKind::Unclosed(Opening::Comment) => ("/*", "close the comment with `*/`"),
            _ => {
                let prefix = usize::from(!text.starts_with('\''));
                (
                    &text[..=prefix],
                    "close the text with `'`; a quote inside a text is written twice: `''`",
                )
            }
        };
        let place = span(piece.file, token.start, token.start + mark.len());
        let fault = Diagnostic::new(place, format!("`{mark}` is never closed")).help(help);
        match self.resume {
            Some(resume) => {
                let rest = &piece.text[resume..];
                let word = rest.find(char::is_whitespace).unwrap_or(rest.len());
                let swallowed = span(piece.file, resume, resume + word);
                fault.also(swallowed, "it runs into this statement")
            }
            None => fault,
        }
    }
}

/// Returns where the next statement starts that a quote of this piece has swallowed.
pub(super) fn unclosed_resume(piece: &Piece<'_>) -> Option<usize> {
    Unclosed::of(piece)?.resume
}

/// Returns the text whose closing quote was most likely meant to open another: one that is followed by
/// something no text is followed by. After a forgotten quote, all later ones open what they should close.
fn first_odd_quote(piece: &Piece<'_>, before: usize) -> Option<Token> {
    let pairs = piece.tokens[..before].iter().zip(&piece.tokens[1..]);
    let odd = |(token, next): &(&Token, &Token)| {
        if token.kind != TokenKind::Text {
            return false;
        }
        let glued = token.end == next.start
            && match next.kind {
                TokenKind::Word | TokenKind::Number | TokenKind::Param => true,
                TokenKind::Symbol(symbol) => ".$/?%{\\".contains(symbol),
                _ => false,
            };
        let separated = next.is_symbol(',') || next.is_symbol(')');
        glued || (!separated && token.text(piece.text).contains('\n'))
    };
    pairs.filter(odd).map(|(token, _)| *token).next()
}

/// Returns where the first line that starts like a statement starts, the first line left out. Words that
/// also start lines inside texts, such as the SELECT of a query in an option, do not count.
pub(super) fn statement_line(text: &str) -> Option<usize> {
    let mut lines = text.match_indices('\n').map(|(at, _)| at + 1);
    lines.find_map(|start| {
        let line = text[start..].lines().next()?;
        let words = line.trim_start();
        let mut split = words.split_whitespace();
        let first = split.next()?.to_uppercase();
        let second = split.next()?;
        let starts = match first.as_str() {
            "CREATE" | "DROP" => is_entity_word(second),
            "SHOW" | "DESCRIBE" | "EXPLAIN" => true,
            _ => false,
        };
        starts.then(|| start + line.len() - words.len())
    })
}

/// Says whether a word can follow `CREATE` or `DROP`.
pub(super) fn is_entity_word(word: &str) -> bool {
    const WORDS: [&str; 9] = [
        "OR",
        "TEMP",
        "TEMPORARY",
        "TABLE",
        "SOURCE",
        "VIEW",
        "MATERIALIZED",
        "SINK",
        "SECRET",
    ];
    WORDS.iter().any(|known| word.eq_ignore_ascii_case(known))
}
