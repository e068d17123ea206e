//! `EMIT ON WINDOW CLOSE`: by which columns of a query its windows are known, and when they close.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::build::Builder;
use super::known::{Known, ViewInfo};
use super::maintain::list;
use super::marks::{self, Mark, Reach, WATERMARK, names_of};
use super::node::{Closing, Horizon};
use super::times::{Analysis, Lineage, Named, Select, covers, lineage};
use crate::diagnostic::{Diagnostic, Span};
use crate::engine::Layout;
use crate::sql::Ident;

/// The column that tells a row's window where the query gives none, unless the query has one of this name.
const CLOSING: &str = "_closing";

const HELP_WATERMARK: &str =
    "add `WATERMARK FOR ts AS ts - INTERVAL '5' SECOND` to the column list of the source";

const HELP_WINDOW: &str =
    "read `TUMBLE(t, ts, INTERVAL '1' MINUTE)` and group by its `window_start` and `window_end`";

/// A column by which windows are known.
struct ClosingColumn {
    name: String,
    mark: Mark,
}

impl Builder<'_> {
    /// Follows the columns of a query, whose own entity need not be bound.
    pub(super) fn lineage(&self, tree: &Value) -> Lineage {
        lineage(tree, &|name| self.named(name))
    }

    /// Returns what the columns of a relation say of event time.
    pub(super) fn named(&self, name: &str) -> Option<Named> {
        Some(match &*self.found.get(name)? {
            Known::Kept(stored) => {
                let times = self.found.times(name);
                let floors = |column: &String| {
                    let mut times = times.as_deref().into_iter().flatten();
                    let (_, floors) = times.find(|(name, _)| name.eq_ignore_ascii_case(column))?;
                    Some(floors.clone())
                };
                let columns = stored.columns.iter();
                Named::Stream(
                    columns
                        .map(|(name, _)| (name.clone(), floors(name)))
                        .collect(),
                )
            }
            Known::View(view) => Named::View(view.lineage.clone()),
            Known::Lookup(lookup) => Named::Other(
                lookup
                    .visible
                    .iter()
                    .map(|(name, _)| name.clone())
                    .collect(),
            ),
        })
    }

    /// Notes which columns of a kept relation follow event time, for its readers.
    pub(super) fn keep_times(&mut self, name: &Ident, lineage: &Lineage) {
        let scans: BTreeSet<usize> = (0..lineage.scans.len()).collect();
        let times: Vec<(String, Vec<Value>)> = (lineage.columns.iter())
            .filter_map(|(column, mark)| {
                let mark = mark.as_ref().filter(|mark| covers(mark, &scans))?;
                Some((column.clone(), mark.floors.clone()))
            })
            .collect();
        if !times.is_empty() && lineage.reason.is_none() {
            self.found.add_times(&name.name, times);
        }
    }

    /// Finds how the windows of a query close. Its feed's query may get a column more, at its end.
    pub(super) fn closing(
        &mut self,
        name: &Ident,
        info: &mut ViewInfo,
        emit: Span,
    ) -> Option<Closing> {
        match self.find_closing(name, info, emit) {
            Ok(closing) => Some(closing),
            Err(fault) => {
                self.faults.push(*fault);
                None
            }
        }
    }

    fn find_closing(
        &self,
        name: &Ident,
        info: &mut ViewInfo,
        emit: Span,
    ) -> Result<Closing, Box<Diagnostic>> {
        let fault = |message: &str| Diagnostic::new(emit, message);
        let tree = self
            .queries
            .get(&name.key())
            .and_then(|(_, query)| query.tree.as_ref());
        let Some(tree) = tree else {
            return Err(Box::new(fault("windows close in a plain SELECT only")));
        };
        self.check_inputs(info, emit)?;
        let lineage = &info.lineage;
        if let Some(reason) = &lineage.reason {
            let message =
                format!("the rows of this query do not belong to windows, because {reason}");
            return Err(Box::new(fault(&message).help(HELP_WINDOW)));
        }
        let scans: BTreeSet<usize> = (0..lineage.scans.len()).collect();
        let mut columns: Vec<ClosingColumn> = (lineage.columns.iter())
            .filter_map(|(name, mark)| {
                let mark = mark.clone().filter(|mark| covers(mark, &scans))?;
                let name = name.clone();
                Some(ClosingColumn { name, mark })
            })
            .collect();
        if columns.is_empty() {
            let (query, column) = self.hidden_column(tree, &scans).ok_or_else(|| {
                let message = "no column of this query tells when a row's window closes";
                Box::new(fault(message).help(if scans.len() > 1 {
                    "join on `window_start` of both sides, and group by it"
                } else {
                    HELP_WINDOW
                }))
            })?;
            info.feed.query = query;
            columns.push(column);
        }
        self.bounds(info, &columns)
            .map_err(|error| Box::new(fault(&format!("windows cannot be closed: {error:#}"))))
    }

    /// Refuses inputs whose rows change, and those of which event time is not known.
    fn check_inputs(&self, info: &ViewInfo, emit: Span) -> Result<(), Box<Diagnostic>> {
        let fault = |message: String| Diagnostic::new(emit, message);
        if !info.feed.lookups.is_empty() {
            let message = "windows cannot close over a lookup join".to_owned();
            return Err(Box::new(
                fault(message).help("put the lookup join into a VIEW of its own"),
            ));
        }
        if info.feed.inputs.is_empty() {
            let message = "this query reads no stream, so no window of it ever closes".to_owned();
            return Err(Box::new(fault(message)));
        }
        for input in &info.feed.inputs {
            let name = &input.stored.name;
            let place = self.catalog.get(name).map(|entity| entity.name().span);
            let at_input = |fault: Diagnostic| match place {
                Some(place) => fault.also(place, "defined here"),
                None => fault,
            };
            if input.stored.layout == Layout::Changing {
                let message =
                    format!("the rows of `{name}` change, so no window of it is ever final");
                let help =
                    "read a TABLE without a key, a SOURCE, or a view that EMITs ON WINDOW CLOSE";
                return Err(Box::new(at_input(fault(message)).help(help)));
            }
            if self.found.times(name).is_none() {
                let message = format!("`{name}` has no watermark, so no window of it ever closes");
                return Err(Box::new(at_input(fault(message)).help(HELP_WATERMARK)));
            }
        }
        Ok(())
    }

    /// Adds the column of the window to a query that groups by one, or selects of one, without giving it.
    fn hidden_column(
        &self,
        tree: &Value,
        scans: &BTreeSet<usize>,
    ) -> Option<(String, ClosingColumn)> {
        let plain =
            tree["type"] == "SELECT_NODE" && tree["aggregate_handling"] != "FORCE_AGGREGATES";
        let distinct = list(&tree["modifiers"])
            .iter()
            .any(|modifier| modifier["type"] == "DISTINCT_MODIFIER");
        if !plain || distinct {
            return None;
        }
        let find = |name: &str| self.named(name);
        let mut analysis = Analysis::new(&find);
        let scope = analysis.scope(tree, &Vec::new());
        let select = analysis.select(tree, &scope);
        let whole = |mark: &Mark| covers(mark, scans);
        let grouped = list(&tree["group_expressions"]);
        let (mut expression, mark) = if grouped.is_empty() {
            let tables = select.from.tables.iter();
            let mut columns = tables.flat_map(|table| {
                (table.columns.iter()).map(|(name, mark)| (&table.alias, name, mark.as_ref()))
            });
            columns.find_map(|(table, name, mark)| {
                let names = json!([table, name]);
                let column =
                    json!({"class": "COLUMN_REF", "type": "COLUMN_REF", "column_names": names});
                Some((column, mark.filter(|mark| whole(mark))?.clone()))
            })?
        } else {
            grouped.iter().find_map(|by| {
                let mark = marks::mark(by, &select.from).filter(|mark| whole(mark))?;
                names_of(by)
                    .is_none_or(|names| select.from.column(&names).is_some())
                    .then(|| (by.clone(), mark))
            })?
        };
        let name = unused(CLOSING, &select);
        expression["alias"] = json!(name);
        let mut tree = tree.clone();
        tree["select_list"].as_array_mut()?.push(expression);
        let text = self.binder.session().unparse(&tree).ok()?;
        self.binder.session().check(&text).ok()?;
        Some((text, ClosingColumn { name, mark }))
    }

    /// Puts the bounds of the columns and of the rows that are kept into one query.
    fn bounds(&self, info: &ViewInfo, columns: &[ClosingColumn]) -> anyhow::Result<Closing> {
        let floors = (columns.iter())
            .map(|column| least(column.mark.floors.clone()))
            .collect();
        let mut sessions = Vec::new();
        let mut lows = Vec::new();
        for (number, input) in info.feed.inputs.iter().enumerate() {
            let key = input.stored.name.to_lowercase();
            for (scan, stream) in info.lineage.scans.iter().enumerate() {
                if *stream != key {
                    continue;
                }
                let mut of_scan = Vec::new();
                let mut time = String::new();
                for column in columns {
                    let (low, column, query) = low_of(&column.mark, scan);
                    of_scan.push(low);
                    column.clone_into(&mut time);
                    if let Some(query) = query {
                        sessions.push((number, self.open_sessions(info, query)?));
                    }
                }
                lows.push((number, time, marks::call("greatest", of_scan)));
            }
        }
        Ok(Closing {
            columns: columns.iter().map(|column| column.name.clone()).collect(),
            horizon: self.horizon(info, floors, lows, sessions)?,
        })
    }

    /// Puts a view's horizon together: the floors of its columns; for each mention of an input its number, its
    /// column of event time, and the time before which its rows are not needed.
    pub(super) fn horizon(
        &self,
        info: &ViewInfo,
        floors: Vec<Value>,
        lows: Vec<(usize, String, Value)>,
        sessions: Vec<(usize, String)>,
    ) -> anyhow::Result<Horizon> {
        let count = floors.len();
        let mut expressions = floors;
        let mut times = Vec::new();
        for (number, input) in info.feed.inputs.iter().enumerate() {
            let of_input = lows.iter().filter(|(of, _, _)| *of == number);
            let (columns, needed): (Vec<&String>, Vec<Value>) = of_input
                .map(|(_, column, low)| (column, low.clone()))
                .unzip();
            let Some(column) = columns.first() else {
                anyhow::bail!(
                    "`{}` is read in a way that has no window",
                    input.stored.name
                );
            };
            anyhow::ensure!(
                columns.iter().all(|other| other == column),
                "two columns of `{}` are read as its time",
                input.stored.name
            );
            times.push((*column).clone());
            expressions.push(least(needed));
        }
        Ok(Horizon {
            bounds_sql: self.bounds_sql(expressions)?,
            floors: count,
            times,
            sessions,
        })
    }

    fn bounds_sql(&self, expressions: Vec<Value>) -> anyhow::Result<String> {
        let session = self.binder.session();
        let names: Vec<String> = (0..expressions.len())
            .map(|number| format!("b{number}"))
            .collect();
        let list: Vec<Value> = (expressions.into_iter().zip(&names))
            .map(|(mut expression, name)| {
                expression["alias"] = json!(name);
                expression
            })
            .collect();
        let tree = json!({
            "type": "SELECT_NODE", "cte_map": {}, "select_list": list, "from_table": {"type": "EMPTY"},
            "aggregate_handling": "STANDARD_HANDLING",
        });
        let text = session.unparse(&tree)?;
        let texts: Vec<String> = names
            .iter()
            .map(|name| format!("CAST(epoch_us(CAST({name} AS TIMESTAMP)) AS VARCHAR)"))
            .collect();
        let texts = texts.join(", ");
        let sql = |watermark: &str| {
            format!("SELECT {texts} FROM ({text} FROM (SELECT {watermark} AS {WATERMARK}))")
        };
        session.check(&sql("TIMESTAMP '2000-01-01'"))?;
        Ok(sql("make_timestamp($1::BIGINT)"))
    }

    /// Returns the query of the earliest start of a session that is still open.
    fn open_sessions(&self, info: &ViewInfo, sessions: &Value) -> anyhow::Result<String> {
        let text = self.binder.session().unparse(sessions)?;
        let watermark = 2 * info.feed.inputs.len() + 1;
        Ok(format!(
            "SELECT CAST(min(epoch_us(window_start)) AS VARCHAR) FROM ({text}) \
             WHERE epoch_us(window_end) > ${watermark}::BIGINT"
        ))
    }
}

