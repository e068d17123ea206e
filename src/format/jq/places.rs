//! Many paths into one value, found in one pass over its text.
//!
//! The paths are one tree, so that each value is passed once however many of them lead into it. A path that
//! does not fit the value (a key of a text) is noted, not raised: it is a fault only for what asks for it.

use std::sync::Arc;

use super::plan::Halt;
use crate::format::fields::{Matcher, Names, Target};
use crate::format::scan::Cursor;
use crate::format::value::Value;

/// A path of keys and indices; empty for the value itself.
pub type Path = Vec<PathStep>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathStep {
    pub part: Part,
    /// `?`: where it does not fit there is no value, instead of an error.
    pub optional: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    Key(String),
    Index(usize),
}

/// What lies at the end of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing, which is `null`.
    Null,
    /// A value, from here to there.
    Value {
        start: usize,
        end: usize,
        /// It is a text with escapes in it.
        escaped: bool,
    },
    /// The step of this number does not fit the value that it is taken from.
    Misfit(usize),
}

/// The paths, and where each of them led in the value seen last.
#[derive(Clone, Debug)]
pub struct Places {
    paths: Vec<Path>,
    tree: Vec<Node>,
    /// Per node, what was learned of the objects there.
    matchers: Vec<Matcher>,
    /// Per path.
    found: Vec<Found>,
}

/// A place in the value; nodes below it come after it.
#[derive(Clone, Debug)]
struct Node {
    /// How many steps lead here.
    depth: usize,
    /// By the numbers of the node's names.
    keys: Vec<Member>,
    /// Index, node.
    indices: Vec<(usize, usize)>,
    /// Paths that end here.
    here: Vec<usize>,
    /// Paths that lead on from here, by a key and by an index.
    through_keys: Vec<usize>,
    through_indices: Vec<usize>,
}

/// What lies behind a key.
#[derive(Clone, Copy, Debug)]
enum Member {
    /// The end of one path and nothing else, as mostly.
    End(usize),
    Node(usize),
}

impl Places {
    pub fn new(paths: Vec<Path>) -> Self {
        let (mut tree, mut matchers) = (Vec::new(), Vec::new());
        let numbered: Vec<(usize, &[PathStep])> =
            paths.iter().map(Vec::as_slice).enumerate().collect();
        grow(&numbered, 0, &mut tree, &mut matchers);
        Self {
            found: vec![Found::Null; paths.len()],
            paths,
            tree,
            matchers,
        }
    }

    /// Passes the value under the cursor and notes what the paths lead to.
    ///
    /// # Errors
    /// The text is not JSON.
    #[inline]
    pub fn find(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Halt> {
        self.found.fill(Found::Null);
        visit(&self.tree, 0, &mut self.matchers, cursor, &mut self.found)
    }

    /// Says whether a path led to a value, or to nothing, and did not meet a step that does not fit.
    #[inline]
    pub fn fits(&self, number: usize) -> bool {
        !matches!(self.found[number], Found::Misfit(_))
    }

    /// Returns what a path that fits led to: a value, or `null`.
    #[inline]
    pub fn value<'t>(&self, number: usize, text: &'t str) -> Value<'t> {
        match self.found[number] {
            Found::Value {
                start,
                end,
                escaped,
            } => Value::with_escapes(&text[start..end], |_| escaped),
            Found::Null | Found::Misfit(_) => Value::Null,
        }
    }

    /// Returns the text that a path led to with its quotes, if it is one without escapes.
    #[inline]
    pub fn plain_text<'t>(&self, number: usize, text: &'t str) -> Option<&'t str> {
        match self.found[number] {
            Found::Value {
                start,
                end,
                escaped: false,
            } => Some(&text[start..end]).filter(|raw| raw.starts_with('"')),
            _ => None,
        }
    }

    /// Returns what a path led to: a value, `null`, or nothing where it ends in a step that may fail.
    ///
    /// # Errors
    /// A step that may not fail did.
    #[inline]
    pub fn get<'t>(&self, number: usize, text: &'t str) -> Result<Option<Value<'t>>, Halt> {
        match self.found[number] {
            Found::Misfit(step) if self.paths[number][step].optional => Ok(None),
            Found::Misfit(_) => Err(Halt::Unexpected),
            Found::Value { .. } | Found::Null => Ok(Some(self.value(number, text))),
        }
    }
}

