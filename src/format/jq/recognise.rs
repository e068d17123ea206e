//! Recognises filters that need no interpreter, and says of the others what they need it for.
//!
//! Two levels: [`Stages`] takes the stages of a pipe that may give any number of outputs (`.a[] | select(…)`),
//! and leaves to [`super::scope`] what gives one value at most.

use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::{BinaryOp, Term};
use jaq_core::path::{Opt, Part};

use super::TermOf;
use super::places::Places;
use super::plan::{Build, Expr, Output, Plan, Slice, Step};
use super::scope::{Scope, program};

/// Steps and paths longer than this go to the interpreter: walking them recurses.
pub const STEPS_MAX: usize = 128;

/// Returns the plan of a filter.
///
/// # Errors
/// What in it needs the interpreter, in words.
pub fn recognise(term: &TermOf<'_>) -> Result<Plan, String> {
    let mut stages = Stages::default();
    stages.term(term)?;
    stages.finish()
}

/// The stages of a pipe so far.
#[derive(Default)]
pub struct Stages<'t, 's> {
    drafts: Vec<Draft<'t, 's>>,
    /// What was taken from this draft on stands in the brackets of an array.
    listed: Option<usize>,
    /// How deep in expressions the stages stand.
    depth: usize,
}

/// A step whose expressions are not compiled yet: the last ones may share their places.
enum Draft<'t, 's> {
    Step(Step),
    Select(&'t TermOf<'s>),
    Compute(&'t TermOf<'s>),
    /// `.[from:to]`, not followed by `[]`.
    Slice(Slice),
    /// The array of the outputs of a plan.
    Collect(Plan),
}

impl Draft<'_, '_> {
    fn step(self, depth: usize) -> Result<Step, String> {
        let whole = |expr: &dyn Fn(Box<Expr>) -> Expr| {
            let mut scope = Scope::default();
            let input = Box::new(scope.place(Vec::new()));
            Step::Compute(scope.finish(expr(input)))
        };
        Ok(match self {
            Self::Step(step) => step,
            Self::Select(condition) => Step::Select(program(condition, depth)?),
            Self::Compute(term) => Step::Compute(program(term, depth)?),
            Self::Slice(slice) => whole(&|input| Expr::Slice(input, slice)),
            Self::Collect(plan) => {
                let plan = Box::new(plan);
                whole(&|input| Expr::Collect(input, plan.clone()))
            }
        })
    }
}

impl<'t, 's> Stages<'t, 's> {
    /// Starts in the depth of an expression.
    pub fn within(depth: usize) -> Self {
        Self {
            depth: depth + 1,
            ..Self::default()
        }
    }

    /// Takes `a | b | c`.
    pub fn term(&mut self, term: &'t TermOf<'s>) -> Result<(), String> {
        for stage in flattened(term) {
            match self.listed.take() {
                Some(start) => self.after_list(start, stage)?,
                None => self.stage(stage)?,
            }
        }
        if self.drafts.len() > STEPS_MAX {
            return Err(format!("more than {STEPS_MAX} steps"));
        }
        Ok(())
    }

    fn stage(&mut self, stage: &'t TermOf<'s>) -> Result<(), String> {
        match stage {
            Term::Id => {}
            Term::Path(start, path) => {
                self.term(start)?;
                let parts = path.0.as_slice();
                match (self.listed.take(), parts.split_first()) {
                    (Some(_), Some((part, rest))) if is_each(part) => self.parts(rest)?,
                    (Some(_), _) => return Err(IN_THE_MIDDLE.to_owned()),
                    (None, _) => self.parts(parts)?,
                }
            }
            Term::Call("select", arguments) if arguments.len() == 1 => {
                self.drafts.push(Draft::Select(&arguments[0]));
            }
            Term::Call("map", arguments) if arguments.len() == 1 => {
                let start = self.drafts.len();
                self.each();
                let items = self.inner(&arguments[0])?;
                self.list(start, items)?;
            }
            Term::Arr(Some(inner)) => match self.inner(inner) {
                Ok(items) if items.generates() => self.list(self.drafts.len(), items)?,
                _ => self.drafts.push(Draft::Compute(stage)),
            },
            _ => self.drafts.push(Draft::Compute(stage)),
        }
        Ok(())
    }

    /// Goes on with the items of the array that was taken.
    fn after_list(&mut self, start: usize, stage: &'t TermOf<'s>) -> Result<(), String> {
        match stage {
            Term::Id => self.listed = Some(start),
            Term::Path(start, path) => match (start.as_ref(), path.0.split_first()) {
                (Term::Id, Some((part, rest))) if is_each(part) => self.parts(rest)?,
                _ => return Err(IN_THE_MIDDLE.to_owned()),
            },
            Term::Call("map", arguments) if arguments.len() == 1 => {
                let items = self.inner(&arguments[0])?;
                self.list(start, items)?;
            }
            _ => return Err(IN_THE_MIDDLE.to_owned()),
        }
        Ok(())
    }

    /// Returns the stages of a filter that stands in brackets.
    fn inner(&self, term: &'t TermOf<'s>) -> Result<Self, String> {
        let mut stages = Self::within(self.depth);
        stages.term(term)?;
        Ok(stages)
    }

    /// Takes the stages whose outputs are the items of an array that begins at a draft.
    fn list(&mut self, start: usize, mut items: Self) -> Result<(), String> {
        items.close_list()?;
        self.drafts.append(&mut items.drafts);
        self.listed = Some(start);
        Ok(())
    }

    /// Makes one draft of an array, so that it can be one value among others.
    fn close_list(&mut self) -> Result<(), String> {
        if let Some(start) = self.listed.take() {
            let items = Self {
                drafts: self.drafts.split_off(start),
                listed: Some(0),
                depth: self.depth,
            };
            self.drafts.push(Draft::Collect(items.finish()?));
        }
        Ok(())
    }

