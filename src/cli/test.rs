//! `omlsp test`: plays the record of a pipeline and compares what comes of it with what is expected.
//!
//! A test is a folder with `.sql` files, a `record/` and an `expect/`, in which `<entity>.jsonl` or
//! `<entity>.csv` holds what is expected of an entity: the content of a TABLE or a MATERIALIZED VIEW at the
//! end, in order of all its columns; what a SOURCE, VIEW or SINK has delivered, in its order.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;

use super::run::{LogFormat, init_log};
use super::{Outcome, load, replay};
use crate::connector::capture::Capture;
use crate::connector::lines::{LineEncoder, LineFormat};
use crate::engine::{Database, MEMORY_BYTES_DEFAULT, Session};
use crate::plan::{Node, Plan};
use crate::record::{FILE, Player};
use crate::runtime::{Replayed, Runtime, Speed};
use crate::sql::{EntityKind, quote_ident};

/// Test pipelines against their records
///
/// A test is a folder with .sql files, a record (record/, written by `omlsp run --record`) and the expected
/// rows of named entities (expect/NAME.jsonl or .csv). Nothing is sent and nothing is asked for: sinks
/// are captured, the clock is that of the record. Exits with 1 if a test fails.
#[derive(Args)]
#[command(after_help = "Examples:\n  omlsp test tests/prices\n  omlsp test --bless tests/")]
pub struct Arguments {
    /// Test folders, or folders that hold some
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Write what came as what is expected; where nothing is yet, of every sink and materialized view
    #[arg(long)]
    bless: bool,
}

/// How deep folders are searched for tests: deeper ones are links in a circle.
const DEPTH_MAX: usize = 16;

/// Lines of one difference that are shown.
const DIFF_LINES_MAX: usize = 100;

/// # Errors
/// Folders that cannot be read or written.
pub fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    init_log(LogFormat::Text, "error");
    let mut folders = Vec::new();
    for path in &arguments.paths {
        let before = folders.len();
        collect(path, 0, &mut folders)?;
        anyhow::ensure!(
            folders.len() > before,
            "no test under `{}`: a test is a folder with .sql files and a record in `record/{FILE}`",
            path.display()
        );
    }
    let (mut passed, mut failed) = (0, 0);
    for folder in &folders {
        let report = Test::open(folder)?.run(arguments.bless)?;
        super::print(&report.text(folder))?;
        match report.faults.is_empty() {
            true => passed += 1,
            false => failed += 1,
        }
    }
    super::print(&format!("{passed} passed, {failed} failed\n"))?;
    Ok(match failed {
        0 => Outcome::Done,
        _ => Outcome::Failed,
    })
}

