//! Messages to rows.

use std::collections::HashMap;
use std::fmt::Write as _;

use rdkafka::message::{BorrowedMessage, Message as _};

use super::client::shown_payload;
use super::options::{Encoding, SourceOptions};
use super::registry::{Registry, unframed};
use crate::batch::{Column, Decoded, Reject, Schema};
use crate::format::{AvroReader, Decoder, Filter};

/// Turns batches of messages into batches of rows.
pub(super) struct MessageDecoder {
    decoder: Decoder,
    avro: Option<Avro>,
}

struct Avro {
    registry: Registry,
    columns: Vec<Column>,
    /// By the number of the schema; an error if its messages cannot become rows.
    readers: HashMap<u32, Result<AvroReader, String>>,
}

impl MessageDecoder {
    /// # Errors
    /// None that validated options can cause.
    pub(super) fn new(options: &SourceOptions, columns: &[Column]) -> anyhow::Result<Self> {
        let unit = options.rows.timestamp_unit;
        Ok(match &options.connection.encoding {
            Encoding::Json => Self {
                decoder: Decoder::new(columns.to_vec(), options.rows.filter.clone(), unit),
                avro: None,
            },
            Encoding::Avro { registry } => Self {
                decoder: Decoder::new(columns.to_vec(), Filter::identity(), unit),
                avro: Some(Avro {
                    registry: Registry::new(registry)?,
                    columns: columns.to_vec(),
                    readers: HashMap::new(),
                }),
            },
        })
    }

    /// Returns the schema of every batch.
    pub(super) fn schema(&self) -> &Schema {
        self.decoder.schema()
    }

    /// Decodes messages in order. One that cannot be read is a reject that names its place.
    ///
    /// # Errors
    /// The registry is away; the messages are to be decoded again later.
    pub(super) fn decode(&mut self, messages: &[BorrowedMessage<'_>]) -> anyhow::Result<Decoded> {
        let mut rejects = Vec::new();
        let mut values = Vec::with_capacity(messages.len());
        for message in messages {
            match message.payload() {
                Some(payload) => values.push((message, payload)),
                None => rejects.push(Reject {
                    message: format!("{} has no value (a tombstone)", place(message)),
                    payload: shown_payload(message.key()),
                }),
            }
        }
        let mut decoded = match &mut self.avro {
            None => {
                let bodies = values.iter().map(|(_, payload)| *payload);
                self.decoder.decode_each(bodies)?
            }
            Some(avro) => {
                let (json, ends) = avro.json(&values, &mut rejects)?;
                let starts = std::iter::once(0).chain(ends.iter().copied());
                let bodies = starts.zip(&ends).map(|(start, end)| &json[start..*end]);
                self.decoder.decode_each(bodies)?
            }
        };
        decoded.rejects.append(&mut rejects);
        Ok(decoded)
    }
}

impl Avro {
    /// Returns the JSON of all messages that can be read, and where each one's ends.
    fn json(
        &mut self,
        values: &[(&BorrowedMessage<'_>, &[u8])],
        rejects: &mut Vec<Reject>,
    ) -> anyhow::Result<(Vec<u8>, Vec<usize>)> {
        let mut json = Vec::new();
        let mut ends = Vec::with_capacity(values.len());
        for (message, payload) in values {
            let start = json.len();
            let why = match unframed(payload) {
                Err(error) => error.to_string(),
                Ok((id, content)) => match self.reader(id)? {
                    Err(why) => why.clone(),
                    Ok(reader) => match reader.write_json(content, &mut json) {
                        Ok(()) => {
                            ends.push(json.len());
                            continue;
                        }
                        Err(error) => format!("not of its schema {id}: {error:#}"),
                    },
                },
            };
            json.truncate(start);
            rejects.push(Reject {
                message: format!("{}: {why}", place(message)),
                payload: hex(payload),
            });
        }
        Ok((json, ends))
    }

    fn reader(&mut self, id: u32) -> anyhow::Result<&Result<AvroReader, String>> {
        if !self.readers.contains_key(&id) {
            let Some(schema) = self.registry.schema(id)? else {
                // Not kept: it may be registered yet.
                anyhow::bail!("the schema registry has no schema {id}");
            };
            let reader = match AvroReader::new(&schema, &self.columns) {
                Err(error) => Err(format!("schema {id}: {error:#}")),
                Ok(reader) if reader.misfits().is_empty() => Ok(reader),
                Ok(reader) => Err(format!("schema {id}: {}", reader.misfits().join("; "))),
            };
            self.readers.insert(id, reader);
        }
        Ok(&self.readers[&id])
    }
}

fn place(message: &BorrowedMessage<'_>) -> String {
    format!(
        "the message at offset {} of partition {}",
        message.offset(),
        message.partition()
    )
}

/// Returns the first bytes of a binary message, for the record.
fn hex(payload: &[u8]) -> String {
    /// Enough to find the message, and to see its frame.
    const BYTES_MAX: usize = 256;
    let mut text = String::new();
    for byte in &payload[..payload.len().min(BYTES_MAX)] {
        write!(text, "{byte:02x}").expect("writing to a string cannot fail");
    }
    text
}
