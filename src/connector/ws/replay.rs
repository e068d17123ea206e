//! A source on a record: what its connections brought then, in the batches that it makes of it now.
//!
//! A batch ends where it would end live: after `batch.linger`, or with `batch.max_rows` messages, counted by
//! the recorded instants. Of the recorded connections, those count that the query asks for.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};

use super::address::Addresses;
use super::frames::Received;
use super::reader::{BATCH_BYTES_MAX, WsReader};
use super::tape::credentials;
use crate::connector::{Context, Delivery, Event, ReadEnd};
use crate::record::{self, Happening, Line, Player};

/// The connections of the record, by their names.
#[derive(Default)]
pub(super) struct Played {
    /// Those that are asked for.
    wanted: HashSet<String>,
    /// Since when nothing comes over those that were lost, and why.
    lost: HashMap<String, (DateTime<Utc>, String)>,
}

impl WsReader {
    /// Takes what comes next: news of a connection, or a batch of messages.
    pub(super) fn replay(
        &mut self,
        player: &Arc<Player>,
        context: &Context,
        emit: &mut dyn FnMut(Delivery) -> anyhow::Result<()>,
    ) -> anyhow::Result<ReadEnd> {
        self.deliver(emit)?;
        let options = &self.shared.options;
        let linger = TimeDelta::from_std(options.batch_linger).unwrap_or(TimeDelta::MAX);
        let rows_max = options.batch_rows_max;
        let mut first: Option<DateTime<Utc>> = None;
        loop {
            let (count, memory) = (self.batch.len(), self.batch.memory());
            let fits = |next: &Happening| match first {
                None => true,
                Some(first) => {
                    next.is_message
                        && next.at() - first < linger
                        && count < rows_max
                        && memory < BATCH_BYTES_MAX
                }
            };
            let Some(line) = player.take_if(context.entity(), fits)? else {
                break;
            };
            let at = line.at;
            let is_message = matches!(line.event, record::Event::Frame { .. });
            self.take(line, player, context)?;
            if !is_message {
                return Ok(ReadEnd::Idle);
            }
            first = first.or(Some(at));
        }
        self.decode(context)?;
        self.deliver(emit)?;
        Ok(ReadEnd::Idle)
    }

    fn take(&mut self, line: Line, player: &Player, context: &Context) -> anyhow::Result<()> {
        let at = line.at;
        match line.event {
            record::Event::Frame {
                connection, data, ..
            } => {
                if self.played.wanted.contains(&connection) {
                    let received = || Received {
                        time: at,
                        instant: Instant::now(),
                    };
                    self.batch.push(&data.bytes()?, received);
                }
            }
            record::Event::Dial { .. } => self.dial(player, context)?,
            record::Event::Open { connection, .. } => {
                if let Some((from, reason)) = self.played.lost.remove(&connection) {
                    context.report(Event::Gap {
                        entity_part: connection,
                        from,
                        to: at,
                        reason,
                    });
                }
            }
            record::Event::Close {
                connection,
                last,
                reason,
                ..
            } => {
                if self.played.wanted.contains(&connection) {
                    self.played.lost.insert(connection, (last, reason));
                }
            }
            record::Event::Refused {
                connection, reason, ..
            } => {
                if self.played.wanted.contains(&connection) {
                    context.report(Event::Warning(match connection.as_str() {
                        "" => reason,
                        label => format!("{label}: {reason}"),
                    }));
                }
            }
            other => anyhow::bail!("the record has a line for a ws source that is none: {other:?}"),
        }
        Ok(())
    }

    /// Finds out which connections are wanted now. One that the recorded run did not want is lacking.
    fn dial(&mut self, player: &Player, context: &Context) -> anyhow::Result<()> {
        let options = &self.shared.options;
        player.hide(&credentials(options));
        let addresses = match &options.start {
            None => Addresses::single(options),
            Some(start) => {
                let rows = context.query(start.query.text.expose())?;
                Addresses::of_rows(options, &rows)
            }
        };
        for fault in &addresses.faults {
            context.report(Event::Warning(fault.clone()));
        }
        let subscribe = options.subscribe.iter();
        let subscribe: Vec<String> = subscribe.map(|text| player.text(text.expose())).collect();
        let mut wanted: Vec<(String, String)> = (addresses.by_url.into_values())
            .map(|address| {
                (
                    player.url(address.url.expose()),
                    player.text(&address.label),
                )
            })
            .collect();
        wanted.sort();
        self.played.wanted.clear();
        for (url, connection) in wanted {
            if player.has_dialled(context.entity(), &url, &subscribe) {
                self.played.wanted.insert(connection);
            }
        }
        Ok(())
    }
}
