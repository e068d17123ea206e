//! The `ws` connector: messages pushed over WebSocket connections, as TABLE or SOURCE.
//!
//! [`options`] reads and checks what the statement says; nothing there needs a connection. A [`reader`]
//! starts a [`connection`] per [`address`]: a task on the one thread of [`executor`] that [`dial`]s, and
//! hands its messages as [`frames`] over a bounded [`inbox`] to the reader, which makes batches of them.
//! When the pipeline is slower than a stream, the inbox is full and the socket is not read: nothing is
//! dropped here. What a server did not send meanwhile, or while a connection was away, is reported as a gap.

mod tls;

mod options;

mod address;
mod backoff;
mod batch;
mod executor;
mod frames;
mod hearing;
mod inbox;

mod dial;
mod tape;

mod connection;

mod reader;
mod replay;

use super::{
    Cadence, Connector, Context, Declared, OnError, Overlap, SourceConnector, SourceReader,
    StartQuery,
};
use crate::batch::Column;
use crate::options::Options;
use options::WsOptions;
use reader::WsReader;

pub const CONNECTOR: Connector = Connector {
    name: "ws",
    aliases: &["websocket"],
    source: Some(source),
    lookup: None,
    sink: None,
    includes: false,
};

struct WsSource {
    options: WsOptions,
    columns: Vec<Column>,
}

fn source(options: &mut Options<'_>, declared: &Declared) -> Option<Box<dyn SourceConnector>> {
    let options = WsOptions::take(options)?;
    Some(Box::new(WsSource {
        options,
        columns: declared.columns.clone(),
    }))
}

impl SourceConnector for WsSource {
    fn cadence(&self) -> (Cadence, Overlap) {
        (Cadence::Continuous, Overlap::Skip)
    }

    fn endless(&self) -> bool {
        true
    }

    fn on_error(&self) -> OnError {
        self.options.rows.on_error
    }

    fn start_query(&self) -> Option<&StartQuery> {
        self.options.start.as_ref().map(|start| &start.query)
    }

    fn open(
        &self,
        _cursor: Option<&str>,
        context: &Context,
    ) -> anyhow::Result<Box<dyn SourceReader>> {
        let reader = WsReader::open(self.options.clone(), self.columns.clone(), context)?;
        Ok(Box::new(reader))
    }
}

#[cfg(test)]
mod tests;