fn collect(path: &Path, depth: usize, folders: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    if path.join("record").join(FILE).is_file() {
        folders.push(path.to_owned());
    }
    if depth >= DEPTH_MAX {
        return Ok(());
    }
    let entries =
        std::fs::read_dir(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    let mut children = Vec::new();
    for entry in entries {
        children.push(entry?.path());
    }
    children.sort();
    for child in children.iter().filter(|child| child.is_dir()) {
        collect(child, depth + 1, folders)?;
    }
    Ok(())
}

/// What came of one test.
#[derive(Default)]
struct Report {
    /// The entities that are as expected.
    matched: usize,
    blessed: Vec<PathBuf>,
    faults: Vec<String>,
}

impl Report {
    fn text(&self, folder: &Path) -> String {
        let folder = folder.display();
        let mut text = match (self.faults.is_empty(), self.blessed.len()) {
            (true, 0) => format!("ok      {folder} ({} entities as expected)\n", self.matched),
            (true, count) => format!("blessed {folder} ({count} written)\n"),
            (false, _) => format!("FAILED  {folder}\n"),
        };
        for fault in &self.faults {
            for line in fault.trim_end().lines() {
                writeln!(text, "    {line}").expect("writing to a string cannot fail");
            }
        }
        text
    }
}

/// What is expected of one entity.
#[derive(Clone)]
struct Expected {
    path: PathBuf,
    format: LineFormat,
}

/// One folder.
struct Test {
    folder: PathBuf,
    /// By the name of the entity.
    expected: BTreeMap<String, Expected>,
}

impl Test {
    fn open(folder: &Path) -> anyhow::Result<Self> {
        let expect = folder.join("expect");
        let mut expected = BTreeMap::new();
        if expect.is_dir() {
            for entry in std::fs::read_dir(&expect)? {
                let path = entry?.path();
                let format = match path.extension().and_then(|extension| extension.to_str()) {
                    Some("jsonl") => LineFormat::Json,
                    Some("csv") => LineFormat::Csv,
                    _ => continue,
                };
                let name = path.file_stem().unwrap_or_default();
                let name = name.to_string_lossy().into_owned();
                if expected
                    .insert(name.clone(), Expected { path, format })
                    .is_some()
                {
                    anyhow::bail!(
                        "`{}` has two files for `{name}`: keep one",
                        expect.display()
                    );
                }
            }
        }
        Ok(Self {
            folder: folder.to_owned(),
            expected,
        })
    }

    fn run(mut self, bless: bool) -> anyhow::Result<Report> {
        let mut report = Report::default();
        let mut sources = load::read(std::slice::from_ref(&self.folder))?;
        let plan = match replay::checked(&sources)? {
            Ok(plan) => plan,
            Err(faults) => {
                report.faults.push(sources.render(&faults));
                return Ok(report);
            }
        };
        if self.expected.is_empty() && bless {
            self.expect_all(&plan);
        }
        self.check_names(&plan, &mut report);
        if !report.faults.is_empty() {
            return Ok(report);
        }
        let watched = self.watched(&plan);
        let plan = if watched.is_empty() {
            plan
        } else {
            sources.add("the sinks of the test", watched);
            match replay::checked(&sources)? {
                Ok(plan) => plan,
                Err(faults) => {
                    report.faults.push(sources.render(&faults));
                    return Ok(report);
                }
            }
        };
        let scratch = Scratch::new()?;
        let player = Arc::new(Player::open(&self.folder.join("record"))?);
        match self.play(plan, &player, &scratch)? {
            Ok(runtime) => self.compare(&runtime, &scratch, bless, &mut report)?,
            Err(fault) => report.faults.push(fault),
        }
        Ok(report)
    }

    /// Expects something of every sink and every materialized view.
    fn expect_all(&mut self, plan: &Plan) {
        let wanted = [EntityKind::Sink, EntityKind::MaterializedView];
        for node in plan.nodes.iter().filter(|node| wanted.contains(&node.kind)) {
            let file = format!("{}.jsonl", node.name);
            let expected = Expected {
                path: self.folder.join("expect").join(file),
                format: LineFormat::Json,
            };
            self.expected.insert(node.name.clone(), expected);
        }
    }

    fn check_names(&self, plan: &Plan, report: &mut Report) {
        if self.expected.is_empty() {
            let fault = "nothing is expected: `--bless` writes `expect/`";
            report.faults.push(fault.to_owned());
        }
        for (name, expected) in &self.expected {
            let path = expected.path.display();
            match plan.node(name).map(|node| node.kind) {
                Some(EntityKind::Lookup | EntityKind::Secret) => report
                    .faults
                    .push(format!("{path}: `{name}` has no rows of its own")),
                Some(_) => {}
                None if name == crate::catalog::ERRORS => {}
                None => {
                    let known = plan.nodes.iter().map(|node| node.name.as_str());
                    let near = known.max_by(|left, right| {
                        strsim::jaro(left, name).total_cmp(&strsim::jaro(right, name))
                    });
                    let near = near.map_or_else(String::new, |near| format!("; is it `{near}`?"));
                    report
                        .faults
                        .push(format!("{path}: there is no entity `{name}`{near}"));
                }
            }
        }
    }

    /// Returns statements that make a sink for each relation of which not the content is expected, but what
    /// it delivers.
    fn watched(&self, plan: &Plan) -> String {
        let mut sql = String::new();
        for name in self.expected.keys() {
            let Some(node) = plan.node(name).filter(|node| delivers(node)) else {
                continue;
            };
            let (sink, relation) = (quote_ident(&watcher(name)), quote_ident(name));
            // It is captured as every sink is; `changes` lets it take any relation.
            let taken = (node.columns.iter()).any(|(column, _)| column.eq_ignore_ascii_case("op"));
            let changes = if taken { "" } else { ", changes = 'op'" };
            writeln!(
                sql,
                "CREATE SINK {sink} FROM {relation} WITH (connector = 'stdout'{changes});"
            )
            .expect("writing to a string cannot fail");
        }
        sql
    }

    fn play(
        &self,
        mut plan: Plan,
        player: &Arc<Player>,
        scratch: &Scratch,
    ) -> anyhow::Result<Result<Arc<Runtime>, String>> {
        plan.replace_sinks(&|name, sink| {
            let expected = self.expected.iter().find(|(known, _)| {
                known.eq_ignore_ascii_case(name) || watcher(known).eq_ignore_ascii_case(name)
            });
            Some(Arc::new(Capture {
                path: expected.map(|(known, _)| scratch.file(known)),
                format: expected.map_or(LineFormat::Json, |(_, expected)| expected.format),
                changing: sink.is_changing(),
            }))
        });
        let database = Database::open_repeatable(None, MEMORY_BYTES_DEFAULT)?;
        let (replayed, runtime) = replay::play(plan, player, database, (Speed::Max, None))?;
        Ok(match replayed {
            Replayed::Well => Ok(runtime),
            Replayed::Lacking(message) => Err(message),
            Replayed::Badly => {
                let session = runtime.shared.database.session()?;
                let sql =
                    "SELECT entity, stage, message FROM omlsp_errors ORDER BY time DESC LIMIT 5";
                let errors = session.texts(sql, &[])?.into_iter().map(|row| {
                    let cells: Vec<String> = row.into_iter().flatten().collect();
                    cells.join(": ")
                });
                let errors: Vec<String> = errors.collect();
                Err(format!("the run failed:\n{}", errors.join("\n")))
            }
        })
    }

    fn compare(
        &self,
        runtime: &Runtime,
        scratch: &Scratch,
        bless: bool,
        report: &mut Report,
    ) -> anyhow::Result<()> {
        let session = runtime.shared.database.session()?;
        let plan = runtime.plan();
        for (name, expected) in &self.expected {
            let got = match plan.node(name) {
                Some(node) if delivers(node) || node.kind == EntityKind::Sink => {
                    read_or_empty(&scratch.file(name))?
                }
                node => content(&session, name, node.map(Arc::as_ref), expected.format)?,
            };
            let wanted = read_or_empty(&expected.path)?;
            if got == wanted && expected.path.exists() {
                report.matched += 1;
            } else if bless {
                let folder = expected.path.parent().unwrap_or(Path::new(""));
                std::fs::create_dir_all(folder)?;
                std::fs::write(&expected.path, &got)
                    .with_context(|| format!("cannot write `{}`", expected.path.display()))?;
                report.blessed.push(expected.path.clone());
            } else {
                report
                    .faults
                    .push(difference(&expected.path, &wanted, &got));
            }
        }
        Ok(())
    }
}

/// Says whether what an entity delivers is expected, rather than its content.
fn delivers(node: &Node) -> bool {
    matches!(node.kind, EntityKind::Source | EntityKind::View)
}

/// Returns the name of the sink that watches a relation.
fn watcher(name: &str) -> String {
    format!("{name} (expected)")
}

fn read_or_empty(path: &Path) -> anyhow::Result<String> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(error).with_context(|| format!("cannot read `{}`", path.display())),
    }
}

