//! Terms that give one value at most to expressions over the places of their input.

use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::{BinaryOp, Term};
use jaq_core::path::{Opt, Part};

use super::TermOf;
use super::places::{Part as Place, Path, PathStep, Places};
use super::plan::{Cast, Expr, Operator, Program};
use super::recognise::{Read, STEPS_MAX, Stages, flattened, literal, read_part};
use crate::format::scan::is_number;
use crate::format::value::write_text;

/// Expressions nested deeper than this go to the interpreter: making and running them recurses.
const DEPTH_MAX: usize = 32;

/// Returns the program of a term that stands in the depth of others.
///
/// # Errors
/// What in it needs the interpreter.
pub fn program(term: &TermOf<'_>, depth: usize) -> Result<Program, String> {
    program_of(&flattened(term), depth)
}

fn program_of(stages: &[&TermOf<'_>], depth: usize) -> Result<Program, String> {
    let mut scope = Scope::within(depth);
    if scope.depth > DEPTH_MAX {
        return Err(too_deep());
    }
    let expr = scope.stages(stages)?;
    Ok(scope.finish(expr))
}

/// The places that expressions over one input read.
#[derive(Default)]
pub struct Scope {
    paths: Vec<Path>,
    depth: usize,
}

/// The value that the next stage of a pipe starts from.
enum Current {
    /// Still a path from the input.
    Path(Path),
    Made(Expr),
}

impl Scope {
    /// Starts in the depth of an expression.
    pub fn within(depth: usize) -> Self {
        Self {
            depth: depth + 1,
            ..Self::default()
        }
    }

    /// Returns the expression of the place at a path.
    pub fn place(&mut self, path: Path) -> Expr {
        let known = self.paths.iter().position(|known| *known == path);
        Expr::Place(known.unwrap_or_else(|| {
            self.paths.push(path);
            self.paths.len() - 1
        }))
    }

    pub fn into_paths(self) -> Vec<Path> {
        self.paths
    }

    pub fn finish(self, expr: Expr) -> Program {
        Program {
            places: Places::new(self.paths),
            expr,
        }
    }

    /// Takes `a | b | c` over the input.
    pub fn term(&mut self, term: &TermOf<'_>) -> Result<Expr, String> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(too_deep());
        }
        let expr = self.stages(&flattened(term));
        self.depth -= 1;
        expr
    }

    fn boxed(&mut self, term: &TermOf<'_>) -> Result<Box<Expr>, String> {
        self.term(term).map(Box::new)
    }

    fn stages(&mut self, stages: &[&TermOf<'_>]) -> Result<Expr, String> {
        let mut current = Current::Path(Vec::new());
        for (number, stage) in stages.iter().enumerate() {
            let at_input = matches!(&current, Current::Path(path) if path.is_empty());
            current = match stage {
                Term::Id => current,
                Term::Path(start, path) if matches!(start.as_ref(), Term::Id) => {
                    self.parts(current, &path.0)?
                }
                Term::Path(start, path) if at_input => {
                    let start = self.term(start)?;
                    self.parts(Current::Made(start), &path.0)?
                }
                Term::Call(name, arguments) if arguments.is_empty() && is_unary(name) => {
                    let input = Box::new(self.made(current));
                    Current::Made(match *name {
                        "tonumber" => Expr::Cast(Cast::ToNumber, input),
                        "tostring" => Expr::Cast(Cast::ToString, input),
                        _ => Expr::Not(input),
                    })
                }
                other if at_input => Current::Made(self.single(other)?),
                _ => {
                    let input = Box::new(self.made(current));
                    let rest = program_of(&stages[number..], self.depth)?;
                    return Ok(Expr::Pipe(input, Box::new(rest)));
                }
            };
        }
        Ok(self.made(current))
    }

    fn made(&mut self, current: Current) -> Expr {
        match current {
            Current::Path(path) => self.place(path),
            Current::Made(expr) => expr,
        }
    }

    fn parts(
        &mut self,
        mut current: Current,
        parts: &[(Part<TermOf<'_>>, Opt)],
    ) -> Result<Current, String> {
        for (part, opt) in parts {
            let optional = matches!(opt, Opt::Optional);
            let part = match read_part(part)? {
                Read::Key(name) => Place::Key(name),
                Read::Index(at) => match usize::try_from(at) {
                    Ok(at) => Place::Index(at),
                    Err(_) if optional => return Err("`?` after a negative index".to_owned()),
                    Err(_) => {
                        let input = Box::new(self.made(current));
                        current = Current::Made(Expr::FromEnd(input, at));
                        continue;
                    }
                },
                Read::Slice(_) if optional => return Err("`?` after a slice".to_owned()),
                Read::Slice(slice) => {
                    let input = Box::new(self.made(current));
                    current = Current::Made(Expr::Slice(input, slice));
                    continue;
                }
                Read::Each => return Err("`[]` inside of a value".to_owned()),
            };
            current = extended(current, PathStep { part, optional });
        }
        match &current {
            Current::Path(path) if path.len() > STEPS_MAX => {
                Err(format!("a path of more than {STEPS_MAX} steps"))
            }
            _ => Ok(current),
        }
    }

    /// Takes one stage over the input.
    fn single(&mut self, term: &TermOf<'_>) -> Result<Expr, String> {
        Ok(match term {
            Term::Num(digits) if is_number(digits) => Expr::Constant((*digits).to_owned()),
            Term::Neg(inner) => match inner.as_ref() {
                Term::Num(digits) if is_number(digits) => Expr::Constant(format!("-{digits}")),
                _ => return Err("a negated value".to_owned()),
            },
            Term::Str(None, _) if literal(term).is_some() => {
                let mut text = String::new();
                write_text(&literal(term).unwrap_or_default(), &mut text);
                Expr::Constant(text)
            }
            Term::Call(word @ ("true" | "false" | "null"), arguments) if arguments.is_empty() => {
                Expr::Constant((*word).to_owned())
            }
            Term::Call("empty", arguments) if arguments.is_empty() => Expr::Empty,
            Term::Call("select", arguments) if arguments.len() == 1 => Expr::If {
                condition: self.boxed(&arguments[0])?,
                then: Box::new(self.place(Vec::new())),
                otherwise: Box::new(Expr::Empty),
            },
            Term::Call("map", arguments) if arguments.len() == 1 => self.collect(term)?,
            Term::IfThenElse(branches, otherwise) => {
                let mut expr = match otherwise {
                    Some(otherwise) => self.term(otherwise)?,
                    None => self.place(Vec::new()),
                };
                for (condition, then) in branches.iter().rev() {
                    expr = Expr::If {
                        condition: self.boxed(condition)?,
                        then: self.boxed(then)?,
                        otherwise: Box::new(expr),
                    };
                }
                expr
            }
            Term::BinOp(left, operator, right) => self.binary(left, operator, right)?,
            Term::Arr(None) => Expr::Constant("[]".to_owned()),
            Term::Arr(Some(inner)) => self.array(term, inner)?,
            Term::Obj(members) => Expr::Object(self.members(members)?),
            other => return Err(words(other)),
        })
    }

    fn binary(
        &mut self,
        left: &TermOf<'_>,
        operator: &BinaryOp<&str>,
        right: &TermOf<'_>,
    ) -> Result<Expr, String> {
        let operator = match operator {
            BinaryOp::Alt => {
                return Ok(Expr::Alternative(self.boxed(left)?, self.boxed(right)?));
            }
            BinaryOp::Cmp(operator) => Operator::Compare(*operator),
            BinaryOp::Math(operator) => Operator::Math(*operator),
            BinaryOp::And | BinaryOp::Or => {
                return Ok(Expr::Logic {
                    decides: matches!(operator, BinaryOp::Or),
                    left: self.boxed(left)?,
                    right: self.boxed(right)?,
                });
            }
            BinaryOp::Comma => return Err("`,` outside of `[…]`".to_owned()),
            BinaryOp::Pipe(_) => return Err("`as`".to_owned()),
            _ => return Err("an assignment".to_owned()),
        };
        Ok(Expr::Binary(
            operator,
            self.boxed(left)?,
            self.boxed(right)?,
        ))
    }

    /// Takes `[a, b, c]`, or `[.a[] | …]`.
    fn array(&mut self, term: &TermOf<'_>, inner: &TermOf<'_>) -> Result<Expr, String> {
        let items: Result<Vec<Expr>, String> = between_commas(inner)
            .into_iter()
            .map(|item| self.term(item))
            .collect();
        match items {
            Ok(items) => Ok(Expr::Array(items)),
            Err(reason) => self.collect(term).map_err(|_| reason),
        }
    }

    /// Takes a term that makes an array of many outputs.
    fn collect(&mut self, term: &TermOf<'_>) -> Result<Expr, String> {
        if self.depth >= DEPTH_MAX {
            return Err(too_deep());
        }
        let mut stages = Stages::within(self.depth);
        stages.term(term)?;
        if !stages.generates() {
            return Err("its shape".to_owned());
        }
        let plan = stages.finish()?;
        Ok(Expr::Collect(
            Box::new(self.place(Vec::new())),
            Box::new(plan),
        ))
    }

    /// Takes the members of an object.
    pub fn members(
        &mut self,
        members: &[(TermOf<'_>, Option<TermOf<'_>>)],
    ) -> Result<Vec<(String, Expr)>, String> {
        let mut taken: Vec<(String, Expr)> = Vec::new();
        for (key, value) in members {
            let Some(name) = literal(key) else {
                return Err("a computed key".to_owned());
            };
            let expr = match value {
                // `{symbol}` is `{symbol: .symbol}`.
                None => self.place(vec![PathStep {
                    part: Place::Key(name.clone()),
                    optional: false,
                }]),
                Some(value) => self.term(value)?,
            };
            if taken.iter().any(|(known, _)| *known == name) {
                return Err(format!("the key `{name}` given twice"));
            }
            taken.push((name, expr));
        }
        Ok(taken)
    }
}

/// Adds a step to a path; one into a value that was made is a program over that.
fn extended(current: Current, step: PathStep) -> Current {
    match current {
        Current::Path(mut path) => {
            path.push(step);
            Current::Path(path)
        }
        Current::Made(expr) => {
            let program = Program {
                places: Places::new(vec![vec![step]]),
                expr: Expr::Place(0),
            };
            Current::Made(Expr::Pipe(Box::new(expr), Box::new(program)))
        }
    }
}

fn too_deep() -> String {
    format!("expressions nested deeper than {DEPTH_MAX} levels")
}

fn is_unary(name: &str) -> bool {
    matches!(name, "tonumber" | "tostring" | "not")
}

/// Returns the terms of `a, b, c`.
fn between_commas<'t, 's>(term: &'t TermOf<'s>) -> Vec<&'t TermOf<'s>> {
    match term {
        Term::BinOp(left, BinaryOp::Comma, right) => {
            let mut terms = between_commas(left);
            terms.extend(between_commas(right));
            terms
        }
        other => vec![other],
    }
}

/// Names what a term needs the interpreter for.
fn words(term: &TermOf<'_>) -> String {
    match term {
        Term::Recurse => "`..`".to_owned(),
        Term::Call(name, _) | Term::Var(name) | Term::Fold(name, ..) => format!("`{name}`"),
        Term::Str(Some(format), _) => format!("`{format}`"),
        Term::Str(None, parts) if parts.iter().any(|part| matches!(part, StrPart::Term(_))) => {
            "a text with `\\(…)`".to_owned()
        }
        Term::TryCatch(..) => "`try` or `?`".to_owned(),
        Term::Def(..) => "`def`".to_owned(),
        Term::Label(..) | Term::Break(_) => "`label`".to_owned(),
        Term::Num(digits) => format!("the number `{digits}`"),
        _ => "its shape".to_owned(),
    }
}
