//! Recognises filters that need no interpreter: paths, iteration, and objects built from paths.
//!
//! A plan is a way down to the rows (`.data.ticker[]`), then each row as it is or an object built from paths
//! into it (`{symbol, price: .last[0] | tonumber}`). What a plan says must be what jq says; where a
//! document's shape makes that doubtful (a path into a text, an iteration over `null`), whoever walks it
//! gives the document to the interpreter instead.

use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::{BinaryOp, Term};
use jaq_core::path::{Opt, Part};

use super::TermOf;

/// A recognised filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub steps: Vec<Step>,
    pub row: Row,
}

/// One step down, towards the rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// `.name`
    Key(String),
    /// `.[3]`
    Index(usize),
    /// `.[]`
    Each,
}

/// What is made of each value the steps lead to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Row {
    /// The value itself.
    Whole,
    /// `{name: path, …}`; no name occurs twice.
    Build(Vec<Member>),
}

/// One member of a built object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub name: String,
    pub source: Source,
    pub cast: Cast,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A path of keys and indices into the row; empty for the row itself.
    Path(Vec<Step>),
    /// The JSON text of a literal.
    Constant(String),
}

/// `| tonumber` or `| tostring` after a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cast {
    None,
    ToNumber,
    ToString,
}

impl Plan {
    /// Returns the plan of a filter, if it has one.
    pub(super) fn of(term: &TermOf<'_>) -> Option<Self> {
        let mut stages = Vec::new();
        flatten(term, &mut stages);
        let row = match stages.last() {
            Some(Term::Obj(members)) if !members.is_empty() => {
                stages.pop();
                build(members)?
            }
            _ => Row::Whole,
        };
        let mut steps = Vec::new();
        for stage in stages {
            push_steps(stage, &mut steps)?;
        }
        Some(Self { steps, row })
    }
}

/// Splits `a | b | c`.
fn flatten<'t, 's>(term: &'t TermOf<'s>, stages: &mut Vec<&'t TermOf<'s>>) {
    match term {
        Term::BinOp(left, BinaryOp::Pipe(None), right) => {
            flatten(left, stages);
            flatten(right, stages);
        }
        other => stages.push(other),
    }
}

/// Appends the steps of a path such as `.a.b[0][]`.
fn push_steps(term: &TermOf<'_>, steps: &mut Vec<Step>) -> Option<()> {
    let (start, path) = match term {
        Term::Id => return Some(()),
        Term::Path(start, path) => (start, path),
        _ => return None,
    };
    push_steps(start, steps)?;
    for (part, optional) in &path.0 {
        if let Opt::Optional = optional {
            return None;
        }
        steps.push(match part {
            Part::Range(None, None) => Step::Each,
            Part::Index(Term::Num(digits)) => Step::Index(digits.parse().ok()?),
            Part::Index(index) => Step::Key(literal(index)?),
            Part::Range(_, _) => return None,
        });
    }
    Some(())
}

/// Returns the characters of a string without interpolation.
fn literal(term: &TermOf<'_>) -> Option<String> {
    let Term::Str(None, parts) = term else {
        return None;
    };
    let mut text = String::new();
    for part in parts {
        match part {
            StrPart::Str(piece) => text.push_str(piece),
            StrPart::Char(character) => text.push(*character),
            StrPart::Term(_) => return None,
        }
    }
    Some(text)
}

fn build(members: &[(TermOf<'_>, Option<TermOf<'_>>)]) -> Option<Row> {
    let mut built: Vec<Member> = Vec::new();
    for (key, value) in members {
        let name = literal(key)?;
        let (source, cast) = match value {
            // `{symbol}` is `{symbol: .symbol}`.
            None => (Source::Path(vec![Step::Key(name.clone())]), Cast::None),
            Some(value) => source(value)?,
        };
        if built.iter().any(|other| other.name == name) {
            return None;
        }
        built.push(Member { name, source, cast });
    }
    Some(Row::Build(built))
}

fn source(term: &TermOf<'_>) -> Option<(Source, Cast)> {
    let mut stages = Vec::new();
    flatten(term, &mut stages);
    let cast = match stages.last() {
        Some(Term::Call("tonumber", arguments)) if arguments.is_empty() => Cast::ToNumber,
        Some(Term::Call("tostring", arguments)) if arguments.is_empty() => Cast::ToString,
        _ => Cast::None,
    };
    if cast != Cast::None {
        stages.pop();
    } else if let [Term::Str(None, _)] = stages.as_slice() {
        let mut text = String::new();
        crate::format::value::write_text(&literal(stages[0])?, &mut text);
        return Some((Source::Constant(text), cast));
    }
    let mut steps = Vec::new();
    for stage in stages {
        push_steps(stage, &mut steps)?;
    }
    let plain = !steps.contains(&Step::Each);
    plain.then_some((Source::Path(steps), cast))
}
