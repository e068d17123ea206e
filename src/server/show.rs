//! `SHOW`, `SHOW CREATE`, `DESCRIBE`, `EXPLAIN`: what there is, how it does, and how it is kept up to date.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use super::pipeline::backend_of;
use super::protocol::{ColumnHead, Event};
use super::query::Ready;
use super::service::{Refusal, Script};
use crate::catalog::{Catalog, Entity};
use crate::diagnostic::Diagnostic;
use crate::engine::Session;
use crate::plan::{Plan, ad_hoc, explain_entity};
use crate::runtime::{Last, Status};
use crate::sql::{
    Definition, EntityKind, Ident, IncludeWhat, Relation, ShowWhat, SqlText, mask_definition,
    quote_ident, shown_secret,
};

const ERRORS_SQL: &str =
    "SELECT time, entity, stage, message, payload FROM omlsp_errors ORDER BY time, entity";

impl Script<'_> {
    /// `SHOW what`: a row per entity of a kind, or every error that is kept.
    pub fn show(&mut self, what: ShowWhat) -> Result<(), Refusal> {
        let kind = match what {
            ShowWhat::Tables => EntityKind::Table,
            ShowWhat::Sources => EntityKind::Source,
            ShowWhat::Views => EntityKind::View,
            ShowWhat::MaterializedViews => EntityKind::MaterializedView,
            ShowWhat::Sinks => EntityKind::Sink,
            ShowWhat::Lookups => EntityKind::Lookup,
            ShowWhat::Secrets => return self.show_secrets(),
            ShowWhat::Errors => return self.show_errors(),
        };
        let session = self.service.session()?;
        let errors = self.last_errors(&session)?;
        let behind = self.service.lag();
        let columns = columns_of(kind);
        let mut rows = Vec::new();
        for entity in self
            .pipeline
            .catalog
            .entities()
            .filter(|entity| entity.kind() == kind)
        {
            let state = EntityState {
                entity,
                status: self.service.shared.board.get(&entity.name().name),
                runs: self.service.runtime.is_some(),
                kept_error: errors.get(&entity.name().key()),
            };
            let cells = columns.iter().map(|(column, _)| match *column {
                "rows" => row_count(&session, entity),
                "behind" => behind
                    .get(&entity.name().key())
                    .map_or(Value::Null, |rows| json!(rows)),
                column => state.cell(column),
            });
            rows.push(cells.collect());
        }
        self.table(&columns, rows)
    }

    /// Names and backends only: a value never leaves.
    fn show_secrets(&mut self) -> Result<(), Refusal> {
        let secrets = self.pipeline.catalog.entities();
        let rows = secrets
            .filter_map(|entity| Some(vec![json!(entity.name().name), json!(backend_of(entity)?)]))
            .collect();
        self.table(&[("name", "VARCHAR"), ("backend", "VARCHAR")], rows)
    }

    fn show_errors(&mut self) -> Result<(), Refusal> {
        let session = self.service.session()?;
        let (control, timeout) = (self.control, self.settings.statement_timeout());
        let span = crate::diagnostic::Span {
            file: self.pipeline.script,
            start: 0,
            end: 0,
        };
        let query = SqlText::new(ERRORS_SQL.to_owned(), span);
        let ready = Ready {
            sql: ERRORS_SQL.to_owned(),
            offset: None,
        };
        control.statement(Some(session.interrupt_handle()), timeout, |_| {
            self.stream(&session, &query, &ready)
        })
    }

    /// Returns time and message of each entity's last error in the state, for what does not run.
    fn last_errors(&self, session: &Session) -> anyhow::Result<HashMap<String, (String, String)>> {
        if self.service.runtime.is_some() {
            return Ok(HashMap::new());
        }
        let rows = session.texts(
            "SELECT lower(entity), strftime(max(time), '%Y-%m-%dT%H:%M:%S.%gZ'), arg_max(message, time) \
             FROM omlsp.error GROUP BY ALL",
            &[],
        )?;
        Ok(rows
            .into_iter()
            .filter_map(|row| match row.as_slice() {
                [Some(name), Some(time), Some(message)] => {
                    Some((name.clone(), (time.clone(), message.clone())))
                }
                _ => None,
            })
            .collect())
    }

    /// `SHOW CREATE name`: the statement as written, a secret's value and credentials left out.
    pub fn show_create(&mut self, kind: Option<EntityKind>, name: &Ident) -> Result<(), Refusal> {
        let pipeline = Arc::clone(&self.pipeline);
        let entity = find(&pipeline.catalog, name, kind)?;
        let text = match backend_of(entity) {
            Some(backend) => shown_secret(&entity.name().name, backend),
            None => mask_definition(&entity.text),
        };
        let row = vec![json!(entity.name().name), json!(text)];
        self.table(&[("name", "VARCHAR"), ("definition", "VARCHAR")], vec![row])
    }

    /// `DESCRIBE name`: its columns.
    pub fn describe(&mut self, name: &Ident) -> Result<(), Refusal> {
        let columns = [
            ("column", "VARCHAR"),
            ("type", "VARCHAR"),
            ("note", "VARCHAR"),
        ];
        let pipeline = Arc::clone(&self.pipeline);
        if name.key() == crate::catalog::ERRORS {
            let rows = self.described(&name.name)?;
            return self.table(&columns, rows);
        }
        let entity = find(&pipeline.catalog, name, None)?;
        let rows = match &entity.create.definition {
            Definition::Table(relation)
            | Definition::Source(relation)
            | Definition::Lookup(relation) => described_relation(relation),
            Definition::View { .. } | Definition::MaterializedView { .. } => {
                self.described(&entity.name().name)?
            }
            Definition::Sink { .. } | Definition::Secret { .. } => {
                let message = format!(
                    "`{}` is a {}, it has no columns",
                    name.name,
                    entity.kind().words()
                );
                return Err(Diagnostic::new(name.span, message).into());
            }
        };
        self.table(&columns, rows)
    }

    fn described(&self, name: &str) -> Result<Vec<Vec<Value>>, Refusal> {
        let session = self.service.session()?;
        let query = format!("SELECT * FROM main.{}", quote_ident(name));
        let columns = session.describe(&query).map_err(anyhow::Error::from)?;
        let row = |(name, sql_type)| vec![json!(name), json!(sql_type), Value::Null];
        Ok(columns.into_iter().map(row).collect())
    }

    /// `EXPLAIN query`: the DAG under it from the query down, and how each entity works.
    pub fn explain(&mut self, query: &SqlText) -> Result<(), Refusal> {
        let session = self.service.session()?;
        let (_, parsed) = self.parsed(&session, query)?;
        let bound = ad_hoc(&self.pipeline.checkable(), &self.service.environment, query)?;
        let (_, bound) = bound.map_err(Refusal::Faults)?;
        let mut how = String::from("evaluated once, over what there is");
        for step in &bound.feed.lookups {
            how.push_str(&format!(
                "; asks `{}` once per distinct params",
                step.lookup.name
            ));
        }
        how.push_str("; as a view: ");
        how.push_str(&bound.maintenance.words());
        let plan = self.service.plan(&self.pipeline)?;
        let mut reads: Vec<String> = Vec::new();
        for read in &parsed.reads {
            let name = plan.node(&read.name).map_or(&read.name, |node| &node.name);
            if !reads.contains(name) {
                reads.push(name.clone());
            }
        }
        let mut rows = vec![vec![json!("query"), json!(reads.join(", ")), json!(how)]];
        rows.extend(explained_under(&plan, &reads));
        self.table(
            &[
                ("entity", "VARCHAR"),
                ("reads", "VARCHAR"),
                ("how", "VARCHAR"),
            ],
            rows,
        )
    }

    /// Emits a small result.
    fn table(&mut self, columns: &[(&str, &str)], rows: Vec<Vec<Value>>) -> Result<(), Refusal> {
        let head = |(name, sql_type): &(&str, &str)| ColumnHead {
            name: (*name).to_owned(),
            sql_type: (*sql_type).to_owned(),
        };
        (self.emit)(Event::Columns(columns.iter().map(head).collect()))?;
        if !rows.is_empty() {
            let rows: Vec<Value> = rows.into_iter().map(Value::Array).collect();
            let text = self.service.shared.mask(&Value::Array(rows).to_string());
            (self.emit)(Event::Rows(text))?;
        }
        Ok(())
    }
}

