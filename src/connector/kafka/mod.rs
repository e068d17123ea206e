//! The `kafka` connector: a topic as TABLE or SOURCE, and as SINK.
//!
//! [`options`] reads and checks what the statement says, [`client`] makes the client's configuration of it;
//! neither needs a broker. [`source`] reads messages, [`decode`]s them and adds what of each they [`mod@include`],
//! its [`position`] in each partition travelling with the rows; [`sink`] [`encode`]s rows and sends them, [`spread`]
//! over the partitions.
//! [`registry`] keeps Avro's schemas.

mod client;
mod decode;
mod encode;
mod include;
mod options;
mod position;
mod registry;
mod tape;
mod sink;
mod replay;
mod source;
mod spread;

use super::{Connector, Declared, SinkConnector, SourceConnector};
use crate::batch::Schema;
use crate::diagnostic::Diagnostic;
use crate::format::JsonEncoder;
use crate::options::Options;
use client::check_property;
use options::{SinkOptions, SourceOptions};
use sink::KafkaSink;
use source::KafkaSource;

pub const CONNECTOR: Connector = Connector {
    name: "kafka",
    aliases: &[],
    source: Some(new_source),
    lookup: None,
    sink: Some(new_sink),
    includes: true,
};

fn new_source(options: &mut Options<'_>, declared: &Declared) -> Option<Box<dyn SourceConnector>> {
    let taken = SourceOptions::take(options, check_property)?;
    Some(Box::new(KafkaSource::new(taken, declared)))
}

fn new_sink(options: &mut Options<'_>, schema: &Schema) -> Option<Box<dyn SinkConnector>> {
    let taken = SinkOptions::take(options, schema, check_property)?;
    if let Err(error) = JsonEncoder::new(schema, &[]) {
        let message = format!("the rows cannot be written: {error:#}");
        options.fault(Diagnostic::new(options.span(), message));
    }
    Some(Box::new(KafkaSink::new(taken)))
}

#[cfg(test)]
mod tests;