    fn each(&mut self) {
        let (slice, optional) = (Slice::default(), false);
        self.drafts
            .push(Draft::Step(Step::Each { slice, optional }));
    }

    fn parts(&mut self, parts: &[(Part<TermOf<'s>>, Opt)]) -> Result<(), String> {
        for (part, opt) in parts {
            let optional = matches!(opt, Opt::Optional);
            let step = match read_part(part)? {
                Read::Each => match self.drafts.pop() {
                    // The items of a slice are taken without making it.
                    Some(Draft::Slice(slice)) if !optional => Step::Each { slice, optional },
                    other => {
                        self.drafts.extend(other);
                        let slice = Slice::default();
                        Step::Each { slice, optional }
                    }
                },
                Read::Key(name) => Step::Key { name, optional },
                Read::Index(at) => Step::Index { at, optional },
                Read::Slice(_) if optional => return Err("`?` after a slice".to_owned()),
                Read::Slice(slice) => {
                    self.drafts.push(Draft::Slice(slice));
                    continue;
                }
            };
            self.drafts.push(Draft::Step(step));
        }
        Ok(())
    }

    /// Says whether there may be more than one output, or there are arrays of such.
    pub fn generates(&self) -> bool {
        let each = |draft: &Draft<'_, '_>| {
            matches!(draft, Draft::Step(Step::Each { .. }) | Draft::Collect(_))
        };
        self.drafts.iter().any(each)
    }

    /// Returns the plan of the stages taken.
    pub fn finish(mut self) -> Result<Plan, String> {
        // What comes before the array must give exactly one value for it to be the only one.
        let single = |draft: &Draft<'_, '_>| match draft {
            Draft::Step(Step::Key { optional, .. } | Step::Index { optional, .. }) => !optional,
            Draft::Slice(_) => true,
            _ => false,
        };
        if !self
            .listed
            .is_some_and(|start| self.drafts[..start].iter().all(single))
        {
            self.close_list()?;
        }
        let listed = self.listed.is_some();
        let output = match self.drafts.pop() {
            Some(Draft::Compute(Term::Obj(members))) if !members.is_empty() => {
                self.build(members)?
            }
            last => {
                self.drafts.extend(last);
                Output::Whole
            }
        };
        let depth = self.depth;
        let steps = self.drafts.into_iter().map(|draft| draft.step(depth));
        Ok(Plan {
            steps: steps.collect::<Result<_, String>>()?,
            output,
            listed,
            met_items: false,
        })
    }

    /// Takes the conditions right before an object into the same pass.
    fn build(&mut self, members: &[(TermOf<'_>, Option<TermOf<'_>>)]) -> Result<Output, String> {
        let conditions = self.drafts.iter().rev();
        let count = conditions
            .take_while(|draft| matches!(draft, Draft::Select(_)))
            .count();
        let mut scope = Scope::within(self.depth);
        let mut conditions = Vec::new();
        for draft in self.drafts.drain(self.drafts.len() - count..) {
            if let Draft::Select(condition) = draft {
                conditions.push(scope.term(condition)?);
            }
        }
        let members = scope.members(members)?.into_iter().unzip();
        let places = Places::new(scope.into_paths());
        let build = Build::new(places, conditions, members);
        Ok(Output::Object(Box::new(build)))
    }
}

const IN_THE_MIDDLE: &str = "an array that is made in the middle of a pipe";

fn is_each(part: &(Part<TermOf<'_>>, Opt)) -> bool {
    matches!(part, (Part::Range(None, None), Opt::Essential))
}

/// Returns the stages of `a | b | c`.
pub fn flattened<'t, 's>(term: &'t TermOf<'s>) -> Vec<&'t TermOf<'s>> {
    fn flatten<'t, 's>(term: &'t TermOf<'s>, stages: &mut Vec<&'t TermOf<'s>>) {
        match term {
            Term::BinOp(left, BinaryOp::Pipe(None), right) => {
                flatten(left, stages);
                flatten(right, stages);
            }
            other => stages.push(other),
        }
    }
    let mut stages = Vec::new();
    flatten(term, &mut stages);
    stages
}

/// A part of a path with literals only.
pub enum Read {
    Key(String),
    Index(i64),
    Each,
    Slice(Slice),
}

pub fn read_part(part: &Part<TermOf<'_>>) -> Result<Read, String> {
    let bound = |term: &Option<TermOf<'_>>| match term {
        Some(term) => match integer(term) {
            Some(number) => Ok(Some(number)),
            None => Err("a computed bound of a slice".to_owned()),
        },
        None => Ok(None),
    };
    Ok(match part {
        Part::Range(None, None) => Read::Each,
        Part::Range(from, to) => Read::Slice(Slice {
            from: bound(from)?,
            to: bound(to)?,
        }),
        Part::Index(index) => match (integer(index), literal(index)) {
            (Some(at), _) => Read::Index(at),
            (None, Some(name)) => Read::Key(name),
            (None, None) => return Err("a computed index".to_owned()),
        },
    })
}

/// Returns a whole number that a position can be.
fn integer(term: &TermOf<'_>) -> Option<i64> {
    match term {
        Term::Num(digits) => digits.parse().ok(),
        Term::Neg(inner) => match inner.as_ref() {
            Term::Num(digits) => digits.parse::<i64>().ok().map(|number| -number),
            _ => None,
        },
        _ => None,
    }
}

/// Returns the characters of a string without interpolation.
pub fn literal(term: &TermOf<'_>) -> Option<String> {
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
