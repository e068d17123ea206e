//! Rows that a filter builds from paths into a value: `{symbol, price: .last[0] | tonumber}`.
//!
//! The paths of all members are one tree, so that each value is passed once however many of them lead
//! into it.

use std::sync::Arc;

use super::rows::Rows;
use super::walk::{Halt, Sink};
use crate::format::fields::{Matcher, Names, Target};
use crate::format::jq::plan::{Cast, Member, Source, Step};
use crate::format::scan::{Cursor, Text, is_number};
use crate::format::value::{Value, write_text};

/// The members to build, and where each goes.
pub struct Build {
    members: Vec<Member>,
    tree: Vec<Node>,
    /// Per node, what was learned of the objects there.
    matchers: Vec<Matcher>,
    /// Per slot of a row, the member that fills it.
    member_of_slot: Vec<Option<usize>>,
}

/// A place in the row's value; nodes below it come after it.
struct Node {
    /// By the numbers of the node's names.
    keys: Vec<usize>,
    /// Index, node.
    indices: Vec<(usize, usize)>,
    /// Members whose path ends here.
    here: Vec<usize>,
    /// Members whose path leads on from here.
    below: Vec<usize>,
}

impl Build {
    pub fn new(members: &[Member], rows: &Rows) -> Self {
        let paths =
            members
                .iter()
                .enumerate()
                .filter_map(|(number, member)| match &member.source {
                    Source::Path(steps) => Some((number, steps.as_slice())),
                    Source::Constant(_) => None,
                });
        let (mut tree, mut matchers) = (Vec::new(), Vec::new());
        grow(&paths.collect::<Vec<_>>(), &mut tree, &mut matchers);
        let names = rows
            .columns()
            .iter()
            .map(|column| column.name.as_str())
            .chain(rows.extra_name());
        let member_of_slot = names.map(|name| find_member(members, name)).collect();
        Self {
            members: members.to_vec(),
            tree,
            matchers,
            member_of_slot,
        }
    }

    pub fn sink<'a, 'r>(&'r mut self, rows: &'r mut Rows) -> BuildSink<'a, 'r> {
        let Self {
            members,
            tree,
            matchers,
            member_of_slot,
        } = self;
        let found = vec![None; members.len()];
        let values = vec![Value::Null; members.len()];
        BuildSink {
            members,
            tree,
            matchers,
            member_of_slot,
            found,
            values,
            rows,
        }
    }
}

/// Finds a member with the name's case first, without it next.
fn find_member(members: &[Member], name: &str) -> Option<usize> {
    let loose = || {
        members
            .iter()
            .position(|member| member.name.to_lowercase() == name.to_lowercase())
    };
    members
        .iter()
        .position(|member| member.name == name)
        .or_else(loose)
}

/// Appends the node in which the given paths start, and all below it; returns its number.
fn grow(paths: &[(usize, &[Step])], tree: &mut Vec<Node>, matchers: &mut Vec<Matcher>) -> usize {
    let number = tree.len();
    let ends = |path: &&(usize, &[Step])| path.1.is_empty();
    let here = paths.iter().filter(ends).map(|path| path.0).collect();
    let below = paths
        .iter()
        .filter(|path| !ends(path))
        .map(|path| path.0)
        .collect();
    tree.push(Node {
        keys: Vec::new(),
        indices: Vec::new(),
        here,
        below,
    });
    // The names are known only after the branches: a placeholder keeps the place.
    matchers.push(Matcher::new(Arc::new(Names::exact([]))));
    let mut names: Vec<&str> = Vec::new();
    let mut steps: Vec<&Step> = Vec::new();
    for step in paths.iter().filter_map(|path| path.1.first()) {
        if steps.contains(&step) {
            continue;
        }
        steps.push(step);
        let onwards: Vec<(usize, &[Step])> = paths
            .iter()
            .filter(|path| path.1.first() == Some(step))
            .map(|path| (path.0, &path.1[1..]))
            .collect();
        let child = grow(&onwards, tree, matchers);
        match step {
            Step::Key(key) => {
                names.push(key);
                tree[number].keys.push(child);
            }
            Step::Index(index) => tree[number].indices.push((*index, child)),
            Step::Each => unreachable!("a member's path has no `[]`, or there would be no plan"),
        }
    }
    matchers[number] = Matcher::new(Arc::new(Names::exact(names)));
    number
}

