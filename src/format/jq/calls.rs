//! Finds definitions that call themselves.
//!
//! The interpreter turns most recursion into recursion on the program's own stack, where a run-away one
//! cannot be caught. The library's own loops (`recurse`, `until`, …) are tail calls, which it unrolls.

use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::{BinaryOp, Def, Pattern, Term};
use jaq_core::path::{Part, Path};

use super::TermOf;

/// Returns the first call of a definition from within itself, as a piece of the text.
pub fn recursive<'s>(term: &TermOf<'s>) -> Option<&'s str> {
    Walk::default().term(term)
}

/// The definitions in scope: name, number of arguments, and whether we are inside of it.
#[derive(Default)]
struct Walk<'s> {
    scope: Vec<(&'s str, usize, bool)>,
}

impl<'s> Walk<'s> {
    fn terms<'t>(&mut self, terms: impl IntoIterator<Item = &'t TermOf<'s>>) -> Option<&'s str>
    where
        's: 't,
    {
        terms.into_iter().find_map(|term| self.term(term))
    }

    fn term(&mut self, term: &TermOf<'s>) -> Option<&'s str> {
        match term {
            Term::Id
            | Term::Recurse
            | Term::Num(_)
            | Term::Arr(None)
            | Term::Break(_)
            | Term::Var(_) => None,
            Term::Str(_, parts) => self.terms(parts.iter().filter_map(|part| match part {
                StrPart::Term(term) => Some(term),
                _ => None,
            })),
            Term::Arr(Some(inner)) | Term::Neg(inner) | Term::Label(_, inner) => self.term(inner),
            Term::Obj(members) => members
                .iter()
                .find_map(|(key, value)| self.term(key).or_else(|| self.terms(value))),
            Term::BinOp(left, operator, right) => {
                let pattern = match operator {
                    BinaryOp::Pipe(Some(pattern)) => self.pattern(pattern),
                    _ => None,
                };
                pattern
                    .or_else(|| self.term(left))
                    .or_else(|| self.term(right))
            }
            Term::Fold(_, source, pattern, arguments) => self
                .term(source)
                .or_else(|| self.pattern(pattern))
                .or_else(|| self.terms(arguments)),
            Term::TryCatch(inner, catch) => {
                self.term(inner).or_else(|| self.terms(catch.as_deref()))
            }
            Term::IfThenElse(branches, otherwise) => branches
                .iter()
                .find_map(|(condition, then)| self.term(condition).or_else(|| self.term(then)))
                .or_else(|| self.terms(otherwise.as_deref())),
            Term::Def(definitions, body) => self.definitions(definitions, body),
            Term::Call(name, arguments) => self.call(name, arguments),
            Term::Path(inner, path) => self.term(inner).or_else(|| self.path(path)),
        }
    }

    fn call(&mut self, name: &'s str, arguments: &[TermOf<'s>]) -> Option<&'s str> {
        let found = (self.scope.iter().rev())
            .find(|(other, arity, _)| *other == name && *arity == arguments.len());
        match found {
            Some((_, _, true)) => Some(name),
            _ => self.terms(arguments),
        }
    }

    fn definitions(&mut self, definitions: &[Def<&'s str>], body: &TermOf<'s>) -> Option<&'s str> {
        let depth = self.scope.len();
        for definition in definitions {
            let inner = self.scope.len();
            self.scope
                .push((definition.name, definition.args.len(), true));
            // An argument hides an outer definition of its name.
            self.scope
                .extend(definition.args.iter().map(|argument| (*argument, 0, false)));
            if let Some(call) = self.term(&definition.body) {
                return Some(call);
            }
            self.scope.truncate(inner);
            self.scope
                .push((definition.name, definition.args.len(), false));
        }
        let found = self.term(body);
        self.scope.truncate(depth);
        found
    }

    fn pattern(&mut self, pattern: &Pattern<&'s str>) -> Option<&'s str> {
        match pattern {
            Pattern::Var(_) => None,
            Pattern::Arr(items) => items.iter().find_map(|item| self.pattern(item)),
            Pattern::Obj(members) => members
                .iter()
                .find_map(|(key, value)| self.term(key).or_else(|| self.pattern(value))),
        }
    }

    fn path(&mut self, path: &Path<TermOf<'s>>) -> Option<&'s str> {
        path.0.iter().find_map(|(part, _)| match part {
            Part::Index(index) => self.term(index),
            Part::Range(from, to) => self.terms(from).or_else(|| self.terms(to)),
        })
    }
}