/// Returns an entity by its name, and by its kind if one is given.
pub fn find<'a>(
    catalog: &'a Catalog,
    name: &Ident,
    kind: Option<EntityKind>,
) -> Result<&'a Entity, Box<Diagnostic>> {
    let Some(entity) = catalog.get(&name.name) else {
        let fault = Diagnostic::new(name.span, format!("`{}` does not exist", name.name));
        let names = catalog.entities().map(|entity| entity.name().name.as_str());
        return Err(Box::new(fault.suggest(&name.name, names)));
    };
    // `TABLE` also names a lookup, which CREATE TEMP TABLE makes.
    let same = |kind| {
        kind == entity.kind() || (kind == EntityKind::Table && entity.kind() == EntityKind::Lookup)
    };
    match kind.filter(|kind| !same(*kind)) {
        None => Ok(entity),
        Some(kind) => {
            let (is, asked) = (entity.kind().words(), kind.words());
            let message = format!("`{}` is a {is}, not a {asked}", name.name);
            let fault =
                Diagnostic::new(name.span, message).also(entity.name().span, "defined here");
            Err(Box::new(fault))
        }
    }
}

fn columns_of(kind: EntityKind) -> Vec<(&'static str, &'static str)> {
    let mut columns = vec![("name", "VARCHAR"), ("state", "VARCHAR")];
    let kept = [
        EntityKind::Table,
        EntityKind::Source,
        EntityKind::MaterializedView,
    ];
    if kept.contains(&kind) {
        columns.push(("rows", "BIGINT"));
    }
    if kind == EntityKind::Lookup {
        columns.push(("requests", "BIGINT"));
    } else {
        columns.extend([("rows_in", "BIGINT"), ("rows_out", "BIGINT")]);
    }
    if [EntityKind::Table, EntityKind::Source].contains(&kind) {
        columns.extend([("rejected", "BIGINT"), ("gaps", "BIGINT")]);
    }
    if [EntityKind::MaterializedView, EntityKind::Sink].contains(&kind) {
        columns.push(("behind", "BIGINT"));
    }
    columns.extend([
        ("errors", "BIGINT"),
        ("last_success", "TIMESTAMP"),
        ("last_error_at", "TIMESTAMP"),
        ("last_error", "VARCHAR"),
        ("origin", "VARCHAR"),
    ]);
    columns
}

