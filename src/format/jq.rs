//! jq filters: compiled once, sealed off from the outside, run on many documents.
//!
//! Knows nothing of columns. A filter runs in one of two ways: what [`recognise`] knows is read straight off the
//! document's text by a [`Plan`], everything else runs in the interpreter (jaq). [`super::decode`] runs both.
//!
//! **Sealed**: there are no modules, inputs, environment, clock, log or exit codes in a filter, and no
//! definition may call itself, since the interpreter would recurse on the program's own stack.
//! **Bounded**: a filter may give [`OUTPUTS_MAX`] outputs for one document and take [`TIME_MAX`] over them;
//! both are checked between outputs, so a loop that gives none (`last(repeat(.))`) is not stopped by them.

mod calls;
mod evaluate;
mod places;
mod plan;
mod recognise;
mod scope;
mod split;
mod walk;

pub use evaluate::write_object;
pub use plan::{Halt, Plan};
pub use split::Split;
pub use walk::{Sink, emptied};

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use jaq_core::data::JustLut;
use jaq_core::load::lex::{self, Lexer, Token};
use jaq_core::load::parse::{self, Parser, Term};
use jaq_core::load::{Arena, File, Loader};
use jaq_core::{Compiler, Ctx, Vars, unwrap_valr};
use jaq_json::Val;

/// Outputs for one document at most: more than a body of any allowed size holds rows.
pub const OUTPUTS_MAX: usize = 10_000_000;

/// How long the outputs of one document may take: far beyond any honest filter.
pub const TIME_MAX: Duration = Duration::from_secs(60);

/// Longer filters are refused before they are looked at.
const TEXT_MAX: usize = 64 * 1024;

/// Words and symbols at most: compiler and interpreter recurse on the length of a chain such as
/// `.a | .b | …`. This many fit a thread's stack of 2 MiB, and are enough for an object of 300 members.
const TOKENS_MAX: usize = 2_000;

/// Brackets within brackets at most: the parser recurses on them.
const BRACKETS_MAX: usize = 64;

/// What jaq offers and we leave out, and why.
const SEALED: &[(&str, &str)] = &[
    ("input", "a filter sees one document at a time"),
    ("inputs", "a filter sees one document at a time"),
    ("input_filename", "a filter sees one document at a time"),
    ("input_line_number", "a filter sees one document at a time"),
    ("env", "a filter cannot read the environment"),
    (
        "now",
        "a filter cannot read the clock; use TRIGGER_TIME() in a generated column",
    ),
    ("localtime", "a filter cannot read the local time zone"),
    ("strflocaltime", "a filter cannot read the local time zone"),
    ("halt", "a filter cannot end the program"),
    ("halt_error", "a filter cannot end the program"),
    ("debug", "a filter cannot write to the log"),
    ("debug_empty", "a filter cannot write to the log"),
    ("stderr", "a filter cannot write to the log"),
    ("stderr_empty", "a filter cannot write to the log"),
];

type Program = jaq_core::Filter<JustLut<Val>>;

/// A fault in a filter's text. `start..end` are the bytes of the smallest culprit; empty at the end of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JqError {
    /// Lower case, no full stop.
    pub message: String,
    pub start: usize,
    pub end: usize,
}

impl JqError {
    fn at(text: &str, culprit: &str, message: String) -> Self {
        let start = (culprit.as_ptr() as usize).checked_sub(text.as_ptr() as usize);
        match start.filter(|start| start + culprit.len() <= text.len()) {
            Some(start) => Self {
                message,
                start,
                end: start + culprit.len(),
            },
            // The culprit lies in a definition of the library that uses what was left out.
            None => Self {
                message,
                start: 0,
                end: text.len(),
            },
        }
    }
}

impl std::fmt::Display for JqError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}", self.message)
    }
}

impl std::error::Error for JqError {}

/// How a filter is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Straight off the bytes, in one pass.
    Extracted,
    /// In the jq interpreter.
    Interpreted,
}

impl std::fmt::Display for Way {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Extracted => "extracted",
            Self::Interpreted => "interpreted",
        })
    }
}

