//! A plan against the state: what there is, what is new, what has changed, what is gone.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::diagnostic::{SourceMap, list_names};
use crate::engine::{Ledger, RecordedEntity, Session, Stored};
use crate::plan::{DerivedPlan, Maintenance, Node, Plan, SinkPlan, Work};
use crate::sql::{EntityKind, mask_definition};

/// What is to be done with one entity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    Create,
    Resume,
    /// Its definition changed, or that of something it reads; dropped and made anew.
    Replace {
        because: String,
    },
    /// No longer in any file.
    Drop,
}

/// What a plan means for a state, entity by entity; drops first, readers before what they read.
#[derive(Clone, Debug, Default)]
pub struct Steps {
    pub actions: Vec<(String, EntityKind, Action)>,
    /// Entities that resume from another file than the one that is recorded, and that file.
    pub moved: Vec<(String, Option<String>)>,
}

impl Steps {
    /// Renders the steps, one a line.
    pub fn render(&self) -> String {
        let mut text = String::new();
        for (name, kind, action) in &self.actions {
            let kind = kind.words().to_lowercase();
            let line = match action {
                Action::Create => format!("create   {kind} {name}"),
                Action::Resume => format!("resume   {kind} {name}"),
                Action::Replace { because } => format!("replace  {kind} {name}: {because}"),
                Action::Drop => format!("drop     {kind} {name}: no longer in its file"),
            };
            writeln!(text, "{line}").expect("writing to a string cannot fail");
        }
        text
    }
}

/// Compares a plan with the state.
///
/// # Errors
/// Changed definitions without `replace`, with the differences.
pub fn compare(recorded: &[RecordedEntity], plan: &Plan, replace: bool) -> anyhow::Result<Steps> {
    let by_name: HashMap<String, &RecordedEntity> = recorded
        .iter()
        .map(|entity| (entity.name.to_lowercase(), entity))
        .collect();
    let mut steps = Steps::default();
    let mut replaced: Vec<String> = Vec::new();
    let mut refused = String::new();
    for node in &plan.nodes {
        let action = match by_name.get(&node.name.to_lowercase()) {
            None => Action::Create,
            Some(old) if same_definition(old, node) => {
                let read = node
                    .reads
                    .iter()
                    .find(|read| replaced.contains(&read.to_lowercase()));
                let origin = shown_origin(node);
                if origin != old.origin {
                    steps.moved.push((node.name.clone(), origin));
                }
                read.map_or(Action::Resume, |read| Action::Replace {
                    because: format!("`{read}`, which it reads, is replaced"),
                })
            }
            Some(old) => {
                if !replace {
                    write!(refused, "{}", difference(old, node))
                        .expect("writing to a string cannot fail");
                }
                Action::Replace {
                    because: "its definition has changed".to_owned(),
                }
            }
        };
        if matches!(action, Action::Replace { .. }) {
            replaced.push(node.name.to_lowercase());
        }
        steps.actions.push((node.name.clone(), node.kind, action));
    }
    anyhow::ensure!(
        refused.is_empty(),
        "definitions differ from those in the state:\n{refused}\n\
         run with --replace to rebuild them and what depends on them, or choose another --state-dir"
    );
    let gone = recorded
        .iter()
        .rev()
        .filter(|old| plan.node(&old.name).is_none());
    let mut drops: Vec<(String, EntityKind, Action)> = gone
        .map(|old| (old.name.clone(), kind_of(&old.kind), Action::Drop))
        .collect();
    drops.append(&mut steps.actions);
    steps.actions = drops;
    Ok(steps)
}

/// Makes sure that what goes because it is in no file is not in one that this run was only not given.
///
/// # Errors
/// The entities whose files are there and were not given, by file.
pub fn refuse_left_out(
    recorded: &[RecordedEntity],
    plan: &Plan,
    given: &SourceMap,
) -> anyhow::Result<()> {
    let mut left_out: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for entity in recorded {
        if let (Some(origin), None) = (&entity.origin, plan.node(&entity.name)) {
            left_out.entry(origin).or_default().push(&entity.name);
        }
    }
    // Mostly nothing has gone, and no path is looked at.
    if !left_out.is_empty() {
        let whole = |path: &Path| path.canonicalize().ok();
        let given: Vec<PathBuf> = given
            .files()
            .filter_map(|file| whole(given.path(file)))
            .collect();
        left_out.retain(|origin, _| {
            whole(Path::new(origin)).is_some_and(|path| !given.contains(&path))
        });
    }
    let mut files = left_out.iter();
    let Some((first, _)) = files.next() else {
        return Ok(());
    };
    let told = left_out.iter().map(|(file, names)| {
        let names = list_names(names.iter().copied());
        format!("{names} of `{file}`")
    });
    anyhow::bail!(
        "the state has {}, which this run was not given: give it `{first}` too, choose another --state-dir, or run with \
         --replace to drop what it was not given",
        told.collect::<Vec<_>>().join(", ")
    )
}

