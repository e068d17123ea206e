//! Expressions over event time that never go back: their value for the watermark is a lower bound of their
//! values in rows still to come.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde_json::{Value, json};

use super::lengths::Length;
use super::maintain::list;

/// The column that stands for the watermark in the expression of a bound.
pub const WATERMARK: &str = "_watermark";

/// More than what as many months differ by: 3 days for their lengths, 2 for leap years, 3 for the ends of short ones.
const SLACK_DAYS: i64 = 10;

/// How a column follows event time.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    /// Expressions over the watermark; the least of them is a lower bound of what is still to come.
    pub floors: Vec<Value>,
    /// The mentions of streams that it speaks for, by number.
    pub scans: BTreeMap<usize, Reach>,
}

/// How far a marked value is from the time of its row.
#[derive(Clone, Debug, PartialEq)]
pub enum Reach {
    /// At most the value of this column plus these intervals, minus where true.
    Lead {
        column: String,
        leads: Vec<(bool, Value)>,
    },
    /// As far as a session lasts; the query of all sessions.
    Session { column: String, sessions: Value },
}

impl Mark {
    /// Returns the mark of a column of a stream.
    pub fn of_column(floors: Vec<Value>, scan: usize, column: &str) -> Self {
        let column = column.to_owned();
        let reach = Reach::Lead {
            column,
            leads: Vec::new(),
        };
        Self {
            floors,
            scans: BTreeMap::from([(scan, reach)]),
        }
    }

    /// Speaks for the streams of both.
    pub fn merged(&self, other: &Self) -> Self {
        let mut merged = self.clone();
        for floor in &other.floors {
            if !merged.floors.contains(floor) {
                merged.floors.push(floor.clone());
            }
        }
        merged.scans.extend(
            other
                .scans
                .iter()
                .map(|(scan, reach)| (*scan, reach.clone())),
        );
        merged
    }

    /// Counts the mentions from `by` on.
    pub fn moved(&self, by: usize) -> Self {
        let scans = self.scans.iter();
        Self {
            floors: self.floors.clone(),
            scans: scans
                .map(|(scan, reach)| (scan + by, reach.clone()))
                .collect(),
        }
    }
}

/// Names and marks of columns, in order.
pub type Columns = Vec<(String, Option<Mark>)>;

/// A relation of a FROM clause.
#[derive(Clone, Debug)]
pub struct Table {
    pub alias: String,
    pub columns: Columns,
}

/// The tables of a FROM clause, and which mentions of streams they are made of.
#[derive(Clone, Debug, Default)]
pub struct From {
    pub tables: Vec<Table>,
    pub scans: BTreeSet<usize>,
    /// Columns that USING has made one; the first table's stands for all.
    pub using: HashSet<String>,
}

impl From {
    /// Returns the column that a reference names.
    pub fn column(&self, names: &[&str]) -> Option<(usize, usize)> {
        let (name, table) = match names {
            [name] => (name, None),
            [table, name] => (name, Some(table)),
            _ => return None,
        };
        self.tables.iter().enumerate().find_map(|(at, candidate)| {
            if table.is_some_and(|table| !table.eq_ignore_ascii_case(&candidate.alias)) {
                return None;
            }
            let mut columns = candidate.columns.iter();
            let column = columns.position(|(known, _)| known.eq_ignore_ascii_case(name))?;
            Some((at, column))
        })
    }

    pub fn mark(&self, names: &[&str]) -> Option<&Mark> {
        let (table, column) = self.column(names)?;
        self.tables[table].columns[column].1.as_ref()
    }
}

/// Returns the watermark itself as an expression.
pub fn watermark() -> Value {
    json!({"class": "COLUMN_REF", "type": "COLUMN_REF", "column_names": [WATERMARK]})
}

/// Returns the instant after an expression's.
pub fn just_after(expression: Value) -> Value {
    call(
        "+",
        vec![expression, call("to_microseconds", vec![number(1)])],
    )
}

/// Returns the expression minus an interval, or plus it.
pub fn shifted(expression: Value, minus: bool, interval: Value) -> Value {
    call(if minus { "-" } else { "+" }, vec![expression, interval])
}

/// Returns a call of a function or operator.
pub fn call(name: &str, arguments: Vec<Value>) -> Value {
    let operator = matches!(name, "+" | "-");
    let arguments: Vec<Value> = arguments
        .into_iter()
        .map(|expression| json!({"expression": expression}))
        .collect();
    json!({
        "class": "FUNCTION", "type": "FUNCTION", "function_name": name, "is_operator": operator,
        "order_bys": {"type": "ORDER_MODIFIER"}, "arguments": arguments, "qualified_name": {"path": [name]},
    })
}

fn number(value: i64) -> Value {
    json!({"class": "CONSTANT", "type": "VALUE_CONSTANT",
           "literal": {"kind": "INTEGER", "text": value.to_string()}})
}