/// A compiled filter. Clones share it.
#[derive(Clone)]
pub struct Filter {
    compiled: Arc<Compiled>,
}

struct Compiled {
    text: String,
    /// Made at once if there is no plan, else when a document needs it: the interpreter's library takes longer to
    /// compile than a small pipeline has to start.
    program: OnceLock<Result<Program, JqError>>,
    /// What in the filter needs the interpreter, if there is no plan.
    plan: Result<Plan, String>,
}

impl Compiled {
    fn new(text: &str, plan: Result<Plan, String>) -> Result<Self, JqError> {
        let compiled = Self {
            text: text.to_owned(),
            program: OnceLock::new(),
            plan,
        };
        if compiled.plan.is_err() {
            compiled.program()?;
        }
        Ok(compiled)
    }

    fn program(&self) -> Result<&Program, JqError> {
        let make = || match self.text.len() {
            ..STACK_TEXT_MIN => compile_program(&self.text),
            _ => with_large_stack(|| compile_program(&self.text)),
        };
        let made = self.program.get_or_init(make);
        made.as_ref().map_err(JqError::clone)
    }
}

/// A filter of this many bytes may be one of many levels, each of which the compiler of the interpreter calls itself for.
const STACK_TEXT_MIN: usize = 1024;

/// Some times what the largest filters take there, which is about as much as a thread has.
const STACK_BYTES: usize = 16 * 1024 * 1024;

/// Does some work on a thread with a large stack; where the system gives none, on this one.
fn with_large_stack<T: Send>(work: impl Fn() -> T + Sync) -> T {
    let large = std::thread::Builder::new().stack_size(STACK_BYTES);
    let done = std::thread::scope(|scope| {
        let thread = large.spawn_scoped(scope, &work).ok()?;
        Some(
            thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
        )
    });
    done.unwrap_or_else(work)
}

impl std::fmt::Debug for Filter {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            formatter,
            "Filter({:?}, {})",
            self.compiled.text,
            self.way()
        )
    }
}

impl Filter {
    /// Compiles a filter.
    ///
    /// # Errors
    /// The first fault in the text: syntax, an undefined name, or something a filter may not do.
    pub fn compile(text: &str) -> Result<Self, JqError> {
        check_size(text)?;
        let tokens = Lexer::new(text)
            .lex()
            .map_err(|faults| lex_error(text, &faults))?;
        check_tokens(text, &tokens)?;
        let parsed = Parser::new(&tokens).parse(Parser::term);
        let term = parsed.map_err(|faults| parse_error(text, &faults))?;
        if let Some(call) = calls::recursive(&term) {
            let message = format!(
                "`{call}` calls itself; use `recurse`, `until`, `while`, `reduce` or `walk`"
            );
            return Err(JqError::at(text, call, message));
        }
        let compiled = Compiled::new(text, recognise::recognise(&term))?;
        Ok(Self {
            compiled: Arc::new(compiled),
        })
    }

    /// Returns the filter `.`.
    pub fn identity() -> Self {
        Self::compile(".").expect("the identity is a filter")
    }

    pub fn text(&self) -> &str {
        &self.compiled.text
    }

    /// Says how the filter is run. A document of an unexpected shape may still go through the interpreter.
    pub fn way(&self) -> Way {
        match &self.compiled.plan {
            Ok(_) => Way::Extracted,
            Err(_) => Way::Interpreted,
        }
    }

    /// Returns what in the filter needs the interpreter, in words; `None` if nothing does.
    pub fn why_interpreted(&self) -> Option<&str> {
        self.compiled.plan.as_ref().err().map(String::as_str)
    }

    /// Says in one line how the filter is run, and why.
    pub fn explain(&self) -> String {
        match self.why_interpreted() {
            None => "jq is read straight off the text".to_owned(),
            Some(reason) => format!("jq runs in the interpreter, because of {reason}"),
        }
    }

    pub(super) fn plan(&self) -> Option<&Plan> {
        self.compiled.plan.as_ref().ok()
    }