/// Returns the file of an entity as it is recorded.
fn shown_origin(node: &Node) -> Option<String> {
    (node.origin.as_ref()).map(|path| path.display().to_string())
}

/// White space and comments make no difference.
fn same_definition(old: &RecordedEntity, node: &Node) -> bool {
    let words = |text: &str| -> Vec<String> {
        let tokens = crate::sql::tokens(text);
        tokens
            .iter()
            .map(|token| token.text(text).to_owned())
            .collect()
    };
    old.kind == node.kind.words() && words(&shown_definition(node)) == words(&old.definition)
}

/// Returns the definition as it is recorded: a secret's value is left out.
pub fn shown_definition(node: &Node) -> String {
    match &node.work {
        Work::Secret { backend } => crate::sql::shown_secret(&node.name, backend),
        _ => node.definition.clone(),
    }
}

fn difference(old: &RecordedEntity, node: &Node) -> String {
    let new = shown_definition(node);
    let diff = similar::TextDiff::from_lines(&old.definition, &new);
    let masked = [&old.definition, &new].map(|text| mask_definition(text));
    let lines = masked
        .each_ref()
        .map(|text| text.lines().collect::<Vec<_>>());
    let origin = node
        .origin
        .as_ref()
        .map_or_else(String::new, |path| format!(" in {}", path.display()));
    let mut text = format!("\n`{}`{origin}:\n", node.name);
    for change in diff.iter_all_changes() {
        let sign = match change.tag() {
            similar::ChangeTag::Delete => '-',
            similar::ChangeTag::Insert => '+',
            similar::ChangeTag::Equal => ' ',
        };
        let line = match (change.old_index(), change.new_index()) {
            (Some(index), _) => lines[0].get(index),
            (None, index) => index.and_then(|index| lines[1].get(index)),
        };
        let line = line.copied().unwrap_or_default();
        writeln!(text, "  {sign} {line}").expect("writing to a string cannot fail");
    }
    text
}

fn kind_of(words: &str) -> EntityKind {
    [
        EntityKind::Table,
        EntityKind::Source,
        EntityKind::Lookup,
        EntityKind::View,
        EntityKind::MaterializedView,
        EntityKind::Sink,
    ]
    .into_iter()
    .find(|kind| kind.words() == words)
    .unwrap_or(EntityKind::Secret)
}

/// Brings the state's tables in line with the plan, all in one transaction.
///
/// # Errors
/// DuckDB's own; then nothing has changed.
pub fn apply(session: &Session, plan: &Plan, steps: &Steps) -> anyhow::Result<()> {
    session.transaction(|session| {
        for (name, kind, action) in &steps.actions {
            if *action == Action::Drop {
                drop_entity(session, name, *kind)?;
            }
        }
        // Readers go before what they read, so that no view is left without its table.
        for (name, kind, action) in steps.actions.iter().rev() {
            if matches!(action, Action::Replace { .. }) {
                drop_entity(session, name, *kind)?;
            }
        }
        let made = |(name, _, action): &(String, EntityKind, Action)| {
            let made = matches!(action, Action::Create | Action::Replace { .. });
            made.then(|| plan.node(name).expect("the step was made from the plan"))
        };
        let nodes: Vec<&Arc<Node>> = steps.actions.iter().filter_map(made).collect();
        let mut actions = steps.actions.iter();
        let first = actions.all(|(_, _, action)| *action == Action::Create);
        create(session, &nodes, first)?;
        let ledger = Ledger::new(session);
        for (name, origin) in &steps.moved {
            ledger.move_entity(name, origin.as_deref())?;
        }
        Ok(())
    })
}

