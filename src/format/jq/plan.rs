//! What a filter that needs no interpreter does, as steps and expressions over the text of a document.
//!
//! A [`Plan`] gives any number of outputs: it goes down to the rows (`.data.ticker[]`), keeps some of them
//! (`select(…)`), and gives each as it is or as an object of expressions over it. A [`Program`] gives one
//! output or none of one value. [`super::recognise`] makes them of filters, [`super::walk`] and
//! [`super::evaluate`] run them.
//!
//! **What a plan gives is what the interpreter gives.** Where that is in doubt (an error that jq would raise, a
//! key given twice on the way to the rows, a number in a form that jq reads in its own way), the run ends with
//! [`Halt::Unexpected`], and whoever runs it gives the whole document to the interpreter instead.

use jaq_core::ops::{Cmp, Math};

use super::evaluate::Answer;
use super::places::Places;
use crate::format::scan::Fault;

/// Why a run ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Halt {
    /// The text is not JSON.
    Fault(Fault),
    /// Not what the plan knows how to answer.
    Unexpected,
}

impl From<Fault> for Halt {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// A recognised filter.
#[derive(Clone, Debug)]
pub struct Plan {
    pub steps: Vec<Step>,
    pub output: Output,
    /// The outputs are the items of one array, which is the filter's only output: `[.[] | …]`.
    pub listed: bool,
    /// Whether a `[]` of the steps has met an item in any run so far.
    pub met_items: bool,
}

impl Plan {
    /// Returns the names of the members of the outputs, if they are objects that the plan builds.
    pub fn member_names(&self) -> Option<&[String]> {
        match &self.output {
            Output::Object(build) => Some(&build.names),
            Output::Whole => None,
        }
    }

    /// Says whether the first `[]` has met an item in any run so far, whatever became of it; false if there is no `[]`.
    pub fn met_items(&self) -> bool {
        // An array that is made of a computed value has its `[]` in an expression.
        let collected = |step: &Step| match step {
            Step::Compute(program) => match &program.expr {
                Expr::Collect(_, plan) => plan.met_items(),
                _ => false,
            },
            _ => false,
        };
        self.met_items || self.steps.iter().any(collected)
    }
}

/// One step down, towards the outputs.
#[derive(Clone, Debug)]
pub enum Step {
    /// `.name`
    Key { name: String, optional: bool },
    /// `.[3]`, `.[-1]`
    Index { at: i64, optional: bool },
    /// `.[]`, or `.[2:][]`
    Each { slice: Slice, optional: bool },
    /// `select(…)`
    Select(Program),
    /// Goes on in a value that is made of the one here: `.a // .b`, `.[2:]`.
    Compute(Program),
}

/// What is given of each value that the steps lead to.
#[derive(Clone, Debug)]
pub enum Output {
    /// The value itself.
    Whole,
    Object(Box<Build>),
}

/// `select(…) | {name: …, …}`: an object of the value that the places are found in.
#[derive(Clone, Debug)]
pub struct Build {
    pub places: Places,
    /// All of them must hold, in order.
    pub conditions: Vec<Expr>,
    /// No name occurs twice.
    pub names: Vec<String>,
    /// By the numbers of the names.
    pub values: Vec<Expr>,
    /// The places that are the values, where all are no more than that.
    pub values_at: Option<Vec<usize>>,
    /// The memory of the values of one object, for the next one.
    pub scratch: Vec<Answer<'static>>,
}

impl Build {
    pub fn new(
        places: Places,
        conditions: Vec<Expr>,
        (names, values): (Vec<String>, Vec<Expr>),
    ) -> Self {
        let place_of = |value: &Expr| match value {
            Expr::Place(number) => Some(*number),
            _ => None,
        };
        Self {
            places,
            conditions,
            names,
            values_at: values.iter().map(place_of).collect(),
            values,
            scratch: Vec::new(),
        }
    }
}

/// An expression over one value, with the places in it that it reads.
#[derive(Clone, Debug)]
pub struct Program {
    pub places: Places,
    pub expr: Expr,
}

/// The bounds of `.[from:to]`; negative ones count from the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slice {
    pub from: Option<i64>,
    pub to: Option<i64>,
}

/// Gives one value, or none.
#[derive(Clone, Debug)]
pub enum Expr {
    /// The value at a place, by the number of its path.
    Place(usize),
    /// The JSON text of a literal.
    Constant(String),
    Empty,
    Cast(Cast, Box<Expr>),
    Not(Box<Expr>),
    /// `.[from:to]` of an array or text.
    Slice(Box<Expr>, Slice),
    /// `.[-1]` and the like.
    FromEnd(Box<Expr>, i64),
    /// `left // right`
    Alternative(Box<Expr>, Box<Expr>),
    /// `left and right`, where `false` decides; `left or right`, where `true` does.
    Logic {
        decides: bool,
        left: Box<Expr>,
        right: Box<Expr>,
    },
    Binary(Operator, Box<Expr>, Box<Expr>),
    If {
        condition: Box<Expr>,
        then: Box<Expr>,
        otherwise: Box<Expr>,
    },
    /// `[a, b, c]`
    Array(Vec<Expr>),
    /// `{name: a, …}`; no name occurs twice.
    Object(Vec<(String, Expr)>),
    /// `[.a[] | …]` of a value.
    Collect(Box<Expr>, Box<Plan>),
    /// `first | then`
    Pipe(Box<Expr>, Box<Program>),
}

/// What is made of two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    Compare(Cmp),
    Math(Math),
}

/// `tonumber` and `tostring`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cast {
    ToNumber,
    ToString,
}

impl Slice {
    /// Returns the numbers of the first item taken and of the first one after those, for an array or text of a
    /// length.
    pub fn within(self, length: usize) -> (usize, usize) {
        let absolute = |bound: i64| {
            let size = usize::try_from(bound.unsigned_abs()).unwrap_or(usize::MAX);
            let at = if bound < 0 {
                length.saturating_sub(size)
            } else {
                size
            };
            at.min(length)
        };
        let from = self.from.map_or(0, absolute);
        (from, self.to.map_or(length, absolute).max(from))
    }

    /// Says whether the length has to be known.
    pub fn counts_from_end(self) -> bool {
        [self.from, self.to]
            .into_iter()
            .flatten()
            .any(|bound| bound < 0)
    }
}
