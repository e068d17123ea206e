//! Executes statements over a pipeline: one that runs in this process, or the state it left.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, RwLock};

use super::control::{Control, Ended};
use super::pipeline::Pipeline;
use super::protocol::{Emit, Event, Reach, Request, Want};
use super::settings::Settings;
use super::vault::Vault;
use crate::diagnostic::{Diagnostic, SourceMap};
use crate::engine::{Database, Ledger, Session};
use crate::options::Environment;
use crate::plan::{Plan, check};
use crate::runtime::{Runtime, Shared};
use crate::sql::{Statement, StatementKind, mask_credentials, mask_secrets, parse_file};

/// What statements are called in messages when they come from no file.
const NAME: &str = "statement";

/// A pipeline that statements can be given to, by many clients at once.
pub struct Service {
    pub(super) shared: Arc<Shared>,
    pub(super) runtime: Option<Arc<Runtime>>,
    pipeline: RwLock<Arc<Pipeline>>,
    /// The plan of a state that nobody runs, made when first needed.
    plan: Mutex<Option<Arc<Plan>>>,
    /// Held while the pipeline is changed: one at a time.
    changing: Mutex<()>,
    /// How often it has changed, so that whoever drew it knows when to draw it anew.
    changes: AtomicU64,
    pub(super) environment: Environment,
    pub(super) vault: Vault,
}

/// Why a statement was not executed.
pub enum Refusal {
    /// It is wrong.
    Faults(Vec<Diagnostic>),
    /// The world is.
    Error(anyhow::Error),
}

impl From<anyhow::Error> for Refusal {
    fn from(error: anyhow::Error) -> Self {
        Self::Error(error)
    }
}

impl From<Ended> for Refusal {
    fn from(ended: Ended) -> Self {
        Self::Error(ended.into())
    }
}

impl From<Diagnostic> for Refusal {
    fn from(fault: Diagnostic) -> Self {
        Self::Faults(vec![fault])
    }
}

impl From<Box<Diagnostic>> for Refusal {
    fn from(fault: Box<Diagnostic>) -> Self {
        Self::Faults(vec![*fault])
    }
}

impl Service {
    /// Serves a running pipeline.
    pub fn running(
        runtime: Arc<Runtime>,
        pipeline: Pipeline,
        vault: Vault,
        environment: Environment,
    ) -> Self {
        Self {
            shared: Arc::clone(&runtime.shared),
            runtime: Some(runtime),
            pipeline: RwLock::new(Arc::new(pipeline)),
            plan: Mutex::default(),
            changing: Mutex::default(),
            changes: AtomicU64::default(),
            environment,
            vault,
        }
    }

    /// Serves a state that nobody runs; the caller owns its directory.
    ///
    /// # Errors
    /// A secret cannot be decrypted, the state is of a newer version, or DuckDB's own.
    pub fn over_state(
        database: Database,
        state_dir: &Path,
        environment: Environment,
    ) -> anyhow::Result<Self> {
        let session = database.session()?;
        Ledger::new(&session).prepare()?;
        let vault = Vault::new(state_dir, &environment);
        let pipeline = Pipeline::of_state(&session, &vault)?;
        drop(session);
        let secrets =
            crate::catalog::resolve_secrets(&pipeline.checkable(), &environment, &mut Vec::new());
        let shared = Shared::new(database, secrets, Arc::new(chrono::Utc::now))?;
        Ok(Self {
            shared: Arc::new(shared),
            runtime: None,
            pipeline: RwLock::new(Arc::new(pipeline)),
            plan: Mutex::default(),
            changing: Mutex::default(),
            changes: AtomicU64::default(),
            environment,
            vault,
        })
    }

    pub(super) fn session(&self) -> anyhow::Result<Session> {
        // Whoever asks may ask for anything.
        if let Err(error) = self.shared.database.use_all_processors() {
            tracing::debug!(%error, "the engine stays at one thread for now");
        }
        // Who asks for the time is told that it is not there, others need it not.
        if let Err(error) = self.shared.database.set_up_clock() {
            tracing::warn!("queries cannot ask for the time: {error:#}");
        }
        self.shared.database.session()
    }

    pub(super) fn pipeline(&self) -> Arc<Pipeline> {
        Arc::clone(
            &self
                .pipeline
                .read()
                .expect("no panic happens under this lock"),
        )
    }

    /// Begins a change of the pipeline; nobody else changes it until the guard is dropped.
    pub(super) fn lock_changes(&self) -> MutexGuard<'_, ()> {
        // What a change that panicked left behind is consistent: the pipeline is put in place at its end.
        self.changing
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Returns how often the pipeline has changed.
    pub(super) fn change_count(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }

    /// Puts a changed pipeline in place.
    pub(super) fn put(&self, pipeline: Pipeline) {
        *self
            .pipeline
            .write()
            .expect("no panic happens under this lock") = Arc::new(pipeline);
        self.changes.fetch_add(1, Ordering::Relaxed);
        self.plan
            .lock()
            .expect("no panic happens under this lock")
            .take();
    }

