//! Follows the steps of a plan through a document, in one pass, to the values at their end.
//!
//! Where jq would raise an error, and where this walk cannot tell what jq would do, it halts with
//! [`Halt::Unexpected`], and the caller gives the whole document to the interpreter.

use crate::format::jq::plan::Step;
use crate::format::scan::{Cursor, Fault};
use crate::format::value::Seen;

/// Why a walk ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Halt {
    /// The text is not JSON.
    Fault(Fault),
    /// The document's shape is not the plan's.
    Unexpected,
}

impl From<Fault> for Halt {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// Takes the values that a walk leads to.
pub trait Sink<'a> {
    /// Takes the value under the cursor, and passes it.
    fn value(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Halt>;
}

/// Walks the value under the cursor and passes it.
pub fn walk<'a, S: Sink<'a>>(
    steps: &[Step],
    cursor: &mut Cursor<'a>,
    sink: &mut S,
) -> Result<(), Halt> {
    let Some((step, rest)) = steps.split_first() else {
        return sink.value(cursor);
    };
    match (step, cursor.peek()) {
        (Step::Key(key), Some(b'{')) => walk_key(key, rest, cursor, sink),
        (Step::Index(index), Some(b'[')) => walk_index(*index, rest, cursor, sink),
        (Step::Each, Some(b'[')) => {
            let mut more = cursor.open(b']')?;
            while more {
                walk(rest, cursor, sink)?;
                more = cursor.next_member(b']')?;
            }
            Ok(())
        }
        (Step::Each, Some(b'{')) => walk_members(rest, cursor, sink),
        // Any key or index of `null` is `null`.
        (Step::Key(_) | Step::Index(_), Some(b'n')) => {
            cursor.value()?;
            walk(rest, &mut Cursor::new("null"), sink)
        }
        _ => Err(Halt::Unexpected),
    }
}

fn walk_key<'a, S: Sink<'a>>(
    wanted: &str,
    rest: &[Step],
    cursor: &mut Cursor<'a>,
    sink: &mut S,
) -> Result<(), Halt> {
    let mut found = false;
    let mut more = cursor.open(b'}')?;
    while more {
        let key = cursor.string()?.get();
        cursor.colon()?;
        if key == wanted {
            if found {
                // Of a key given twice the last value counts; what came of the first one cannot be told
                // from what came before it.
                return Err(Halt::Unexpected);
            }
            found = true;
            walk(rest, cursor, sink)?;
        } else {
            cursor.value()?;
        }
        more = cursor.next_member(b'}')?;
    }
    if !found {
        walk(rest, &mut Cursor::new("null"), sink)?;
    }
    Ok(())
}

fn walk_index<'a, S: Sink<'a>>(
    wanted: usize,
    rest: &[Step],
    cursor: &mut Cursor<'a>,
    sink: &mut S,
) -> Result<(), Halt> {
    let mut index = 0;
    let mut more = cursor.open(b']')?;
    while more {
        if index == wanted {
            walk(rest, cursor, sink)?;
        } else {
            cursor.value()?;
        }
        index += 1;
        more = cursor.next_member(b']')?;
    }
    if index <= wanted {
        walk(rest, &mut Cursor::new("null"), sink)?;
    }
    Ok(())
}

/// Walks each member of an object, in order. Of a key given twice jq keeps one: the interpreter settles that.
fn walk_members<'a, S: Sink<'a>>(
    rest: &[Step],
    cursor: &mut Cursor<'a>,
    sink: &mut S,
) -> Result<(), Halt> {
    let mut seen = Seen::default();
    let mut more = cursor.open(b'}')?;
    while more {
        let key = cursor.string()?.get();
        if !seen.insert(key) {
            return Err(Halt::Unexpected);
        }
        cursor.colon()?;
        walk(rest, cursor, sink)?;
        more = cursor.next_member(b'}')?;
    }
    Ok(())
}
