//! The items of a large array, walked by several threads.
//!
//! Where an item begins is only known to whoever has walked up to it; it can be guessed, as a place that looks like
//! the beginning of the first item and has a comma before it. A part that was begun at a guess counts if the part
//! before it ended exactly there; it is walked again otherwise, so that a wrong guess costs time, and memory for as long.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::plan::{Halt, Step};
use super::walk::{Sink, Walk};
use crate::format::scan::Cursor;

/// More threads than this read faster than anything that comes after them.
const THREADS_MAX: usize = 8;

/// A part of fewer bytes is walked in about the time that a thread takes to start and its rows to be moved.
const PART_BYTES_MIN: usize = 512 * 1024;

/// The beginning of an item is looked for in so many bytes.
const GUESS_BYTES_MAX: usize = 512 * 1024;

/// A column of the text of a larger body may be too large to be put together of parts.
const BODY_BYTES_MAX: usize = i32::MAX as usize;

/// Into how many parts the items of an array may be cut.
#[derive(Clone, Copy, Debug)]
pub struct Split {
    /// As many as there are processors, if nothing is said.
    threads: Option<usize>,
    part_bytes_min: usize,
}

impl Default for Split {
    fn default() -> Self {
        Self {
            threads: None,
            part_bytes_min: PART_BYTES_MIN,
        }
    }
}

impl Split {
    /// One part.
    pub const NONE: Self = Self {
        threads: Some(1),
        part_bytes_min: usize::MAX,
    };

    /// So many parts, however small they are.
    #[cfg(test)]
    pub const fn into_parts(threads: usize) -> Self {
        Self {
            threads: Some(threads),
            part_bytes_min: 1,
        }
    }

    /// Returns where parts after the first one may begin, in order. The cursor is at the first item.
    fn guesses(self, cursor: &Cursor<'_>) -> Vec<usize> {
        let bytes = cursor.text().len() - cursor.at;
        let parts_max = bytes / self.part_bytes_min;
        if parts_max < 2 || cursor.text().len() > BODY_BYTES_MAX {
            return Vec::new();
        }
        let processors = || thread::available_parallelism().map_or(1, usize::from);
        let threads = self.threads.unwrap_or_else(processors).min(THREADS_MAX);
        let parts = parts_max.min(threads);
        let Some(lead) = lead_of(cursor.clone()) else {
            return Vec::new();
        };
        let mut guesses: Vec<usize> = Vec::new();
        for part in 1..parts {
            let from = cursor.at + bytes / parts * part;
            let guess = guess(cursor.text(), lead, from);
            guesses.extend(guess.filter(|guess| guesses.last() < Some(guess)));
        }
        guesses
    }
}

/// Returns how the item under the cursor begins: an object with its first key, or the bracket of an array.
fn lead_of(mut cursor: Cursor<'_>) -> Option<&str> {
    let start = cursor.at;
    match cursor.peek() {
        Some(b'{') if cursor.open(b'}').ok()? => {
            cursor.string().ok()?;
            cursor.colon().ok()?;
        }
        Some(b'[') => {
            cursor.open(b']').ok()?;
            return Some(&cursor.text()[start..=start]);
        }
        _ => return None,
    }
    Some(cursor.since(start))
}

/// Returns the first place from `from` on at which an item may begin.
fn guess(text: &str, lead: &str, from: usize) -> Option<usize> {
    let boundary = |at: usize| (at..=text.len()).find(|at| text.is_char_boundary(*at));
    let from = boundary(from)?;
    let to = boundary(text.len().min(from + GUESS_BYTES_MAX))?;
    let mut found = text[from..to].match_indices(lead);
    let behind_comma = |at: usize| {
        let before = text[..at].trim_end_matches([' ', '\n', '\r', '\t']);
        before.ends_with(',')
    };
    found.find_map(|(at, _)| behind_comma(from + at).then_some(from + at))
}

