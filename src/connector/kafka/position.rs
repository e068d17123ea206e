//! Where a source goes on: the next offset of each partition, as the text of a cursor.

use std::collections::BTreeMap;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

/// The next offset of each partition. A partition that is not among them is read from its beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Positions {
    /// By the partition's number.
    offsets: BTreeMap<i32, i64>,
}

impl Positions {
    /// Reads a cursor.
    ///
    /// # Errors
    /// The text was not written by [`Positions::cursor`].
    pub(super) fn parse(cursor: &str) -> anyhow::Result<Self> {
        serde_json::from_str(cursor).context("the stored position is none of a Kafka topic")
    }

    /// Returns the text of a cursor.
    pub(super) fn cursor(&self) -> String {
        serde_json::to_string(self).expect("a map of numbers serializes")
    }

    pub(super) fn get(&self, partition: i32) -> Option<i64> {
        self.offsets.get(&partition).copied()
    }

    pub(super) fn set(&mut self, partition: i32, next: i64) {
        self.offsets.insert(partition, next);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (i32, i64)> {
        self.offsets
            .iter()
            .map(|(partition, next)| (*partition, *next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back() {
        let mut positions = Positions::default();
        positions.set(10, 5);
        positions.set(0, i64::MAX);
        assert_eq!(
            positions.cursor(),
            r#"{"offsets":{"0":9223372036854775807,"10":5}}"#
        );
        assert_eq!(Positions::parse(&positions.cursor()).unwrap(), positions);
        assert!(Positions::parse("17").is_err());
    }
}