/// What is known of one entity's work.
struct EntityState<'a> {
    entity: &'a Entity,
    status: Option<Arc<Status>>,
    runs: bool,
    kept_error: Option<&'a (String, String)>,
}

impl EntityState<'_> {
    fn cell(&self, column: &str) -> Value {
        let last = self.status.as_ref().map(|status| status.last());
        let number = |of: fn(&Status) -> &AtomicU64| match &self.status {
            Some(status) => json!(of(status).load(Ordering::Relaxed)),
            None => Value::Null,
        };
        match column {
            "name" => json!(self.entity.name().name),
            "state" => json!(self.state(last.as_ref())),
            "rows_in" => number(|status| &status.rows_in),
            "rows_out" => number(|status| &status.rows_out),
            "rejected" => number(|status| &status.rejected),
            "gaps" => number(|status| &status.gaps),
            "requests" => number(|status| &status.requests),
            "errors" => number(|status| &status.errors),
            "last_success" => last
                .and_then(|last| last.success)
                .map_or(Value::Null, instant),
            "last_error_at" => match (last.and_then(|last| last.error), self.kept_error) {
                (Some((time, _)), _) => instant(time),
                (None, Some((time, _))) => json!(time),
                (None, None) => Value::Null,
            },
            "last_error" => match (last.and_then(|last| last.error), self.kept_error) {
                (Some((_, text)), _) => json!(text),
                (None, Some((_, text))) => json!(text),
                (None, None) => Value::Null,
            },
            "origin" => match &self.entity.origin {
                Some(path) => json!(path.display().to_string()),
                None => json!("statement"),
            },
            _ => Value::Null,
        }
    }

    fn state(&self, last: Option<&Last>) -> &'static str {
        match (self.runs, self.entity.kind(), last) {
            (false, ..) => "stopped",
            // It has no work of its own; its errors are those of single requests.
            (true, EntityKind::Lookup, _) => "ready",
            (true, _, Some(last)) => last.state.word(),
            // A plain view is part of its readers.
            (true, EntityKind::View, None) => "ready",
            (true, _, None) => "idle",
        }
    }
}

