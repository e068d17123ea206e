//! Follows the steps of a plan through a document, in one pass where that is possible, to its outputs.

use std::sync::atomic::AtomicBool;

use super::evaluate::{Answer, evaluate, holds};
use super::plan::{Build, Halt, Output, Plan, Slice, Step};
use super::split::Split;
use crate::format::scan::Cursor;
use crate::format::value::{Seen, Value};

/// Takes the outputs of a plan.
pub trait Sink {
    /// Takes outputs on a thread of its own.
    type Part: Sink + Send;

    /// Takes the value under the cursor, and passes it.
    ///
    /// # Errors
    /// The text is not JSON.
    fn row(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Halt>;

    /// Says whether the items of an output that is an array are taken instead of it.
    fn flattens(&self) -> bool {
        false
    }

    /// Takes an object of these names; `value_of` gives the value of each, by its number.
    ///
    /// # Errors
    /// As [`Sink::row`].
    fn object<'v>(
        &mut self,
        names: &[String],
        value_of: impl Fn(usize) -> Value<'v>,
    ) -> Result<(), Halt>;

    /// Returns what takes the outputs of a part of the items of an array, if that can be.
    fn part(&self) -> Option<Self::Part> {
        None
    }

    /// Takes what a part has taken, behind everything so far.
    fn join(&mut self, _part: Self::Part) {
        unreachable!("it gives no parts");
    }
}

impl Plan {
    /// Runs over the value under the cursor, and passes it. The items of the first array may be walked in parts.
    ///
    /// # Errors
    /// Any [`Halt`]: outputs before it have been handed over by then.
    pub fn run<S: Sink>(
        &mut self,
        cursor: &mut Cursor<'_>,
        sink: &mut S,
        split: Split,
    ) -> Result<(), Halt> {
        let mut walk = Walk {
            output: &mut self.output,
            sink,
            split,
            over: None,
            met_items: false,
        };
        let walked = walk.steps(&mut self.steps, cursor);
        self.met_items |= walk.met_items;
        walked
    }
}

/// What stays the same while one document is walked.
pub(super) struct Walk<'p, S> {
    pub output: &'p mut Output,
    pub sink: &'p mut S,
    /// For the next array.
    pub split: Split,
    /// Set once nobody waits for what is walked here; never for the document itself.
    pub over: Option<&'p AtomicBool>,
    /// Set once a `[]` meets an item. What is inside of an item need not say so: the first `[]` has by then.
    pub met_items: bool,
}

