//! A pipeline in one database, driven batch by batch through the product's engine, beside the same rows as
//! plain tables over which DuckDB evaluates the queries.

use std::collections::BTreeMap;

use omlsp::catalog::Catalog;
use omlsp::diagnostic::SourceMap;
use omlsp::engine::{
    Change, Database, Layout, Ledger, Param, Session, Stamp, Stored, apply_changes, replace_all,
    upsert,
};
use omlsp::options::Environment;
use omlsp::plan::{DerivedPlan, Maintenance, Plan, Work, check};
use omlsp::runtime::maintain::{Maintainer, Range, head_of};
use omlsp::runtime::state;

/// What an input keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Table,
    Keyed,
    Source,
}

/// An input.
#[derive(Clone, Debug)]
pub struct Relation {
    pub name: String,
    pub kind: Kind,
}

/// Name and type of the columns of every input; `id` is the key where there is one.
pub const COLUMNS: &[(&str, &str)] = &[
    ("id", "BIGINT"),
    ("k", "INTEGER"),
    ("j", "SMALLINT"),
    ("v", "BIGINT"),
    ("d", "DECIMAL(10,2)"),
    ("f", "DOUBLE"),
    ("s", "VARCHAR"),
    ("b", "BOOLEAN"),
    ("t", "TIMESTAMP"),
];

/// A batch has so many rows at most.
pub const ROWS_MAX: usize = 12;

impl Relation {
    pub fn some(random: &mut fastrand::Rng) -> Vec<Self> {
        (0..random.usize(2..4))
            .map(|index| Self {
                name: format!("t{index}"),
                kind: match random.u8(..10) {
                    0..4 => Kind::Table,
                    4..8 => Kind::Keyed,
                    _ => Kind::Source,
                },
            })
            .collect()
    }

    /// Returns names and types of the columns, `n` before those of [`COLUMNS`].
    pub fn columns() -> impl Iterator<Item = &'static (&'static str, &'static str)> {
        std::iter::once(&("n", "BIGINT")).chain(COLUMNS)
    }

    fn create(&self) -> String {
        let columns: Vec<String> = (COLUMNS.iter())
            .map(|(name, sql_type)| match *name {
                "id" => format!("id {sql_type}"),
                _ => format!("{name} {sql_type} AS (NULL)"),
            })
            .collect();
        let columns = columns
            .join(", ")
            .replacen("id BIGINT", "n BIGINT, id BIGINT AS (n)", 1);
        let (kind, key) = match self.kind {
            Kind::Table => ("TABLE", ""),
            Kind::Keyed => ("TABLE", ", PRIMARY KEY (id)"),
            Kind::Source => ("SOURCE", ""),
        };
        format!(
            "CREATE {kind} {} ({columns}{key}) WITH (connector = 'generate', rows = '1');\n",
            self.name
        )
    }
}

/// A view of a case.
#[derive(Clone, Debug)]
pub struct View {
    pub name: String,
    pub query: String,
    pub materialized: bool,
}

impl View {
    pub fn create(&self) -> String {
        let kind = if self.materialized {
            "MATERIALIZED VIEW"
        } else {
            "VIEW"
        };
        format!("CREATE {kind} {} AS {};\n", self.name, self.query)
    }
}

pub struct Pipeline {
    text: String,
    relations: Vec<Relation>,
    views: Vec<View>,
    plan: Plan,
    /// Dropped, and opened again from the file, by a crash.
    open: Option<(Database, Session)>,
    folder: Option<tempfile::TempDir>,
}