/// Tells the parts of an array that nobody waits for them any more.
struct Over<'o>(&'o AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl<S: Sink> Walk<'_, S> {
    /// Walks the items of the array under the cursor, and goes on in each with `rest`; without it, each is a row.
    pub(super) fn all_items(
        &mut self,
        mut rest: Option<&mut [Step]>,
        cursor: &mut Cursor<'_>,
    ) -> Result<(), Halt> {
        let split = std::mem::replace(&mut self.split, Split::NONE);
        if !cursor.open(b']')? {
            return Ok(());
        }
        self.met_items |= rest.is_some();
        let starts = split.guesses(cursor);
        let Some(first) = starts.first() else {
            return self.items_until(&mut rest, cursor, usize::MAX).map(drop);
        };
        let over = &AtomicBool::new(false);
        thread::scope(|scope| {
            let _over = Over(over);
            let ends = starts[1..].iter().copied().chain([usize::MAX]);
            let mut parts = Vec::new();
            for (start, end) in starts.iter().copied().zip(ends) {
                let part = self.sink.part().map(|mut sink| {
                    let mut ahead = cursor.clone();
                    ahead.at = start;
                    let mut output = self.output.clone();
                    let mut rest = rest.as_ref().map(|rest| rest.to_vec());
                    let walk = move || -> Result<_, Halt> {
                        let mut walk = Walk {
                            output: &mut output,
                            sink: &mut sink,
                            split: Split::NONE,
                            over: Some(over),
                            met_items: true,
                        };
                        let more = walk.items_until(&mut rest.as_deref_mut(), &mut ahead, end)?;
                        Ok((sink, ahead, more))
                    };
                    let thread = thread::Builder::new().name("decode".to_owned());
                    // Where the system gives no thread, this one walks the part.
                    thread.spawn_scoped(scope, walk).ok()
                });
                parts.push((start, end, part.flatten()));
            }
            let mut more = self.items_until(&mut rest, cursor, *first)?;
            for (start, end, part) in parts {
                if !more {
                    break;
                }
                // One that began elsewhere is not waited for.
                let part = part.filter(|_| cursor.at == start);
                let walked =
                    part.map(|part| part.join().unwrap_or_else(|panic| resume_unwind(panic)));
                match walked {
                    Some(Ok((sink, ahead, more_ahead))) => {
                        self.sink.join(sink);
                        *cursor = ahead;
                        more = more_ahead;
                    }
                    // What is wrong there is found again.
                    _ => more = self.items_until(&mut rest, cursor, end)?,
                }
            }
            Ok(())
        })
    }

    /// Walks items from the one under the cursor on, up to the first that begins at `end` or behind it; false if
    /// the array has ended before.
    fn items_until(
        &mut self,
        rest: &mut Option<&mut [Step]>,
        cursor: &mut Cursor<'_>,
        end: usize,
    ) -> Result<bool, Halt> {
        let mut more = true;
        while more && cursor.at < end {
            if self.over.is_some_and(|over| over.load(Ordering::Relaxed)) {
                return Err(Halt::Unexpected);
            }
            match rest {
                Some(rest) => self.steps(rest, cursor)?,
                None => self.sink.row(cursor)?,
            }
            more = cursor.next_member(b']')?;
        }
        Ok(more)
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::{Output, Plan};
    use super::*;
    use crate::format::value::Value;

    /// Keeps items, and how many of them each joined part had.
    #[derive(Default)]
    struct Items {
        items: Vec<String>,
        joined: Vec<usize>,
    }

    impl Sink for Items {
        type Part = Self;

        fn row(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Halt> {
            self.items.push(cursor.value()?.to_owned());
            Ok(())
        }

        fn object<'v>(&mut self, _: &[String], _: impl Fn(usize) -> Value<'v>) -> Result<(), Halt> {
            unreachable!("the plan builds none")
        }

        fn part(&self) -> Option<Self> {
            Some(Self::default())
        }

        fn join(&mut self, part: Self) {
            self.joined.push(part.items.len());
            self.items.extend(part.items);
        }
    }

    /// Walks the items of a document in so many parts.
    fn walk(document: &str, parts: usize) -> Items {
        let each = Step::Each {
            slice: Default::default(),
            optional: false,
        };
        let mut plan = Plan {
            steps: vec![each],
            output: Output::Whole,
            listed: false,
            met_items: false,
        };
        let mut items = Items::default();
        let mut cursor = Cursor::new(document);
        plan.run(&mut cursor, &mut items, Split::into_parts(parts))
            .unwrap();
        assert_eq!(cursor.at, document.len());
        items
    }

    #[test]
    fn each_part_is_walked_once_where_items_look_alike() {
        for item in ["{ \"k\" : [1, {}] }", "[2, [3]]"] {
            let document = format!("[{}]", [item; 40].join(" ,\n "));
            let walked = walk(&document, 4);
            assert_eq!(walked.items, [item; 40]);
            assert_eq!(walked.joined.len(), 3, "{item}");
            assert!(walked.joined.iter().all(|count| *count > 5), "{item}");
            assert!(walk(&document, 1).joined.is_empty());
        }
    }

    #[test]
    fn a_wrong_guess_costs_nothing_but_time() {
        // Inside an item, after a comma, as the items begin.
        let inner = r#"{"k":1},"#.repeat(30);
        let outer = format!(r#"{{"k":[{inner}{{"k":2}}]}}"#);
        let document = format!("[{outer},{outer},{outer}]");
        let walked = walk(&document, 2);
        assert_eq!(walked.items, [outer.as_str(); 3]);
        assert!(walked.joined.is_empty());
        // Numbers all look alike: nothing is guessed.
        assert!(
            walk(&format!("[{}1]", "1,".repeat(99)), 4)
                .joined
                .is_empty()
        );
    }
}