/// Makes the tables and records of entities, each after what it reads, inside the caller's transaction. The state
/// has nothing of these names; `first` says that it has no entities at all.
///
/// # Errors
/// DuckDB's own.
pub fn create(session: &Session, nodes: &[&Arc<Node>], first: bool) -> anyhow::Result<()> {
    let tables: String = nodes.iter().map(|node| tables_sql(node)).collect();
    session.execute_batch(&tables)?;
    record(session, nodes, first)
}

/// As [`create`], where the tables are there.
///
/// # Errors
/// DuckDB's own.
pub fn record(session: &Session, nodes: &[&Arc<Node>], first: bool) -> anyhow::Result<()> {
    let ledger = Ledger::new(session);
    let stored = nodes.iter().flat_map(|node| stored_of(node));
    let streams: Vec<&str> = stored.map(|stored| stored.name.as_str()).collect();
    ledger.add_streams(&streams)?;
    for node in nodes {
        if let Work::Sink(plan) = &node.work
            && !plan.snapshot
        {
            skip_snapshot(&ledger, node, plan)?;
        }
    }
    let recorded = nodes.iter().map(|node| RecordedEntity {
        name: node.name.clone(),
        kind: node.kind.words().to_owned(),
        definition: shown_definition(node),
        origin: shown_origin(node),
    });
    ledger.record_entities(&recorded.collect::<Vec<_>>(), first)
}

/// Returns the statements that make what an entity keeps, and what reads it.
pub fn tables_sql(node: &Node) -> String {
    let stored = stored_of(node).into_iter();
    let mut sql: String = stored.map(Stored::create_sql).collect();
    if let Work::View { query } = &node.work {
        let name = crate::sql::quote_ident(&node.name);
        // The query may end in a comment.
        sql.push_str(&format!("CREATE VIEW main.{name} AS {query}\n;\n"));
    }
    sql
}

/// Puts a sink without a snapshot behind everything that is there when it is created: whatever comes
/// later is its own, also after a crash before its first step.
fn skip_snapshot(ledger: &Ledger<'_>, node: &Node, plan: &SinkPlan) -> anyhow::Result<()> {
    let (consumer, feed) = match &plan.result {
        None => (&node.name, &plan.feed),
        // Its first evaluation is the snapshot, and sets the sink's position.
        Some(DerivedPlan {
            maintenance: Maintenance::Recompute { .. } | Maintenance::Incremental(_),
            ..
        }) => return Ok(()),
        Some(result) => {
            ledger.set_position(&node.name, &result.stored.name, 0)?;
            (&result.stored.name, &result.feed)
        }
    };
    // Windows that are closed by now are part of what was there.
    let inputs = feed.inputs.iter();
    let watermarks: Option<Vec<i64>> = inputs
        .map(|input| ledger.watermark(&input.stored.name))
        .collect::<anyhow::Result<_>>()?;
    if let (Some(watermark), true) = (
        watermarks.and_then(|watermarks| watermarks.into_iter().min()),
        consumer != &node.name,
    ) {
        ledger.set_watermark(consumer, watermark)?;
    }
    for input in &feed.inputs {
        let head = ledger.stream(&input.stored.name)?.head;
        ledger.set_position(consumer, &input.stored.name, head)?;
    }
    Ok(())
}

/// Removes the tables and records of one entity, inside the caller's transaction.
///
/// # Errors
/// DuckDB's own.
pub fn drop_entity(session: &Session, name: &str, kind: EntityKind) -> anyhow::Result<()> {
    let ledger = Ledger::new(session);
    let stored = |name: &str| Stored {
        name: name.to_owned(),
        columns: Vec::new(),
        layout: crate::engine::Layout::Append,
        visible: true,
    };
    session.execute_batch(&stored(name).drop_sql())?;
    if kind == EntityKind::Sink {
        let result = format!("{name} result");
        session.execute_batch(&stored(&result).drop_sql())?;
        ledger.forget_entity(&result)?;
    }
    ledger.forget_entity(name)
}

/// Returns the relations that an entity keeps in the state.
pub fn stored_of(node: &Node) -> Vec<&Stored> {
    match &node.work {
        Work::Source(plan) => vec![&plan.stored],
        _ => node
            .derived()
            .map(|plan| &plan.stored)
            .into_iter()
            .collect(),
    }
}