/// Appends the node in which the given paths start, and all below it; returns its number.
fn grow(
    paths: &[(usize, &[PathStep])],
    depth: usize,
    tree: &mut Vec<Node>,
    matchers: &mut Vec<Matcher>,
) -> usize {
    let number = tree.len();
    let those = |wanted: fn(Option<&Part>) -> bool| -> Vec<usize> {
        let chosen = paths
            .iter()
            .filter(|(_, steps)| wanted(steps.first().map(|step| &step.part)));
        chosen.map(|(path, _)| *path).collect()
    };
    tree.push(Node {
        depth,
        keys: Vec::new(),
        indices: Vec::new(),
        here: those(|part| part.is_none()),
        through_keys: those(|part| matches!(part, Some(Part::Key(_)))),
        through_indices: those(|part| matches!(part, Some(Part::Index(_)))),
    });
    // The names are known only after the branches: a placeholder keeps the place.
    matchers.push(Matcher::new(Arc::new(Names::exact([]))));
    let mut names: Vec<&str> = Vec::new();
    let mut parts: Vec<&Part> = Vec::new();
    for part in paths
        .iter()
        .filter_map(|(_, steps)| Some(&steps.first()?.part))
    {
        if parts.contains(&part) {
            continue;
        }
        parts.push(part);
        let onwards: Vec<(usize, &[PathStep])> = paths
            .iter()
            .filter(|(_, steps)| steps.first().is_some_and(|step| step.part == *part))
            .map(|(path, steps)| (*path, &steps[1..]))
            .collect();
        let mut grown = || grow(&onwards, depth + 1, tree, matchers);
        match part {
            Part::Key(key) => {
                names.push(key);
                let member = match onwards.as_slice() {
                    [(path, [])] => Member::End(*path),
                    _ => Member::Node(grown()),
                };
                tree[number].keys.push(member);
            }
            Part::Index(index) => {
                let child = grown();
                tree[number].indices.push((*index, child));
            }
        }
    }
    matchers[number] = Matcher::new(Arc::new(Names::exact(names)));
    number
}

/// Passes the value under the cursor, at node `number`, whose matcher is the first of `matchers`.
#[inline]
fn visit(
    tree: &[Node],
    number: usize,
    matchers: &mut [Matcher],
    cursor: &mut Cursor<'_>,
    found: &mut [Found],
) -> Result<(), Halt> {
    let node = &tree[number];
    let start = cursor.at;
    if !(node.keys.is_empty() && node.indices.is_empty()) {
        note_misfits(node, cursor.peek(), found);
    }
    let value = match cursor.peek() {
        Some(b'{') if !node.keys.is_empty() => {
            members(tree, number, matchers, cursor, found)?;
            nested(start, cursor)
        }
        Some(b'[') if !node.indices.is_empty() => {
            items(tree, number, matchers, cursor, found)?;
            nested(start, cursor)
        }
        _ => passed(cursor)?,
    };
    for path in &node.here {
        found[*path] = value;
    }
    Ok(())
}

/// Returns an object or array that was passed from `start` on.
fn nested(start: usize, cursor: &Cursor<'_>) -> Found {
    Found::Value {
        start,
        end: cursor.at,
        escaped: false,
    }
}

/// Passes the value under the cursor.
#[inline]
fn passed(cursor: &mut Cursor<'_>) -> Result<Found, Halt> {
    let start = cursor.at;
    let escaped = match cursor.peek() {
        Some(b'"') => cursor.string()?.escaped,
        _ => {
            cursor.value()?;
            false
        }
    };
    Ok(Found::Value {
        start,
        end: cursor.at,
        escaped,
    })
}

/// Notes what paths that lead on from a node come to, unless a member or item is found: by the first byte of the value.
///
/// Any key or index of `null` is `null`, and so is an index of an object. A step that does not fit is noted. Of a key
/// given twice the last value counts: what the first one led to is forgotten here.
fn note_misfits(node: &Node, first: Option<u8>, found: &mut [Found]) {
    let by_key = match first {
        Some(b'{' | b'n') => Found::Null,
        _ => Found::Misfit(node.depth),
    };
    let by_index = match first {
        Some(b'{' | b'[' | b'n') => Found::Null,
        _ => Found::Misfit(node.depth),
    };
    for path in &node.through_keys {
        found[*path] = by_key;
    }
    for path in &node.through_indices {
        found[*path] = by_index;
    }
}

/// Passes the object under the cursor, at node `number`. Not inlined into [`visit`], which is short for most nodes.
#[inline(never)]
fn members(
    tree: &[Node],
    number: usize,
    matchers: &mut [Matcher],
    cursor: &mut Cursor<'_>,
    found: &mut [Found],
) -> Result<(), Halt> {
    let node = &tree[number];
    let Some((matcher, below)) = matchers.split_first_mut() else {
        unreachable!("every node has a matcher");
    };
    matcher.each(cursor, |cursor, target, _| match target {
        Target::Exact(name) => match node.keys[name] {
            Member::End(path) => {
                found[path] = passed(cursor)?;
                Ok(())
            }
            Member::Node(child) => {
                visit(tree, child, &mut below[child - number - 1..], cursor, found)
            }
        },
        _ => Ok(cursor.value().map(drop)?),
    })
}

/// Passes the array under the cursor, at node `number`.
#[inline(never)]
fn items(
    tree: &[Node],
    number: usize,
    matchers: &mut [Matcher],
    cursor: &mut Cursor<'_>,
    found: &mut [Found],
) -> Result<(), Halt> {
    let node = &tree[number];
    let mut index = 0;
    let mut more = cursor.open(b']')?;
    while more {
        match node.indices.iter().find(|(wanted, _)| *wanted == index) {
            Some((_, child)) => {
                let below = &mut matchers[*child - number..];
                visit(tree, *child, below, cursor, found)?;
            }
            None => cursor.value().map(drop)?,
        }
        index += 1;
        more = cursor.next_member(b']')?;
    }
    Ok(())
}