impl<S: Sink> Walk<'_, S> {
    pub(super) fn steps(
        &mut self,
        steps: &mut [Step],
        cursor: &mut Cursor<'_>,
    ) -> Result<(), Halt> {
        let Some((step, rest)) = steps.split_first_mut() else {
            return match self.output {
                Output::Whole if cursor.peek() == Some(b'[') && self.sink.flattens() => {
                    self.all_items(None, cursor)
                }
                Output::Whole => self.sink.row(cursor),
                Output::Object(build) => build.run(cursor, self.sink),
            };
        };
        let first = cursor.peek();
        let optional = match step {
            Step::Key { name, optional } => match first {
                Some(b'{') => return self.key(name, rest, cursor),
                Some(b'n') => return self.null(rest, cursor),
                _ => *optional,
            },
            Step::Index { at, optional } => match first {
                Some(b'[') => return self.index(*at, rest, cursor),
                // An object has no member of such a name.
                Some(b'n' | b'{') => return self.null(rest, cursor),
                _ => *optional,
            },
            Step::Each { slice, optional } => match first {
                Some(b'[') if *slice == Slice::default() => {
                    return self.all_items(Some(rest), cursor);
                }
                Some(b'[') => return self.items(*slice, rest, cursor),
                Some(b'{') if *slice == Slice::default() => return self.members(rest, cursor),
                _ => *optional && *slice == Slice::default(),
            },
            Step::Select(program) => {
                let start = cursor.clone();
                let answer = program.run(cursor)?;
                if answer.is_some_and(|answer| answer.truth()) {
                    *cursor = start;
                    return self.steps(rest, cursor);
                }
                return Ok(());
            }
            Step::Compute(program) => {
                let Some(answer) = program.run(cursor)? else {
                    return Ok(());
                };
                if let Answer::Value(Value::Nested(raw)) = answer {
                    return self.steps(rest, &mut Cursor::new(raw));
                }
                return self.steps(rest, &mut Cursor::new(&answer.into_text()));
            }
        };
        if !optional {
            return Err(Halt::Unexpected);
        }
        // What is left out is JSON all the same, or the document is not.
        cursor.value()?;
        Ok(())
    }

    /// Goes on in `null` instead of the value under the cursor.
    fn null(&mut self, rest: &mut [Step], cursor: &mut Cursor<'_>) -> Result<(), Halt> {
        cursor.value()?;
        self.steps(rest, &mut Cursor::new("null"))
    }

    fn key(
        &mut self,
        wanted: &str,
        rest: &mut [Step],
        cursor: &mut Cursor<'_>,
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
                self.steps(rest, cursor)?;
            } else {
                cursor.value()?;
            }
            more = cursor.next_member(b'}')?;
        }
        if !found {
            self.steps(rest, &mut Cursor::new("null"))?;
        }
        Ok(())
    }

    fn index(&mut self, at: i64, rest: &mut [Step], cursor: &mut Cursor<'_>) -> Result<(), Halt> {
        let wanted = match usize::try_from(at) {
            Ok(wanted) => Some(wanted),
            Err(_) => {
                let back = usize::try_from(at.unsigned_abs()).unwrap_or(usize::MAX);
                count(cursor.clone())?.checked_sub(back)
            }
        };
        let mut found = false;
        let mut number = 0;
        let mut more = cursor.open(b']')?;
        while more {
            if wanted == Some(number) {
                found = true;
                self.steps(rest, cursor)?;
            } else {
                cursor.value()?;
            }
            number += 1;
            more = cursor.next_member(b']')?;
        }
        if !found {
            self.steps(rest, &mut Cursor::new("null"))?;
        }
        Ok(())
    }

    fn items(
        &mut self,
        slice: Slice,
        rest: &mut [Step],
        cursor: &mut Cursor<'_>,
    ) -> Result<(), Halt> {
        let length = if slice.counts_from_end() {
            count(cursor.clone())?
        } else {
            usize::MAX
        };
        let (from, to) = slice.within(length);
        let mut number = 0;
        let mut more = cursor.open(b']')?;
        while more {
            if (from..to).contains(&number) {
                self.met_items = true;
                self.steps(rest, cursor)?;
            } else {
                cursor.value()?;
            }
            number += 1;
            more = cursor.next_member(b']')?;
        }
        Ok(())
    }

    /// Walks each member of an object, in order. Of a key given twice jq keeps one: the interpreter settles that.
    fn members(&mut self, rest: &mut [Step], cursor: &mut Cursor<'_>) -> Result<(), Halt> {
        let mut seen = Seen::default();
        let mut more = cursor.open(b'}')?;
        self.met_items |= more;
        while more {
            let key = cursor.string()?.get();
            if !seen.insert(key) {
                return Err(Halt::Unexpected);
            }
            cursor.colon()?;
            self.steps(rest, cursor)?;
            more = cursor.next_member(b'}')?;
        }
        Ok(())
    }
}

/// Counts the items of the array under the cursor.
fn count(mut cursor: Cursor<'_>) -> Result<usize, Halt> {
    let mut count = 0;
    let mut more = cursor.open(b']')?;
    while more {
        cursor.value()?;
        count += 1;
        more = cursor.next_member(b']')?;
    }
    Ok(count)
}

impl Build {
    fn run<S: Sink>(&mut self, cursor: &mut Cursor<'_>, sink: &mut S) -> Result<(), Halt> {
        self.places.find(cursor)?;
        let text = cursor.text();
        for condition in &mut self.conditions {
            if !holds(condition, &self.places, text)? {
                return Ok(());
            }
        }
        if let Some(places) = &self.values_at
            && places.iter().all(|number| self.places.fits(*number))
        {
            return sink.object(&self.names, |member| {
                self.places.value(places[member], text)
            });
        }
        let mut values: Vec<Answer<'_>> = emptied(std::mem::take(&mut self.scratch));
        for value in &mut self.values {
            match evaluate(value, &self.places, text)? {
                Some(answer) => values.push(answer),
                None => return Ok(()),
            }
        }
        sink.object(&self.names, |member| values[member].value())?;
        self.scratch = emptied(values);
        Ok(())
    }
}

/// Returns the memory of a vector for values of another lifetime: the collecting is in place.
pub fn emptied<A, B>(mut values: Vec<A>) -> Vec<B> {
    values.clear();
    values
        .into_iter()
        .map(|_| unreachable!("the vector was emptied"))
        .collect()
}
