//! What stands for a connector whose options are not known: one is faulty, or its value is a secret that is not to be
//! had, as where statements are given to a state that nobody runs.
//!
//! What reads or writes the entity can be checked all the same; nothing is read, asked or written by this.

use chrono::{DateTime, Utc};

use super::{
    Cadence, Changes, Context, LookupConnector, LookupLimits, OnError, Overlap, SinkConnector,
    SinkWriter, SourceConnector, SourceReader,
};
use crate::batch::{Decoded, Schema};
use crate::options::Options;

/// A connector of options that could not be validated.
pub struct Unknown;

impl Unknown {
    /// Returns what stands for the sink of some options, if a value of theirs is not known.
    pub fn sink(options: &Options<'_>) -> Option<Box<dyn SinkConnector>> {
        options.has_unknown().then(|| Box::new(Self) as _)
    }
}

fn not_known() -> anyhow::Error {
    anyhow::anyhow!("it needs a secret whose value is not known while the pipeline does not run")
}

impl SourceConnector for Unknown {
    fn cadence(&self) -> (Cadence, Overlap) {
        (Cadence::Continuous, Overlap::Skip)
    }

    fn on_error(&self) -> OnError {
        OnError::default()
    }

    fn open(
        &self,
        _cursor: Option<&str>,
        _context: &Context,
    ) -> anyhow::Result<Box<dyn SourceReader>> {
        Err(not_known())
    }
}

impl LookupConnector for Unknown {
    fn limits(&self) -> LookupLimits {
        LookupLimits {
            concurrency: 1,
            cache: None,
            fail: true,
            on_error: OnError::default(),
        }
    }

    fn request(
        &self,
        _params: &[serde_json::Value],
        _trigger: DateTime<Utc>,
        _context: &Context,
    ) -> anyhow::Result<Decoded> {
        Err(not_known())
    }
}

impl SinkConnector for Unknown {
    fn changes(&self) -> Changes {
        Changes::Accepted
    }

    fn open(&self, _schema: &Schema, _state: Option<&str>) -> anyhow::Result<Box<dyn SinkWriter>> {
        Err(not_known())
    }
}
