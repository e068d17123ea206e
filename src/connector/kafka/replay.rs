//! A source on a record: the messages that were received together come together again.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use rdkafka::message::{Message as _, OwnedMessage};

use super::decode::MessageDecoder;
use super::position::Positions;
use super::source::BATCH_MESSAGES_MAX;
use super::tape;
use crate::connector::{Context, Delivery, Event, ReadEnd, SourceReader};
use crate::record::{self, Happening, Player};

/// What is read of a record.
pub(super) struct Played {
    decoder: MessageDecoder,
    /// What has been committed.
    positions: Positions,
    player: Arc<Player>,
}

impl Played {
    pub fn new(
        decoder: MessageDecoder,
        positions: Option<Positions>,
        player: &Arc<Player>,
    ) -> Self {
        Self {
            decoder,
            positions: positions.unwrap_or_default(),
            player: Arc::clone(player),
        }
    }
}

impl SourceReader for Played {
    /// Takes the next messages of one instant. A message that was received again, since its rows could not be
    /// committed the first time, counts once.
    fn read(
        &mut self,
        _tick: DateTime<Utc>,
        context: &Context,
        emit: &mut dyn FnMut(Delivery) -> anyhow::Result<()>,
    ) -> anyhow::Result<ReadEnd> {
        let mut messages: Vec<OwnedMessage> = Vec::new();
        let mut instant: Option<DateTime<Utc>> = None;
        let mut positions = self.positions.clone();
        let mut bytes = 0;
        loop {
            let count = messages.len();
            let together = |next: &Happening| match instant {
                None => true,
                Some(instant) => next.at() == instant && count < BATCH_MESSAGES_MAX,
            };
            let Some(line) = self.player.take_if(context.entity(), together)? else {
                break;
            };
            let record::Event::Message(message) = line.event else {
                anyhow::bail!("the record has a line for a kafka source that is no message");
            };
            instant = Some(line.at);
            let (partition, offset) = (message.partition, message.offset);
            if positions.get(partition).is_some_and(|next| offset < next) {
                continue;
            }
            positions.set(partition, offset.saturating_add(1));
            let message = tape::message(*message)?;
            bytes += message.payload().map_or(0, <[u8]>::len);
            messages.push(message);
        }
        let Some(trigger) = instant.filter(|_| !messages.is_empty()) else {
            return Ok(ReadEnd::Idle);
        };
        let decoded = self.decoder.decode(&messages, context)?;
        context.report(Event::Bytes(bytes as u64));
        emit(Delivery {
            decoded,
            batch_rows_max: usize::MAX,
            trigger,
            cursor: Some(positions.cursor()),
        })?;
        self.positions = positions;
        Ok(ReadEnd::Idle)
    }
}