    /// Returns the same filter without its plan, to hold the two ways against each other.
    #[cfg(test)]
    pub(super) fn interpreted(&self) -> Self {
        let compiled = Compiled::new(&self.compiled.text, Err("the test".to_owned()));
        let compiled = compiled.expect("what is recognised is a filter of the interpreter too");
        Self {
            compiled: Arc::new(compiled),
        }
    }

    /// Runs the filter on one document, checked JSON, and hands each output to `output`.
    ///
    /// # Errors
    /// Of `output`; a run-away filter; a document that the interpreter cannot read. A fault that the
    /// filter itself raises is the `Ok(Err(…))`, after the outputs before it.
    pub(super) fn run(
        &self,
        document: &str,
        mut output: impl FnMut(&Val) -> anyhow::Result<()>,
    ) -> anyhow::Result<Result<(), String>> {
        let value = jaq_json::read::parse_single(document.as_bytes())
            .context("the jq interpreter cannot read it")?;
        let program = self.compiled.program()?;
        let context = Ctx::<JustLut<Val>>::new(&program.lut, Vars::new([]));
        let start = Instant::now();
        for (count, result) in program
            .id
            .run((context, value))
            .map(unwrap_valr)
            .enumerate()
        {
            ensure!(
                count < OUTPUTS_MAX,
                "the filter gives more than {OUTPUTS_MAX} outputs for one document"
            );
            ensure!(
                start.elapsed() < TIME_MAX,
                "the filter takes longer than {TIME_MAX:?} for one document"
            );
            match result {
                Ok(value) => output(&value)?,
                Err(error) => return Ok(Err(error.to_string())),
            }
        }
        Ok(Ok(()))
    }
}

fn check_size(text: &str) -> Result<(), JqError> {
    if text.len() > TEXT_MAX {
        let message = format!("the filter is longer than {TEXT_MAX} bytes");
        return Err(JqError {
            message,
            start: 0,
            end: text.len(),
        });
    }
    let mut depth = 0usize;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > BRACKETS_MAX {
            let message = format!("brackets are nested deeper than {BRACKETS_MAX} levels");
            return Err(JqError {
                message,
                start: at,
                end: at + 1,
            });
        }
    }
    Ok(())
}

fn check_tokens<'s>(text: &'s str, tokens: &[Token<&'s str>]) -> Result<(), JqError> {
    let mut count = 0;
    match excess_token(tokens, &mut count) {
        Some(token) => {
            let message = format!("the filter has more than {TOKENS_MAX} words and symbols");
            Err(JqError::at(text, token, message))
        }
        None => Ok(()),
    }
}

/// Returns the start of the first token beyond the bound.
fn excess_token<'s>(tokens: &[Token<&'s str>], count: &mut usize) -> Option<&'s str> {
    tokens.iter().find_map(|Token(piece, token)| {
        // Prefixes nest without anything between them: each link takes more of the stack.
        *count += if matches!(*piece, "try" | "-") { 3 } else { 1 };
        if *count > TOKENS_MAX {
            return Some(head(piece));
        }
        match token {
            lex::Tok::Block(inner) => excess_token(inner, count),
            lex::Tok::Str(parts) => parts.iter().find_map(|part| match part {
                lex::StrPart::Term(inner) => excess_token(std::slice::from_ref(inner), count),
                _ => None,
            }),
            _ => None,
        }
    })
}

/// Returns at most the first character of a piece of the text: errors hold all the rest of it.
fn head(piece: &str) -> &str {
    &piece[..piece.chars().next().map_or(0, char::len_utf8)]
}

fn lex_error<'s>(text: &'s str, faults: &[lex::Error<&'s str>]) -> JqError {
    let Some((expected, rest)) = faults.first() else {
        return JqError {
            message: "not a jq filter".to_owned(),
            start: 0,
            end: text.len(),
        };
    };
    match expected {
        // The rest starts where the closing one was missed; the culprit is what stands there if it is nothing of jq,
        // and the opening one otherwise.
        lex::Expect::Delim(_) if rest.trim_start().starts_with('\'') => {
            let found = head(rest.trim_start());
            JqError::at(text, found, "texts are in double quotes in jq".to_owned())
        }
        lex::Expect::Delim(open) => JqError::at(
            text,
            open,
            format!("`{open}` is not closed: expected {}", expected.as_str()),
        ),
        lex::Expect::Token => {
            let found = head(rest);
            let message = match found {
                "'" => "texts are in double quotes in jq".to_owned(),
                _ => format!("`{found}` means nothing here"),
            };
            JqError::at(text, found, message)
        }
        other => JqError::at(text, head(rest), format!("expected {}", other.as_str())),
    }
}