impl Pipeline {
    pub fn open(relations: Vec<Relation>, views: Vec<View>, on_disk: bool) -> anyhow::Result<Self> {
        let mut text = String::new();
        for relation in &relations {
            text.push_str(&relation.create());
        }
        for view in &views {
            text.push_str(&view.create());
        }
        let mut sources = SourceMap::default();
        omlsp::sql::add_source(
            &mut sources,
            std::path::PathBuf::from("case.sql"),
            text.clone(),
        );
        let (catalog, faults) = Catalog::of_files(&sources);
        let checked = check(&catalog, &Environment::of_process(), faults)?;
        let faults: Vec<String> = (checked.faults.iter())
            .map(|fault| sources.render_one(fault, &annotate_snippets::Renderer::plain()))
            .collect();
        let plan = checked
            .plan
            .ok_or_else(|| anyhow::anyhow!("{text}\n{}", faults.join("\n")))?;
        let folder = if on_disk {
            Some(tempfile::tempdir()?)
        } else {
            None
        };
        let mut pipeline = Self {
            text,
            relations,
            views,
            plan,
            open: None,
            folder,
        };
        pipeline.open = Some(pipeline.opened()?);
        let session = pipeline.session();
        Ledger::new(session).prepare()?;
        let steps = state::compare(&Ledger::new(session).entities()?, &pipeline.plan, false)?;
        state::apply(session, &pipeline.plan, &steps)?;
        session.execute_batch("CREATE SCHEMA plain")?;
        for relation in &pipeline.relations {
            let columns: Vec<String> = Relation::columns()
                .map(|(name, sql_type)| format!("{name} {sql_type}"))
                .collect();
            session.execute_batch(&format!(
                "CREATE TABLE plain.{} ({})",
                relation.name,
                columns.join(", ")
            ))?;
        }
        Ok(pipeline)
    }

    fn opened(&self) -> anyhow::Result<(Database, Session)> {
        let path = self
            .folder
            .as_ref()
            .map(|folder| folder.path().join("state.duckdb"));
        let database = Database::open(path.as_deref())?;
        let session = database.session()?;
        Ok((database, session))
    }

