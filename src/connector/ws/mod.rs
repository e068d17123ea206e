//! The `ws` connector: messages pushed over WebSocket connections, as TABLE or SOURCE.
//!
//! [`options`] reads and checks what the statement says; nothing there needs a connection.

mod options;

use super::{
    Cadence, Connector, Declared, OnError, Overlap, SourceConnector, SourceReader, StartQuery,
};
use crate::options::Options;
use options::WsOptions;

pub const CONNECTOR: Connector = Connector {
    name: "ws",
    aliases: &["websocket"],
    source: Some(source),
    lookup: None,
    sink: None,
};

struct WsSource {
    options: WsOptions,
}

fn source(options: &mut Options<'_>, _declared: &Declared) -> Option<Box<dyn SourceConnector>> {
    let options = WsOptions::take(options)?;
    Some(Box::new(WsSource { options }))
}

impl SourceConnector for WsSource {
    fn cadence(&self) -> (Cadence, Overlap) {
        (Cadence::Continuous, Overlap::Skip)
    }

    fn on_error(&self) -> OnError {
        self.options.rows.on_error
    }

    fn start_query(&self) -> Option<&StartQuery> {
        self.options.start.as_ref().map(|start| &start.query)
    }

    fn open(&self, _cursor: Option<&str>) -> anyhow::Result<Box<dyn SourceReader>> {
        anyhow::bail!("the ws connector is not built yet")
    }
}

#[cfg(test)]
mod tests;