    /// Returns the plan of the pipeline.
    pub(super) fn plan(&self, pipeline: &Pipeline) -> Result<Arc<Plan>, Refusal> {
        if let Some(runtime) = &self.runtime {
            return Ok(runtime.plan());
        }
        let kept = self
            .plan
            .lock()
            .expect("no panic happens under this lock")
            .clone();
        if let Some(plan) = kept {
            return Ok(plan);
        }
        let faults = pipeline.faults.clone();
        let checked = check(&pipeline.checkable(), &self.environment, faults)?;
        let plan = Arc::new(checked.plan.ok_or(Refusal::Faults(checked.faults))?);
        let mut kept = self.plan.lock().expect("no panic happens under this lock");
        *kept = Some(Arc::clone(&plan));
        Ok(plan)
    }

    /// Executes a script, its statements in order up to the first that fails; what went wrong is emitted as
    /// [`Event::Error`]. Blocking. Returns whether all went well.
    pub fn run(&self, request: &Request, control: &Control, emit: Emit<'_>) -> bool {
        std::thread::scope(|scope| {
            scope.spawn(|| control.watch());
            let run = || self.script(request, control, &mut *emit);
            let ran = catch_unwind(AssertUnwindSafe(run));
            control.finish();
            ran.unwrap_or_else(|_| {
                tracing::error!("executing a statement panicked");
                let text = "error: executing the statement failed by a fault of omlsp itself, which its log tells more of";
                // Whoever is gone needs no error.
                emit(Event::Error(text.to_owned())).unwrap_or_default();
                false
            })
        })
    }

    fn script(&self, request: &Request, control: &Control, emit: Emit<'_>) -> bool {
        let pipeline = self.pipeline();
        let mut script = Script {
            service: self,
            sources: pipeline.sources.clone(),
            pipeline,
            settings: request.settings.clone(),
            reach: request.reach,
            control,
            emit,
        };
        let outcome = match &request.want {
            Want::Script => script.execute(request),
            Want::Status => script.status(),
            Want::Tail(name) => script.tail(name),
            Want::Latest(name) => script.latest(name),
        };
        match outcome {
            Ok(()) => true,
            Err(refusal) => {
                let text = script.rendered(refusal);
                // Whoever is gone needs no error.
                (script.emit)(Event::Error(text)).unwrap_or_default();
                false
            }
        }
    }
}

/// A script while it is executed.
pub(super) struct Script<'a> {
    pub service: &'a Service,
    /// The pipeline as the current statement finds it.
    pub pipeline: Arc<Pipeline>,
    /// Its texts and the script's.
    pub sources: SourceMap,
    pub settings: Settings,
    pub reach: Reach,
    pub control: &'a Control,
    pub emit: Emit<'a>,
}

impl Script<'_> {
    /// Executes the statements of a request in order, up to the first that fails.
    fn execute(&mut self, request: &Request) -> Result<(), Refusal> {
        let name = match request.name.as_str() {
            "" => NAME,
            name => name,
        };
        let file = self.pipeline.script;
        self.sources.replace(file, name, request.sql.as_str());
        let parsed = parse_file(&self.sources, file);
        if !parsed.faults.is_empty() {
            return Err(Refusal::Faults(parsed.faults));
        }
        for statement in &parsed.statements {
            self.control.check()?;
            self.refresh();
            self.statement(statement)?;
        }
        Ok(())
    }

    /// Takes over what others, or the statement before, have changed.
    pub fn refresh(&mut self) {
        let pipeline = self.service.pipeline();
        if !Arc::ptr_eq(&pipeline, &self.pipeline) {
            let script = self.pipeline.script;
            let (name, sql) = (self.sources.path(script), self.sources.text(script));
            let mut sources = pipeline.sources.clone();
            sources.replace(pipeline.script, name, sql);
            (self.sources, self.pipeline) = (sources, pipeline);
        }
    }

    fn statement(&mut self, statement: &Statement) -> Result<(), Refusal> {
        let changes = matches!(
            statement.kind,
            StatementKind::Create(_) | StatementKind::Drop(_)
        );
        if changes && self.reach == Reach::Read {
            let fault = Diagnostic::new(statement.span, "this listener only answers questions");
            return Err(fault
                .help("use `omlsp sql`, or run with --listen-token and give the token")
                .into());
        }
        match &statement.kind {
            StatementKind::Query(query) => self.select(query),
            StatementKind::Explain(query) => self.explain(query),
            StatementKind::Show { what, .. } => self.show(*what),
            StatementKind::ShowCreate { kind, name } => self.show_create(*kind, name),
            StatementKind::Describe(name) => self.describe(name),
            StatementKind::Set { name, value } => {
                self.settings.set(name, value)?;
                let settings = self.settings.clone();
                Ok((self.emit)(Event::Settings(settings))?)
            }
            StatementKind::Create(create) => self.create(statement.span, create),
            StatementKind::Drop(drop) => self.drop_entity(drop),
        }
    }

    pub fn message(&mut self, text: impl Into<String>) -> Result<(), Refusal> {
        Ok((self.emit)(Event::Message(text.into()))?)
    }

    /// Renders a refusal for people, secrets hidden.
    fn rendered(&self, refusal: Refusal) -> String {
        let text = match refusal {
            Refusal::Error(error) => format!("error: {error:#}"),
            Refusal::Faults(faults) => {
                let sources = self
                    .sources
                    .with_texts(|text| mask_credentials(&mask_secrets(text)));
                sources.render(&faults).trim_end().to_owned()
            }
        };
        self.service.shared.mask(&text)
    }
}
