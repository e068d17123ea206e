//! Members of a JSON object by name, in one pass.
//!
//! A name is found with its case first, else without. Objects of one array mostly have the same keys in
//! the same order: a [`Matcher`] remembers what it saw in each place and compares before it searches.

use std::collections::HashMap;
use std::sync::Arc;

use super::bytes::Word;
use super::scan::{Cursor, Fault};

/// The names that are looked for, numbered from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    exact: HashMap<String, usize>,
    /// By lower case.
    loose: HashMap<String, usize>,
}

impl Names {
    /// Takes the names; of two that differ in case only, the first is the one found without its case.
    pub fn new<'n>(names: impl IntoIterator<Item = &'n str>) -> Self {
        let mut exact = HashMap::new();
        let mut loose = HashMap::new();
        for (number, name) in names.into_iter().enumerate() {
            exact.entry(name.to_owned()).or_insert(number);
            loose.entry(name.to_lowercase()).or_insert(number);
        }
        Self { exact, loose }
    }

    /// Takes names that are found with their case only.
    pub fn exact<'n>(names: impl IntoIterator<Item = &'n str>) -> Self {
        Self {
            loose: HashMap::new(),
            ..Self::new(names)
        }
    }

    fn find(&self, key: &str) -> Target {
        if let Some(number) = self.exact.get(key) {
            return Target::Exact(*number);
        }
        if self.loose.is_empty() {
            return Target::None;
        }
        self.loose
            .get(&key.to_lowercase())
            .map_or(Target::None, |number| Target::Loose(*number))
    }
}

/// What a key means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    None,
    Exact(usize),
    /// Found without its case: counts only where no exact one comes.
    Loose(usize),
}

/// The value found for one name.
#[derive(Clone, Copy, Debug, Default)]
pub struct Slot<'a> {
    raw: Option<&'a str>,
    /// The key of a value found without its case. Only the first such spelling counts.
    spelled: Option<&'a str>,
}

impl<'a> Slot<'a> {
    pub fn raw(&self) -> Option<&'a str> {
        self.raw
    }

    /// Takes a value that needs no name.
    pub fn of(raw: &'a str) -> Self {
        Self {
            raw: Some(raw),
            spelled: None,
        }
    }

    fn put(&mut self, target: Target, key: &'a str, raw: &'a str) {
        match target {
            Target::None => {}
            Target::Exact(_) => *self = Self::of(raw),
            Target::Loose(_) => {
                if self.raw.is_none() || self.spelled == Some(key) {
                    *self = Self {
                        raw: Some(raw),
                        spelled: Some(key),
                    };
                }
            }
        }
    }
}

/// Names, and what was learned of the objects seen so far.
#[derive(Clone, Debug)]
pub struct Matcher {
    names: Arc<Names>,
    learned: Vec<Learned>,
}

/// What came before the value in one place of the object before, and what it means.
#[derive(Clone, Debug)]
struct Learned {
    /// The key with its quotes, the colon, and the whitespace around that.
    lead: Word,
    /// The bytes of the key, quotes included.
    key_length: usize,
    target: Target,
}

/// Places remembered at most: rows wider than this are searched from here on.
const LEARNED_MAX: usize = 256;

impl Matcher {
    pub fn new(names: Arc<Names>) -> Self {
        Self {
            names,
            learned: Vec::new(),
        }
    }

    /// Passes the object under the cursor and puts what is found into the slots, which start empty. Of a
    /// key given twice the last value counts.
    ///
    /// # Errors
    /// The text is not JSON.
    #[inline]
    pub fn fill<'a>(
        &mut self,
        cursor: &mut Cursor<'a>,
        slots: &mut [Slot<'a>],
    ) -> Result<(), Fault> {
        self.each(cursor, |cursor, target, key| {
            let raw = cursor.value()?;
            if let Target::Exact(number) | Target::Loose(number) = target {
                slots[number].put(target, key, raw);
            }
            Ok(())
        })
    }

    /// Passes the object under the cursor and calls `visit` before each value, which it has to pass, with
    /// the meaning of its key and the key as written.
    ///
    /// # Errors
    /// The text is not JSON, or `visit` fails.
    #[inline]
    pub fn each<'a, E: From<Fault>>(
        &mut self,
        cursor: &mut Cursor<'a>,
        mut visit: impl FnMut(&mut Cursor<'a>, Target, &'a str) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut place = 0;
        let mut more = cursor.open(b'}')?;
        while more {
            let start = cursor.at;
            let (target, key_length) = match self.learned.get(place) {
                Some(learned) if cursor.take_word(&learned.lead) => {
                    cursor.space();
                    (learned.target, learned.key_length)
                }
                _ => self.search(cursor, place)?,
            };
            let key = &cursor.text()[start..start + key_length];
            visit(cursor, target, key)?;
            more = cursor.next_member(b'}')?;
            place += 1;
        }
        Ok(())
    }

    #[cold]
    fn search(&mut self, cursor: &mut Cursor<'_>, place: usize) -> Result<(Target, usize), Fault> {
        let start = cursor.at;
        let key = cursor.string()?;
        let key_length = cursor.at - start;
        let target = self.names.find(&key.get());
        cursor.colon()?;
        let learned = Learned {
            lead: Word::new(cursor.since(start).as_bytes()),
            key_length,
            target,
        };
        if let Some(slot) = self.learned.get_mut(place) {
            *slot = learned;
        } else if place == self.learned.len() && place < LEARNED_MAX {
            self.learned.push(learned);
        }
        Ok((target, key_length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(names: &[&str], text: &str) -> Vec<Option<String>> {
        let mut matcher = Matcher::new(Arc::new(Names::new(names.iter().copied())));
        let mut slots = vec![Slot::default(); names.len()];
        matcher.fill(&mut Cursor::new(text), &mut slots).unwrap();
        slots
            .iter()
            .map(|slot| slot.raw().map(str::to_owned))
            .collect()
    }

    #[test]
    fn names_are_found_with_their_case_first() {
        let one = |text: &str| found(&["Price"], text)[0].clone();
        assert_eq!(
            one(r#"{"price":1,"Price":2,"PRICE":3}"#).as_deref(),
            Some("2")
        );
        assert_eq!(one(r#"{"Price":2,"price":1}"#).as_deref(), Some("2"));
        assert_eq!(
            one(r#"{"PRICE":1,"price":2,"PRICE":3}"#).as_deref(),
            Some("3")
        );
        assert_eq!(
            one(r#"{"Pr\u0069ce":[1, 2],"x":{}}"#).as_deref(),
            Some("[1, 2]")
        );
        assert_eq!(one(r#"{"cost":1}"#), None);
    }

    #[test]
    fn keys_in_another_order_are_found_too() {
        let mut matcher = Matcher::new(Arc::new(Names::new(["a", "b"])));
        for (text, a, b) in [
            (r#"{"a":1,"c":2,"b":3}"#, Some("1"), Some("3")),
            (r#"{"b":4,"a":5}"#, Some("5"), Some("4")),
            (r#"{ "a" : 6 , "c" : 7 }"#, Some("6"), None),
            ("{}", None, None),
        ] {
            let mut slots = vec![Slot::default(); 2];
            matcher.fill(&mut Cursor::new(text), &mut slots).unwrap();
            assert_eq!((slots[0].raw(), slots[1].raw()), (a, b), "{text}");
        }
    }
}