/// Returns the rows of a relation, in order of all its columns.
fn content(
    session: &Session,
    name: &str,
    node: Option<&Node>,
    format: LineFormat,
) -> anyhow::Result<String> {
    let sql = format!("SELECT * FROM main.{} ORDER BY ALL", quote_ident(name));
    let columns = node.map_or(&[][..], |node| &node.columns);
    let schema = crate::batch::mark_json(&session.schema(&sql)?, columns);
    let encoder = LineEncoder::new(format, &schema)?;
    let mut lines = Vec::new();
    encoder.header(&mut lines)?;
    session.stream(&sql, &[], &mut |rows| {
        encoder.encode(&rows, &mut lines, &mut |_| Ok(()))
    })?;
    Ok(String::from_utf8(lines)?)
}

/// Returns the lines that differ with some around them.
fn difference(path: &Path, wanted: &str, got: &str) -> String {
    let mut text = format!("{}: - expected, + came\n", path.display());
    if !path.exists() {
        text = format!("{} is not there: `--bless` writes it\n", path.display());
    }
    let diff = similar::TextDiff::from_lines(wanted, got);
    let shown = diff.unified_diff().context_radius(2).to_string();
    let lines: Vec<&str> = shown.lines().collect();
    for line in lines.iter().take(DIFF_LINES_MAX) {
        writeln!(text, "{line}").expect("writing to a string cannot fail");
    }
    if lines.len() > DIFF_LINES_MAX {
        let more = lines.len() - DIFF_LINES_MAX;
        writeln!(text, "… and {more} more lines").expect("writing to a string cannot fail");
    }
    text
}

/// A folder for what sinks write; it goes with the value.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> anyhow::Result<Self> {
        let base = std::env::temp_dir();
        for number in 0..1000 {
            let path = base.join(format!("omlsp-test-{}-{number}", std::process::id()));
            match std::fs::create_dir(&path) {
                Ok(()) => return Ok(Self(path)),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => {
                    return Err(error).with_context(|| format!("cannot make `{}`", path.display()));
                }
            }
        }
        anyhow::bail!(
            "`{}` is full of folders of tests that were killed",
            base.display()
        )
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name.to_lowercase())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "cannot remove a temporary folder");
        }
    }
}