    pub fn session(&self) -> &Session {
        &self.open.as_ref().expect("it is open between calls").1
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    fn stored(&self, name: &str) -> Stored {
        let node = self.plan.node(name).expect("the relation is in the plan");
        match &node.work {
            Work::Source(plan) => plan.stored.clone(),
            _ => node.derived().expect("it is kept").stored.clone(),
        }
    }

    /// Delivers one batch to one input.
    pub fn deliver(&self, random: &mut fastrand::Rng) {
        let relation = &self.relations[random.usize(..self.relations.len())];
        let rows: Vec<String> = (0..random.usize(1..=ROWS_MAX))
            .map(|_| row_sql(row(random)))
            .collect();
        self.deliver_rows(relation, &rows);
    }

    /// Delivers one batch of rows as SQL to one input.
    pub fn deliver_rows(&self, relation: &Relation, rows: &[String]) {
        let stored = self.stored(&relation.name);
        let session = self.session();
        let work = |session: &Session| -> anyhow::Result<()> {
            let ledger = Ledger::new(session);
            let seq = ledger.stream(&relation.name)?.head + 1;
            let list = stored.column_list();
            session.execute_batch(&format!(
                "CREATE OR REPLACE TEMP TABLE next AS FROM (VALUES {}) AS _rows({list})",
                rows.join(", ")
            ))?;
            let types: Vec<String> = (stored.columns.iter())
                .map(|(name, sql_type)| format!("{name}::{sql_type} AS {name}"))
                .collect();
            let rows = format!("SELECT {} FROM temp.next", types.join(", "));
            session.execute_batch(&format!("CREATE OR REPLACE TEMP TABLE next AS {rows}"))?;
            let trigger_us = i64::try_from(seq)?;
            if relation.kind == Kind::Keyed {
                session.execute_batch(&format!(
                    "DELETE FROM plain.{0} WHERE id IN (SELECT id FROM temp.next) \
                     OR (id IS NULL AND EXISTS (FROM temp.next WHERE id IS NULL));\n\
                     INSERT INTO plain.{0} SELECT * FROM temp.next \
                     WHERE rowid IN (SELECT max(rowid) FROM temp.next GROUP BY id)",
                    relation.name
                ))?;
                upsert(
                    session,
                    &stored,
                    &["id".to_owned()],
                    Stamp { seq, trigger_us },
                )?;
            } else {
                session.execute_batch(&format!(
                    "INSERT INTO plain.{} SELECT * FROM temp.next",
                    relation.name
                ))?;
                let seq = i64::try_from(seq)?;
                session.execute(
                    &stored.append_sql("SELECT * FROM temp.next", 1, 2),
                    &[&seq, &trigger_us],
                )?;
            }
            ledger.advance(&relation.name, seq, None)
        };
        session.transaction(work).expect("the rows fit");
    }

    /// Takes everything, and loses it before the commit: in a file, with the whole process.
    pub fn crash_in_a_batch(&mut self) {
        self.session()
            .execute_batch("BEGIN")
            .expect("no transaction is open");
        for view in &self.views {
            if let Err(error) = self.follow_one(view) {
                panic!("{error:#}\n{}", self.text);
            }
        }
        if self.folder.is_some() {
            self.open = None;
            self.open = Some(self.opened().expect("the state opens again"));
        } else {
            self.session()
                .execute_batch("ROLLBACK")
                .expect("the transaction is open");
        }
    }

    /// Lets every view take what is new, in a transaction of its own.
    pub fn follow(&self) -> anyhow::Result<()> {
        for view in &self.views {
            self.session()
                .transaction(|_| self.follow_one(view))
                .map_err(|error| error.context(format!("{}\n{}", view.name, self.text)))?;
        }
        self.trim()
    }

    /// Says how a view is maintained.
    pub fn words(&self, view: &str) -> String {
        let view = self.views.iter().find(|other| other.name == view);
        match view
            .and_then(|view| self.derived(view))
            .map(|plan| &plan.maintenance)
        {
            Some(Maintenance::Incremental(program)) => program.words(),
            other => format!("{other:?}"),
        }
    }

    fn derived(&self, view: &View) -> Option<&DerivedPlan> {
        self.plan.node(&view.name)?.derived()
    }

    fn follow_one(&self, view: &View) -> anyhow::Result<()> {
        let Some(plan) = self.derived(view) else {
            return Ok(());
        };
        let (session, ledger) = (self.session(), Ledger::new(self.session()));
        let inputs: Vec<Stored> = (plan.feed.inputs.iter())
            .map(|input| input.stored.clone())
            .collect();
        let mut ranges = Vec::new();
        for input in &inputs {
            ranges.push(Range {
                from: ledger.position(&view.name, &input.name)?,
                to: head_of(session, input)?,
            });
        }
        let first = ranges.iter().all(|range| range.from.is_none());
        let seq = ledger.stream(&view.name)?.head + 1;
        let stamp = Stamp { seq, trigger_us: 0 };
        let change = match &plan.maintenance {
            Maintenance::Incremental(program) => {
                let maintainer = Maintainer {
                    program,
                    stored: &plan.stored,
                    inputs: &inputs,
                };
                if first {
                    maintainer.create(session)?;
                }
                maintainer.apply(session, &ranges, stamp)?
            }
            Maintenance::Linear if !first => {
                return linear_batches((session, &ledger), plan, &ranges);
            }
            // These, and what the first rows are, have tests of their own; here they are inputs of others.
            _ if plan.stored.layout == Layout::Changing => {
                let all = plan.feed.all_sql();
                session.execute_batch(&format!("CREATE OR REPLACE TEMP TABLE next AS {all}"))?;
                replace_all(session, &plan.stored, stamp)?
            }
            _ => linear(session, plan, &ranges, stamp)?,
        };
        if !change.is_empty() {
            ledger.advance(&view.name, seq, None)?;
        }
        for (input, range) in inputs.iter().zip(&ranges) {
            ledger.set_position(&view.name, &input.name, range.to)?;
        }
        Ok(())
    }

    /// Deletes what every reader has taken of the inputs that keep no rows.
    fn trim(&self) -> anyhow::Result<()> {
        for relation in self
            .relations
            .iter()
            .filter(|relation| relation.kind == Kind::Source)
        {
            let stored = self.stored(&relation.name);
            let rereads = self
                .views
                .iter()
                .filter_map(|view| self.derived(view))
                .any(|plan| {
                    let place = plan
                        .feed
                        .inputs
                        .iter()
                        .position(|input| input.stored.name == relation.name);
                    place.is_some_and(|place| plan.maintenance.rereads(place))
                });
            if !rereads {
                let head = i64::try_from(head_of(self.session(), &stored)?)?;
                self.session().execute(&stored.trim_sql(), &[&head])?;
            }
        }
        Ok(())
    }

    /// Compares every kept view with what its query gives over plain tables; returns how many there are.
    pub fn compare(&self) -> Result<usize, String> {
        let mut ctes: Vec<String> = (self.relations.iter())
            .map(|relation| format!("{0} AS (FROM plain.{0})", relation.name))
            .collect();
        let mut compared = 0;
        for view in &self.views {
            self.session()
                .execute_batch(&format!(
                    "CREATE OR REPLACE TABLE plain.{} AS WITH {} FROM ({})",
                    view.name,
                    ctes.join(", "),
                    view.query
                ))
                .map_err(|error| format!("{}: {error:#}", view.name))?;
            ctes.push(format!("{0} AS (FROM plain.{0})", view.name));
            if let Some(plan) = self.derived(view) {
                self.compare_one(view, plan)?;
                compared += 1;
            }
        }
        Ok(compared)
    }

    fn compare_one(&self, view: &View, plan: &DerivedPlan) -> Result<(), String> {
        let columns: Vec<String> = (plan.stored.columns.iter())
            .map(|(name, sql_type)| rounded(name, sql_type))
            .collect();
        let columns = columns.join(", ");
        let expected = format!("SELECT {columns} FROM plain.{}", view.name);
        let actual = format!("SELECT {columns} FROM {}", plan.stored.data());
        // Most are equal, which two sums tell sooner than two differences of bags.
        let sum = |rows: &str| {
            format!("(SELECT (count(*), sum(hash(_all)::HUGEINT)) FROM ({rows}) AS _all)")
        };
        let same = format!("SELECT ({} = {})::BIGINT", sum(&expected), sum(&actual));
        if self
            .session()
            .number(&same, &[])
            .map_err(|error| format!("{error:#}"))?
            == Some(1)
        {
            return Ok(());
        }
        for (what, sql) in [
            ("missing", format!("({expected}) EXCEPT ALL ({actual})")),
            ("too many", format!("({actual}) EXCEPT ALL ({expected})")),
        ] {
            let rows = self.texts(&sql)?;
            if !rows.is_empty() {
                let way = plan.maintenance.words();
                return Err(format!("{} ({way}), {what}: {rows:#?}", view.name));
            }
        }
        Ok(())
    }

    fn texts(&self, sql: &str) -> Result<Vec<String>, String> {
        let sql = format!(
            "SELECT count(*) || ' times ' || to_json(_all)::VARCHAR FROM ({sql}) AS _all GROUP BY _all LIMIT 5"
        );
        let rows = self
            .session()
            .texts(&sql, &[])
            .map_err(|error| format!("{error:#}: {sql}"))?;
        Ok(rows
            .into_iter()
            .filter_map(|mut row| row.pop().flatten())
            .collect())
    }

    /// Counts the views by the way in which they are maintained.
    pub fn ways(&self) -> BTreeMap<String, usize> {
        let mut ways = BTreeMap::new();
        for plan in self.views.iter().filter_map(|view| self.derived(view)) {
            let way = match &plan.maintenance {
                Maintenance::Linear => "linear".to_owned(),
                Maintenance::Incremental(_) => "incremental".to_owned(),
                Maintenance::WindowClose(_) | Maintenance::IntervalJoin(_) => "by time".to_owned(),
                Maintenance::Recompute { reason } => {
                    *ways
                        .entry(format!("recomputed: {reason}"))
                        .or_insert(0_usize) += 1;
                    "recomputed".to_owned()
                }
            };
            *ways.entry(way).or_default() += 1;
        }
        ways
    }
}

/// Lets a linear view take the new batches of its inputs, one at a time as the product does.
fn linear_batches(
    (session, ledger): (&Session, &Ledger<'_>),
    plan: &DerivedPlan,
    ranges: &[Range],
) -> anyhow::Result<()> {
    let name = &plan.stored.name;
    let begun: Vec<u64> = ranges.iter().map(|range| range.from.unwrap_or(0)).collect();
    for (place, (input, range)) in plan.feed.inputs.iter().zip(ranges).enumerate() {
        for to in begun[place] + 1..=range.to {
            let none = |from: u64| Range {
                from: Some(from),
                to: from,
            };
            let mut one: Vec<Range> = begun.iter().map(|from| none(*from)).collect();
            one[place] = Range {
                from: Some(to - 1),
                to,
            };
            let seq = ledger.stream(name)?.head + 1;
            let stamp = Stamp { seq, trigger_us: 0 };
            if !linear(session, plan, &one, stamp)?.is_empty() {
                ledger.advance(name, seq, None)?;
            }
        }
        ledger.set_position(name, &input.stored.name, range.to)?;
    }
    Ok(())
}

/// Lets a linear view take some batches of its inputs.
fn linear(
    session: &Session,
    plan: &DerivedPlan,
    ranges: &[Range],
    stamp: Stamp,
) -> anyhow::Result<Change> {
    let mut params = Vec::new();
    for range in ranges {
        params.push(i64::try_from(range.from.unwrap_or(0))?);
        params.push(i64::try_from(range.to)?);
    }
    let params: Vec<&dyn Param> = params.iter().map(|param| param as &dyn Param).collect();
    let changed = |sign: i8| {
        plan.feed.with_inputs(&plan.feed.query, &|stored| {
            let mut inputs = plan.feed.inputs.iter();
            let place = inputs.position(|input| input.stored.name == stored.name);
            let first = 1 + 2 * place.expect("it is an input");
            if sign > 0 {
                stored.inserted_sql(first)
            } else {
                stored.deleted_sql(first)
            }
        })
    };
    let columns = plan.stored.column_list();
    for (table, rows) in [("excess", changed(-1)), ("come", changed(1))] {
        session.execute(
            &format!("CREATE OR REPLACE TEMP TABLE {table} AS SELECT {columns} FROM ({rows})"),
            &params,
        )?;
    }
    if plan.stored.layout == Layout::Changing {
        return apply_changes(session, &plan.stored, stamp);
    }
    let seq = i64::try_from(stamp.seq)?;
    let append = plan.stored.append_sql("FROM temp.come", 1, 2);
    let inserted = session.execute(&append, &[&seq, &stamp.trigger_us])?;
    Ok(Change {
        deleted: 0,
        inserted,
    })
}

/// Returns a column as it is compared. Sums of floating point numbers depend on their order: six digits after
/// the point are compared, or nine in all.
pub fn rounded(name: &str, sql_type: &str) -> String {
    if sql_type != "DOUBLE" {
        return format!("\"{name}\"");
    }
    format!(
        "round(\"{name}\", least(6, 9 - ceil(log10(greatest(abs(\"{name}\"), 1e-300))))::INTEGER) AS \"{name}\""
    )
}

/// Returns the values of one row as texts: few different ones, NULLs among them; `n` makes it different from
/// others.
pub fn row(random: &mut fastrand::Rng) -> Vec<Option<String>> {
    let values: Vec<(u8, String)> = vec![
        (0, random.u64(..1 << 40).to_string()),
        (1, random.i64(0..24).to_string()),
        (3, random.i64(-1..5).to_string()),
        (2, random.i64(0..3).to_string()),
        (3, random.i64(-6..7).to_string()),
        (
            3,
            format!("{}.{:02}", random.i64(-20..20), random.u8(..100)),
        ),
        (3, format!("{:?}", f64::from(random.i32(-40..40)) / 4.0)),
        (
            2,
            ["", "a", "b", "B", "it's", "\u{fc}"][random.usize(..6)].to_owned(),
        ),
        (3, random.bool().to_string()),
        (2, format!("2026-01-01 00:00:{:02}", random.u8(..60))),
    ];
    (values.into_iter())
        .map(|(nulls, text)| (random.u8(..16) >= nulls).then_some(text))
        .collect()
}

/// Returns a row as SQL, each value a text.
pub fn row_sql(row: Vec<Option<String>>) -> String {
    let values: Vec<String> = (row.into_iter())
        .map(|value| match value {
            Some(text) => format!("'{}'", text.replace('\'', "''")),
            None => "NULL".to_owned(),
        })
        .collect();
    format!("({})", values.join(", "))
}
