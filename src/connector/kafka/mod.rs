//! The `kafka` connector: a topic as TABLE or SOURCE, and as SINK.
//!
//! [`options`] reads and checks what the statement says; nothing there needs a broker.

mod options;

use super::{
    Cadence, Changes, Connector, Declared, OnError, Overlap, SinkConnector, SinkWriter,
    SourceConnector, SourceReader,
};
use crate::batch::Schema;
use crate::options::Options;
use options::{SinkOptions, SourceOptions};

pub const CONNECTOR: Connector = Connector {
    name: "kafka",
    aliases: &[],
    source: Some(source),
    lookup: None,
    sink: Some(sink),
};

/// What `open` answers until the clients are there.
const NOT_BUILT: &str = "the kafka connector is not built yet";

struct KafkaSource {
    options: SourceOptions,
}

fn source(options: &mut Options<'_>, _declared: &Declared) -> Option<Box<dyn SourceConnector>> {
    let options = SourceOptions::take(options)?;
    Some(Box::new(KafkaSource { options }))
}

impl SourceConnector for KafkaSource {
    fn cadence(&self) -> (Cadence, Overlap) {
        (Cadence::Continuous, Overlap::Skip)
    }

    fn on_error(&self) -> OnError {
        self.options.rows.on_error
    }

    fn open(&self, _cursor: Option<&str>) -> anyhow::Result<Box<dyn SourceReader>> {
        anyhow::bail!(NOT_BUILT)
    }
}

struct KafkaSink {
    options: SinkOptions,
}

fn sink(options: &mut Options<'_>, schema: &Schema) -> Option<Box<dyn SinkConnector>> {
    let options = SinkOptions::take(options, schema)?;
    Some(Box::new(KafkaSink { options }))
}

impl SinkConnector for KafkaSink {
    /// With a key a delete is a tombstone: a message of that key without a value.
    fn changes(&self) -> Changes {
        if self.options.key.is_empty() {
            let advice = "add `key = '…'` with the columns that identify a row: a delete is then a \
                          message of that key without a value";
            Changes::Refused {
                advice: advice.to_owned(),
            }
        } else {
            Changes::Accepted
        }
    }

    fn open(&self, _schema: &Schema, _state: Option<&str>) -> anyhow::Result<Box<dyn SinkWriter>> {
        anyhow::bail!(NOT_BUILT)
    }
}

#[cfg(test)]
mod tests;