/// Returns a name, or one made of it, that no column of a SELECT or of the tables under it has.
fn unused(name: &str, select: &Select) -> String {
    let of_tables = select.from.tables.iter().flat_map(|table| &table.columns);
    let columns: Vec<&String> = (select.columns.iter().chain(of_tables))
        .map(|(column, _)| column)
        .collect();
    let mut unused = name.to_owned();
    while columns
        .iter()
        .any(|column| column.eq_ignore_ascii_case(&unused))
    {
        unused.push('_');
    }
    unused
}

/// Returns the time before which rows of a mention are in no open window, as an expression over the watermark;
/// with the column of that time and, where it depends on sessions, their query.
fn low_of(mark: &Mark, scan: usize) -> (Value, &str, Option<&Value>) {
    match &mark.scans[&scan] {
        Reach::Lead { column, leads } => (back(least(mark.floors.clone()), leads), column, None),
        Reach::Session { column, sessions } => (marks::watermark(), column, Some(sessions)),
    }
}

/// Goes back from a marked value to the time of its row.
pub(super) fn back(floor: Value, leads: &[(bool, Value)]) -> Value {
    leads.iter().rev().fold(floor, |low, (minus, lead)| {
        marks::shifted(low, !minus, lead.clone())
    })
}

pub(super) fn least(mut expressions: Vec<Value>) -> Value {
    if expressions.len() == 1 {
        return expressions.remove(0);
    }
    marks::call("least", expressions)
}