fn parse_error<'s, 't>(text: &'s str, faults: &[parse::TError<'t, &'s str>]) -> JqError {
    let Some((expected, found)) = faults.first() else {
        return JqError {
            message: "not a jq filter".to_owned(),
            start: 0,
            end: text.len(),
        };
    };
    let expected = match expected {
        parse::Expect::Just("") => "the end of the filter".to_owned(),
        parse::Expect::Just(word) => format!("`{word}`"),
        parse::Expect::Nothing => "an operator or the end".to_owned(),
        parse::Expect::Term => "a filter such as `.a`".to_owned(),
        parse::Expect::Key => "a key".to_owned(),
        other => other.as_str().to_owned(),
    };
    match found {
        None => JqError::at(
            text,
            &text[text.len()..],
            format!("expected {expected}, but the filter ends"),
        ),
        Some(Token(found, lex::Tok::Block(_) | lex::Tok::Str(_))) => {
            let found = head(found);
            JqError::at(text, found, format!("expected {expected}, found `{found}`"))
        }
        Some(Token(found @ (")" | "]" | "}"), _)) => {
            JqError::at(text, found, format!("expected {expected} before `{found}`"))
        }
        Some(Token(found, _)) => {
            JqError::at(text, found, format!("expected {expected}, found `{found}`"))
        }
    }
}

fn compile_program(text: &str) -> Result<Program, JqError> {
    let open = |name: &str| SEALED.iter().all(|(sealed, _)| *sealed != name);
    let defs = jaq_core::defs()
        .chain(jaq_std::defs())
        .chain(jaq_json::defs());
    let functions = jaq_core::funs()
        .chain(jaq_std::funs())
        .chain(jaq_json::funs());
    let arena = Arena::default();
    let loader = Loader::new(defs.filter(|definition| open(definition.name)));
    let modules = loader
        .load(
            &arena,
            File {
                code: text,
                path: (),
            },
        )
        .map_err(|_| {
            // The text was parsed as one term before: what fails now is a module's head.
            let message = "a filter cannot load modules".to_owned();
            JqError {
                message,
                start: 0,
                end: text.len(),
            }
        })?;
    let compiler = Compiler::default().with_funs(functions.filter(|(name, ..)| open(name)));
    compiler.compile(modules).map_err(|faults| {
        match faults.iter().flat_map(|(_, faults)| faults).next() {
            Some((name, undefined)) => undefined_error(text, name, undefined),
            None => JqError {
                message: "not a jq filter".to_owned(),
                start: 0,
                end: text.len(),
            },
        }
    })
}

fn undefined_error(text: &str, name: &str, undefined: &jaq_core::compile::Undefined) -> JqError {
    use jaq_core::compile::Undefined;
    let sealed = SEALED.iter().find(|(sealed, _)| *sealed == name);
    let message = match (undefined, sealed) {
        (_, Some((_, reason))) => format!("`{name}` is not available: {reason}"),
        (Undefined::Var, _) if name == "$ENV" => {
            format!("`{name}` is not available: a filter cannot read the environment")
        }
        (Undefined::Filter(0), _) => format!("`{name}` is not defined"),
        (Undefined::Filter(1), _) => format!("`{name}` with 1 argument is not defined"),
        (Undefined::Filter(arity), _) => format!("`{name}` with {arity} arguments is not defined"),
        (other, _) => format!("{} `{name}` is not defined", other.as_str()),
    };
    JqError::at(text, name, message)
}

/// A term whose names and literals are slices of the filter's text.
type TermOf<'s> = Term<&'s str>;

#[cfg(test)]
mod tests;
