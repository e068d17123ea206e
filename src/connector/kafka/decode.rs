//! Messages to rows.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use rdkafka::message::Message;

use super::client::shown_payload;
use super::include::Includes;
use super::options::{Encoding, SourceOptions};
use super::registry::{Registry, unframed};
use crate::batch::{Column, Decoded, Reject, Schema};
use crate::connector::{Context, Included};
use crate::format::{AvroReader, Decoder, Filter};

/// Turns batches of messages into batches of rows.
pub(super) struct MessageDecoder {
    decoder: Decoder,
    includes: Includes,
    avro: Option<Avro>,
}

struct Avro {
    registry: Registry,
    columns: Vec<Column>,
    /// By the number of the schema; an error if its messages cannot become rows.
    readers: HashMap<u32, Result<AvroReader, String>>,
}

/// A message and the bytes of its value.
type Valued<'m, M> = (&'m M, &'m [u8]);

/// The JSON of messages, and where each one's ends.
struct JsonOf<'m, M> {
    json: Vec<u8>,
    ends: Vec<usize>,
    /// Those that could be read.
    messages: Vec<&'m M>,
}

impl MessageDecoder {
    /// # Errors
    /// None that validated options can cause.
    pub(super) fn new(
        options: &SourceOptions,
        columns: &[Column],
        included: Arc<[Included]>,
    ) -> anyhow::Result<Self> {
        let unit = options.rows.timestamp_unit;
        let (filter, avro) = match &options.connection.encoding {
            Encoding::Json => (options.rows.filter.clone(), None),
            Encoding::Avro { registry } => {
                let avro = Avro {
                    registry: Registry::new(registry)?,
                    columns: columns.to_vec(),
                    readers: HashMap::new(),
                };
                (Filter::identity(), Some(avro))
            }
        };
        let decoder = Decoder::new(columns.to_vec(), filter, unit);
        Ok(Self {
            includes: Includes::new(included, decoder.schema()),
            decoder,
            avro,
        })
    }

    /// Returns the schema of every batch.
    pub(super) fn schema(&self) -> &Schema {
        self.includes.schema()
    }

    /// Decodes messages in order. One that cannot be read is a reject that names its place.
    ///
    /// # Errors
    /// The registry is away; the messages are to be decoded again later.
    pub(super) fn decode<M: Message>(
        &mut self,
        messages: &[M],
        context: &Context,
    ) -> anyhow::Result<Decoded> {
        let mut rejects = Vec::new();
        let values = self.values(messages, &mut rejects);
        let mut row_ends = Vec::with_capacity(values.len());
        let (mut decoded, messages) = match &mut self.avro {
            None => {
                let bodies = values.iter().map(|(_, payload)| *payload);
                let decoded = self.decoder.decode_each(bodies, &mut row_ends)?;
                let messages: Vec<_> = values.iter().map(|(message, _)| *message).collect();
                (decoded, messages)
            }
            Some(avro) => {
                let JsonOf {
                    json,
                    ends,
                    messages,
                } = avro.json(&values, &mut rejects, context)?;
                let starts = std::iter::once(0).chain(ends.iter().copied());
                let bodies = starts.zip(&ends).map(|(start, end)| &json[start..*end]);
                (self.decoder.decode_each(bodies, &mut row_ends)?, messages)
            }
        };
        if !self.includes.is_empty() {
            let starts = std::iter::once(0).chain(row_ends.iter().copied());
            let counts = starts.zip(&row_ends).map(|(start, end)| end - start);
            let messages: Vec<_> = messages.into_iter().zip(counts).collect();
            decoded.rows = self.includes.add(&decoded.rows, &messages)?;
        }
        decoded.rejects.append(&mut rejects);
        Ok(decoded)
    }

    /// Returns the messages that have a value, and all that their rows are to include.
    fn values<'m, M: Message>(
        &self,
        messages: &'m [M],
        rejects: &mut Vec<Reject>,
    ) -> Vec<Valued<'m, M>> {
        let mut values = Vec::with_capacity(messages.len());
        for message in messages {
            let misfit = self.includes.misfit(message);
            let reject = match (message.payload(), misfit) {
                (Some(payload), None) => {
                    values.push((message, payload));
                    continue;
                }
                (Some(payload), Some(misfit)) => Reject {
                    message: format!("{}: {misfit}", place(message)),
                    payload: shown_payload(Some(payload)),
                },
                (None, _) => Reject {
                    message: format!("{} has no value (a tombstone)", place(message)),
                    payload: shown_payload(message.key()),
                },
            };
            rejects.push(reject);
        }
        values
    }
}

impl Avro {
    /// Returns the JSON of all messages that can be read.
    fn json<'m, M: Message>(
        &mut self,
        values: &[Valued<'m, M>],
        rejects: &mut Vec<Reject>,
        context: &Context,
    ) -> anyhow::Result<JsonOf<'m, M>> {
        let mut read = JsonOf {
            json: Vec::new(),
            ends: Vec::with_capacity(values.len()),
            messages: Vec::with_capacity(values.len()),
        };
        for (message, payload) in values {
            let start = read.json.len();
            let why = match unframed(payload) {
                Err(error) => error.to_string(),
                Ok((id, content)) => match self.reader(id, context)? {
                    Err(why) => why.clone(),
                    Ok(reader) => match reader.write_json(content, &mut read.json) {
                        Ok(()) => {
                            read.ends.push(read.json.len());
                            read.messages.push(*message);
                            continue;
                        }
                        Err(error) => format!("not of its schema {id}: {error:#}"),
                    },
                },
            };
            read.json.truncate(start);
            rejects.push(Reject {
                message: format!("{}: {why}", place(*message)),
                payload: hex(payload),
            });
        }
        Ok(read)
    }

    fn reader(
        &mut self,
        id: u32,
        context: &Context,
    ) -> anyhow::Result<&Result<AvroReader, String>> {
        if !self.readers.contains_key(&id) {
            let Some(schema) = self.registry.schema(id, context)? else {
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

fn place(message: &impl Message) -> String {
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
