//! A ws source as the runtime drives it: made from SQL, read in turns, its rows and events kept.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use omlsp::batch::array::{Array, Int64Array};
use omlsp::batch::datatypes::DataType;
use omlsp::batch::{Column, Reject};
use omlsp::connector::{Context, Declared, Delivery, Event, QueryRows, SourceConnector};
use omlsp::connector::{SourceReader, Stop, Stopped};
use omlsp::diagnostic::SourceMap;
use omlsp::options::{Environment, Options};
use omlsp::secret::{Secret, Secrets};
use omlsp::sql::{Definition, StatementKind, parse_file};

/// Longer than any test takes, shorter than anybody's patience.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Makes a source with the column `a BIGINT` from its options, or the rendered faults. There is one
/// secret, `token`.
pub fn try_source(with: &str) -> Result<Box<dyn SourceConnector>, String> {
    let mut sources = SourceMap::default();
    let sql = format!("CREATE SOURCE s (a BIGINT) WITH (connector = 'ws', {with});");
    let file = sources.add("test.sql", sql);
    let parsed = parse_file(&sources, file);
    assert!(
        parsed.faults.is_empty(),
        "{}",
        sources.render(&parsed.faults)
    );
    let StatementKind::Create(create) = &parsed.statements[0].kind else {
        panic!("a source is created");
    };
    let Definition::Source(relation) = &create.definition else {
        panic!("a source is created");
    };
    let (environment, mut secrets) = (Environment::default(), Secrets::default());
    secrets.insert("token", Secret::new("s3cr3t-t0ken"));
    let mut options = Options::new(&relation.options, &environment, &secrets);
    options.text("connector");
    let declared = Declared {
        columns: vec![Column {
            name: "a".to_owned(),
            sql_type: "BIGINT".to_owned(),
            arrow: DataType::Int64,
            nullable: true,
            in_key: false,
        }],
        included: Vec::new(),
        params: Vec::new(),
        columns_span: relation.columns_span,
        places: Vec::new(),
    };
    let connector = omlsp::connector::find("websocket").unwrap();
    let source = connector.source.unwrap()(&mut options, &declared);
    let faults = options.finish();
    match source {
        Some(source) if faults.is_empty() => Ok(source),
        _ => Err(sources.render(&faults)),
    }
}

/// A gap as it was reported.
#[derive(Clone, Debug)]
pub struct Gap {
    pub part: String,
    pub millis: i64,
    pub reason: String,
}

/// An open source and what came of it so far.
pub struct Run {
    reader: Box<dyn SourceReader>,
    context: Context,
    pub stop: Stop,
    events: Arc<Mutex<Vec<Event>>>,
    /// The values of `a`, one list per batch.
    pub batches: Vec<Vec<i64>>,
    pub rejects: Vec<Reject>,
    pub triggers: Vec<chrono::DateTime<chrono::Utc>>,
}

impl Run {
    pub fn open(with: &str) -> Self {
        Self::open_with_query(with, |_| Ok(Vec::new()))
    }

    pub fn open_with_query(
        with: &str,
        query: impl Fn(&str) -> anyhow::Result<QueryRows> + Send + Sync + 'static,
    ) -> Self {
        let source = try_source(with).unwrap_or_else(|faults| panic!("{faults}"));
        let events = Arc::new(Mutex::new(Vec::new()));
        let (sink, stop) = (Arc::clone(&events), Stop::default());
        let report = move |event| sink.lock().unwrap().push(event);
        let context = Context::new(stop.clone(), report).with_query(query);
        Self {
            reader: source.open(None, &context).unwrap(),
            context,
            stop,
            events,
            batches: Vec::new(),
            rejects: Vec::new(),
            triggers: Vec::new(),
        }
    }

    /// Reads once; `on_batch` is called before batches count as committed, with their rows.
    pub fn read(
        &mut self,
        on_batch: &mut dyn FnMut(&[i64]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let Self {
            reader,
            context,
            batches,
            rejects,
            triggers,
            ..
        } = self;
        let mut emit = |delivery: Delivery| {
            let rows = delivery.decoded.rows;
            let values = rows
                .column(0)
                .as_any()
                .downcast_ref::<Int64Array>()
                .unwrap();
            let values: Vec<i64> = values.iter().flatten().collect();
            assert!(delivery.cursor.is_none());
            on_batch(&values)?;
            for batch in values.chunks(delivery.batch_rows_max) {
                batches.push(batch.to_vec());
                triggers.push(delivery.trigger);
            }
            rejects.extend(delivery.decoded.rejects);
            Ok(())
        };
        reader
            .read(chrono::Utc::now(), context, &mut emit)
            .map(|_| ())
    }

    /// Reads until the condition holds.
    #[track_caller]
    pub fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !done(self) {
            assert!(
                Instant::now() < end,
                "not seen: {what}\nrows: {}\nrejects: {:?}\nevents: {:#?}",
                self.rows().len(),
                self.rejects,
                self.events()
                    .into_iter()
                    .filter(|event| !matches!(event, Event::Bytes(_)))
                    .collect::<Vec<_>>(),
            );
            self.read(&mut |_| Ok(())).unwrap();
        }
    }

    #[track_caller]
    pub fn until_rows(&mut self, count: usize) {
        self.until(&format!("{count} rows"), |run| run.rows().len() >= count);
    }

    #[track_caller]
    pub fn until_gaps(&mut self, count: usize) -> Vec<Gap> {
        self.until(&format!("{count} gaps"), |run| run.gaps().len() >= count);
        self.gaps()
    }

    pub fn rows(&self) -> Vec<i64> {
        self.batches.concat()
    }

    pub fn row_set(&self) -> BTreeSet<i64> {
        self.batches.iter().flatten().copied().collect()
    }

    pub fn events(&self) -> Vec<Event> {
        self.events.lock().unwrap().clone()
    }

    pub fn gaps(&self) -> Vec<Gap> {
        let gap = |event| match event {
            Event::Gap {
                entity_part,
                from,
                to,
                reason,
            } => Some(Gap {
                part: entity_part,
                millis: (to - from).num_milliseconds(),
                reason,
            }),
            _ => None,
        };
        self.events().into_iter().filter_map(gap).collect()
    }

    pub fn warnings(&self) -> Vec<String> {
        let warning = |event| match event {
            Event::Warning(text) => Some(text),
            _ => None,
        };
        self.events().into_iter().filter_map(warning).collect()
    }

    /// The attempts, pauses and errors of the retries.
    pub fn retries(&self) -> Vec<(u32, Duration, String)> {
        let retry = |event| match event {
            Event::Retry {
                attempt,
                pause,
                error,
            } => Some((attempt, pause, error)),
            _ => None,
        };
        self.events().into_iter().filter_map(retry).collect()
    }

    pub fn stop_and_read(&mut self) -> Option<Stopped> {
        self.stop.stop();
        let error = self.read(&mut |_| Ok(())).unwrap_err();
        error.downcast_ref::<Stopped>().copied()
    }
}

/// Waits for something that happens on another thread.
#[track_caller]
pub fn wait_for(what: &str, done: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < end, "not seen: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
