//! Partitions for messages without keys, chosen for thousands at a time.
//!
//! The client would do it for every message: it asks for the time and looks, under three locks, whether the
//! partition it stays with still has a leader; a fourteenth of all the work of sending. Knows only which partitions
//! have a leader; called by [`super::sink`] for large batches, the client chooses for the others.

use std::time::{Duration, Instant};

use rdkafka::client::{Client, ClientContext};

use super::options::SinkOptions;

/// A batch of fewer rows is left to the client: it is not worth a look at the cluster.
const ROWS_MIN: usize = 4096;

/// Messages that go to one partition before the next one's turn: some requests full.
const RUN: usize = 16_384;

/// How long a look at the cluster is good for; and after one in vain, how long there is no other.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// How long a look may take.
const LOOK_MAX: Duration = Duration::from_secs(1);

/// Properties with which the user chooses: they hold for every message.
const CHOSEN_BY: [&str; 2] = ["partitioner", "sticky.partitioning.linger.ms"];

/// Whose turn it is.
#[derive(Default)]
pub(super) struct Spread {
    /// The partitions that had a leader at the last look.
    partitions: Vec<i32>,
    looked: Option<Instant>,
    /// Messages that had their turn.
    given: usize,
    /// The batch at hand is large, and the choice is nobody else's.
    active: bool,
}

impl Spread {
    /// Prepares for a batch of so many rows; looks at the cluster if that is due.
    pub(super) fn begin(
        &mut self,
        rows: usize,
        options: &SinkOptions,
        client: &Client<impl ClientContext>,
    ) {
        let chosen = |name: &str| CHOSEN_BY.contains(&name);
        let mut properties = options.connection.properties.iter();
        self.active = rows >= ROWS_MIN
            && options.key.is_empty()
            && !properties.any(|(name, ..)| chosen(name));
        if self.active && self.looked.is_none_or(|at| at.elapsed() >= LOOK_EVERY) {
            self.partitions = partitions_led(&options.connection.topic, client);
            self.looked = Some(Instant::now());
        }
    }

    /// Returns the partition of the next message; none where the client chooses.
    pub(super) fn next(&mut self) -> Option<i32> {
        if !self.active || self.partitions.is_empty() {
            return None;
        }
        let turn = self.given / RUN % self.partitions.len();
        self.given = self.given.wrapping_add(1);
        Some(self.partitions[turn])
    }
}

/// Asks for the partitions that have a leader; none if nobody answers, or the topic is not there yet.
fn partitions_led(topic: &str, client: &Client<impl ClientContext>) -> Vec<i32> {
    let Ok(metadata) = client.fetch_metadata(Some(topic), LOOK_MAX) else {
        return Vec::new();
    };
    let topics = metadata.topics().iter();
    let partitions = topics.flat_map(rdkafka::metadata::MetadataTopic::partitions);
    let led = partitions.filter(|partition| partition.leader() >= 0);
    led.map(rdkafka::metadata::MetadataPartition::id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_partition_has_its_turn() {
        let mut spread = Spread {
            partitions: vec![0, 2, 5],
            active: true,
            ..Spread::default()
        };
        let mut counts = std::collections::BTreeMap::new();
        for _ in 0..6 * RUN {
            *counts.entry(spread.next().unwrap()).or_insert(0) += 1;
        }
        assert_eq!(counts, [(0, 2 * RUN), (2, 2 * RUN), (5, 2 * RUN)].into());
    }

    #[test]
    fn without_a_partition_the_client_chooses() {
        let mut spread = Spread {
            active: true,
            ..Spread::default()
        };
        assert_eq!(spread.next(), None);
        let mut small = Spread {
            partitions: vec![0],
            ..Spread::default()
        };
        assert_eq!(small.next(), None);
    }
}