fn instant(time: DateTime<Utc>) -> Value {
    json!(time.to_rfc3339_opts(SecondsFormat::Millis, true))
}

/// Returns how many rows a relation has; NULL if it was dropped just now.
fn row_count(session: &Session, entity: &Entity) -> Value {
    let sql = format!(
        "SELECT count(*) FROM main.{}",
        quote_ident(&entity.name().name)
    );
    session
        .number(&sql, &[])
        .map_or(Value::Null, |count| json!(count))
}

fn described_relation(relation: &Relation) -> Vec<Vec<Value>> {
    let key = relation
        .primary_key
        .as_ref()
        .map_or(&[][..], |key| &key.columns);
    let params = relation.params.iter().map(|param| {
        vec![
            json!(param.name.name),
            json!(param.sql_type.text),
            json!("parameter"),
        ]
    });
    let columns = relation.columns.iter().map(|column| {
        let mut notes = Vec::new();
        if key.iter().any(|name| name.key() == column.name.key()) {
            notes.push("primary key".to_owned());
        }
        if let Some(expression) = &column.generated {
            notes.push(format!("AS ({})", expression.text));
        }
        if column.not_null {
            notes.push("not null".to_owned());
        }
        let note = if notes.is_empty() {
            Value::Null
        } else {
            json!(notes.join(", "))
        };
        vec![json!(column.name.name), json!(column.sql_type.text), note]
    });
    let included = relation.includes.iter().map(|include| {
        let is_key = key.iter().any(|name| name.key() == include.name.key());
        let note = match &include.what {
            IncludeWhat::Key => "the key of the message".to_owned(),
            IncludeWhat::Partition => "the partition of the message".to_owned(),
            IncludeWhat::Offset => "the offset of the message".to_owned(),
            IncludeWhat::Timestamp => "the timestamp of the message".to_owned(),
            IncludeWhat::Header(header) => format!("the header `{header}` of the message"),
        };
        let note = format!("{}{note}", if is_key { "primary key, " } else { "" });
        vec![
            json!(include.name.name),
            json!(include.sql_type.text),
            json!(note),
        ]
    });
    params.chain(columns).chain(included).collect()
}

/// Returns a row per entity under `reads`, each before those it reads.
fn explained_under(plan: &Plan, reads: &[String]) -> Vec<Vec<Value>> {
    let mut open: Vec<&str> = reads.iter().map(String::as_str).collect();
    let mut under = HashSet::new();
    while let Some(name) = open.pop() {
        if under.insert(name.to_lowercase()) {
            let reads = plan.node(name).map_or(&[][..], |node| &node.reads);
            open.extend(reads.iter().map(String::as_str));
        }
    }
    let nodes = plan
        .nodes
        .iter()
        .rev()
        .filter(|node| under.contains(&node.name.to_lowercase()));
    nodes
        .map(|node| {
            let reads = if node.reads.is_empty() {
                Value::Null
            } else {
                json!(node.reads.join(", "))
            };
            vec![json!(node.name), reads, json!(explain_entity(node))]
        })
        .collect()
}