/// Builds a row of each value.
pub struct BuildSink<'a, 'r> {
    members: &'r [Member],
    tree: &'r [Node],
    matchers: &'r mut [Matcher],
    member_of_slot: &'r [Option<usize>],
    /// Per member, the text its path leads to.
    found: Vec<Option<&'a str>>,
    /// Per member, its value after the cast.
    values: Vec<Value<'a>>,
    rows: &'r mut Rows,
}

impl<'a> Sink<'a> for BuildSink<'a, '_> {
    fn value(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Halt> {
        self.found.fill(None);
        visit(self.tree, 0, self.matchers, cursor, &mut self.found)?;
        for ((value, member), found) in self.values.iter_mut().zip(self.members).zip(&self.found) {
            *value = cast(found.map_or(Value::Null, Value::of), member.cast)?;
        }
        let Self {
            members,
            values,
            member_of_slot,
            ..
        } = self;
        let value_of = |number: usize| match member_of_slot[number] {
            Some(member) => member_value(&members[member], &values[member]),
            None => Value::Null,
        };
        self.rows.push(value_of, || payload(members, values));
        Ok(())
    }
}

fn member_value<'m>(member: &'m Member, value: &Value<'m>) -> Value<'m> {
    match &member.source {
        Source::Constant(raw) => Value::of(raw),
        Source::Path(_) => *value,
    }
}

/// Returns the built row as compact JSON.
fn payload(members: &[Member], values: &[Value<'_>]) -> String {
    let mut payload = String::from("{");
    for (number, (member, value)) in members.iter().zip(values).enumerate() {
        if number > 0 {
            payload.push(',');
        }
        write_text(&member.name, &mut payload);
        payload.push(':');
        member_value(member, value).write(&mut payload);
    }
    payload.push('}');
    payload
}

/// Casts as jq does. What it would refuse, or do differently from one case to the next, is left to it.
fn cast(value: Value<'_>, cast: Cast) -> Result<Value<'_>, Halt> {
    match (cast, value) {
        (Cast::None, value)
        | (Cast::ToNumber, value @ Value::Number(_))
        | (Cast::ToString, value @ Value::Text(_)) => Ok(value),
        (Cast::ToNumber, Value::Text(text)) if is_number(text.raw) => Ok(Value::of(text.raw)),
        (Cast::ToString, Value::Number(raw)) => Ok(Value::Text(Text {
            raw,
            escaped: false,
        })),
        (Cast::ToString, Value::Bool(true)) => Ok(Value::Text(Text {
            raw: "true",
            escaped: false,
        })),
        (Cast::ToString, Value::Bool(false)) => Ok(Value::Text(Text {
            raw: "false",
            escaped: false,
        })),
        (Cast::ToString, Value::Null) => Ok(Value::Text(Text {
            raw: "null",
            escaped: false,
        })),
        (Cast::ToNumber | Cast::ToString, _) => Err(Halt::Unexpected),
    }
}

/// Passes the value under the cursor, at node `number`, whose matcher is the first of `matchers`.
fn visit<'a>(
    tree: &[Node],
    number: usize,
    matchers: &mut [Matcher],
    cursor: &mut Cursor<'a>,
    found: &mut [Option<&'a str>],
) -> Result<(), Halt> {
    let node = &tree[number];
    let start = cursor.at;
    if node.below.is_empty() {
        cursor.value()?;
    } else {
        // Of a key given twice the last value counts: forget what the first one led to.
        for member in &node.below {
            found[*member] = None;
        }
        let Some((matcher, below)) = matchers.split_first_mut() else {
            unreachable!("every node has a matcher");
        };
        match cursor.peek() {
            Some(b'{') if node.indices.is_empty() => {
                matcher.each(cursor, |cursor, target, _| match target {
                    Target::Exact(name) => {
                        let child = node.keys[name];
                        visit(tree, child, &mut below[child - number - 1..], cursor, found)
                    }
                    _ => Ok(cursor.value().map(drop)?),
                })?;
            }
            Some(b'[') if node.keys.is_empty() => {
                let mut index = 0;
                let mut more = cursor.open(b']')?;
                while more {
                    match node.indices.iter().find(|(wanted, _)| *wanted == index) {
                        Some((_, child)) => {
                            visit(
                                tree,
                                *child,
                                &mut below[child - number - 1..],
                                cursor,
                                found,
                            )?;
                        }
                        None => cursor.value().map(drop)?,
                    }
                    index += 1;
                    more = cursor.next_member(b']')?;
                }
            }
            // Any key or index of `null` is `null`.
            Some(b'n') => cursor.value().map(drop)?,
            _ => return Err(Halt::Unexpected),
        }
    }
    for member in &node.here {
        found[*member] = Some(cursor.since(start));
    }
    Ok(())
}