/// Returns the mark of an expression over the tables of a FROM clause, if it has one.
pub fn mark(expression: &Value, from: &From) -> Option<Mark> {
    if let Some(names) = names_of(expression) {
        return from.mark(&names).cloned();
    }
    if expression["type"] == "OPERATOR_CAST" {
        let sql_type = expression["type_expr"]["type_name"]
            .as_str()?
            .to_uppercase();
        let time = sql_type.starts_with("TIMESTAMP") || matches!(&*sql_type, "DATE" | "DATETIME");
        let inner = mark(&expression["child"], from).filter(|_| time)?;
        return Some(through(expression, &["child"], inner));
    }
    if expression["class"] != "FUNCTION" {
        return None;
    }
    let name = expression["function_name"].as_str()?.to_lowercase();
    let arguments: Vec<&Value> = (list(&expression["arguments"]).iter())
        .map(|argument| &argument["expression"])
        .collect();
    match (name.as_str(), arguments.as_slice()) {
        ("time_bucket", [length, time, rest @ ..]) => {
            let constant = is_constant(length) && rest.iter().all(|rest| is_constant(rest));
            let inner = mark(time, from).filter(|_| constant)?;
            Some(through(
                expression,
                &["arguments", "1", "expression"],
                inner,
            ))
        }
        ("date_trunc" | "datetrunc", [part, time]) => {
            let inner = mark(time, from).filter(|_| is_constant(part))?;
            Some(through(
                expression,
                &["arguments", "1", "expression"],
                inner,
            ))
        }
        ("+", [interval, time]) if is_constant(interval) => {
            let place = ["arguments", "1", "expression"];
            led(expression, &place, mark(time, from)?, (false, interval))
        }
        ("+" | "-", [time, interval]) if is_constant(interval) => {
            let place = ["arguments", "0", "expression"];
            led(
                expression,
                &place,
                mark(time, from)?,
                (name == "-", interval),
            )
        }
        ("unnest", [series]) => series_mark(series, from),
        _ => None,
    }
}

/// Returns the mark of a value out of `generate_series(first, last, step)`: not below the first, not above the
/// last.
fn series_mark(series: &Value, from: &From) -> Option<Mark> {
    let name = series["function_name"].as_str()?.to_lowercase();
    let arguments = list(&series["arguments"]);
    let [first, last, step] = arguments else {
        return None;
    };
    if !matches!(&*name, "generate_series" | "range") || !is_constant(&step["expression"]) {
        return None;
    }
    let first = mark(&first["expression"], from)?;
    let last = mark(&last["expression"], from)?;
    let same = first.scans.keys().eq(last.scans.keys());
    same.then_some(Mark {
        floors: first.floors,
        scans: last.scans,
    })
}

/// Puts each lower bound in the place of the time in a monotone expression.
fn through(expression: &Value, path: &[&str], inner: Mark) -> Mark {
    let floors = inner.floors.iter().map(|floor| {
        let mut outer = bare(expression);
        let place = path
            .iter()
            .fold(&mut outer, |at, step| match step.parse::<usize>() {
                Ok(index) => &mut at[index],
                Err(_) => &mut at[*step],
            });
        *place = floor.clone();
        outer
    });
    Mark {
        floors: floors.collect(),
        scans: inner.scans,
    }
}

/// Returns the mark of a time, of this mark and at this place of the expression, that an interval is added to, minus
/// where true; a session has no measure of how far it is from the time of its row.
fn led(
    expression: &Value,
    place: &[&str],
    mut inner: Mark,
    (minus, interval): (bool, &Value),
) -> Option<Mark> {
    let length = Length::of(interval);
    for reach in inner.scans.values_mut() {
        let Reach::Lead { leads, .. } = reach else {
            return None;
        };
        leads.push((minus, bare(interval)));
        // On the way back, the months would have to come after the rest.
        if length.months && length.days {
            leads.push((false, call("to_days", vec![number(SLACK_DAYS)])));
        }
    }
    if length.months {
        // A day that a month does not have is taken for its last: a month after 12:00 of January 30 comes after that
        // of 0:00 of January 31. From the start of a day on, nothing comes before it.
        let day = json!({"class": "CONSTANT", "type": "VALUE_CONSTANT",
                         "literal": {"kind": "STRING", "text": "day"}});
        for floor in &mut inner.floors {
            *floor = call("date_trunc", vec![day.clone(), floor.take()]);
        }
    }
    Some(through(expression, place, inner))
}

/// Returns an expression without places and names, so that equal ones are equal.
pub fn bare(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(bare).collect(),
        Value::Object(object) => {
            let kept = object.iter().filter(|(key, _)| {
                !matches!(
                    key.as_str(),
                    "query_location" | "query_location_length" | "alias"
                )
            });
            let kept = kept.map(|(key, child)| (key.clone(), bare(child)));
            Value::Object(kept.collect())
        }
        other => other.clone(),
    }
}

/// Says whether an expression is the same for every row and at every time.
fn is_constant(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().all(is_constant),
        Value::Object(object) => {
            let known = match value["class"].as_str() {
                Some("COLUMN_REF" | "SUBQUERY" | "WINDOW" | "PARAMETER" | "STAR" | "LAMBDA") => {
                    false
                }
                Some("FUNCTION") => {
                    let name = value["function_name"].as_str().unwrap_or("");
                    name.starts_with("to_") || matches!(name, "trunc" | "+" | "-" | "*")
                }
                _ => true,
            };
            known && object.values().all(is_constant)
        }
        _ => true,
    }
}

/// Returns the parts of a column's name, if the expression is one.
pub fn names_of(expression: &Value) -> Option<Vec<&str>> {
    if expression["class"] != "COLUMN_REF" {
        return None;
    }
    let names = expression["column_names"].as_array()?;
    Some(names.iter().filter_map(Value::as_str).collect())
}
