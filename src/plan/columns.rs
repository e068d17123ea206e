//! Column lists: types known to the engine, generated columns bound and put in order.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::Value;

use super::bind::{Binder, place_in};
use super::casts;
use super::trigger::{replace_trigger_functions, tell_of_trigger};
use crate::batch::Column;
use crate::batch::datatypes::{DataType, TimeUnit};
use crate::diagnostic::Diagnostic;
use crate::engine::syntax::{Query, place_of};
use crate::engine::types::has_zoned_time;
use crate::engine::{SqlFault, TRIGGER, functions};
use crate::sql::{self, SqlText, quote_ident};

/// The Arrow types of DuckDB types, asked for once each.
#[derive(Default)]
pub struct Types {
    known: HashMap<String, Result<DataType, SqlFault>>,
}

impl Types {
    /// Returns the Arrow type of a type as the user wrote it.
    ///
    /// # Errors
    /// The fault, at the type.
    pub fn arrow(
        &mut self,
        binder: &Binder,
        sql_type: &SqlText,
    ) -> Result<DataType, Box<Diagnostic>> {
        if let Some(arrow) = usual(&sql_type.text) {
            return Ok(arrow);
        }
        let known = self.known.entry(sql_type.text.clone()).or_insert_with(|| {
            // The type stands first so that a place in it needs no more than this offset.
            let query = format!("SELECT CAST(NULL AS {}) AS value", sql_type.text);
            binder
                .session()
                .check(&query)
                .and_then(|()| {
                    binder
                        .session()
                        .schema(&query)
                        .map_err(|error| SqlFault::of(&error.to_string()))
                })
                .map(|schema| schema.field(0).data_type().clone())
        });
        known
            .clone()
            .map_err(|fault| Box::new(type_fault(&fault, sql_type)))
    }
}

/// Says whether a type is one of those that most columns have.
pub fn is_usual(sql_type: &str) -> bool {
    usual(sql_type).is_some()
}

/// Returns the Arrow type of a type that most columns have, as the engine would give it: to ask for the types of a
/// few columns takes a tenth of a start.
fn usual(sql_type: &str) -> Option<DataType> {
    let is = |names: &[&str]| names.iter().any(|name| name.eq_ignore_ascii_case(sql_type));
    let arrows = [
        (&["VARCHAR", "STRING", "TEXT"][..], DataType::Utf8),
        (&["DOUBLE"], DataType::Float64),
        (&["BIGINT"], DataType::Int64),
        (&["INTEGER", "INT"], DataType::Int32),
        (&["BOOLEAN", "BOOL"], DataType::Boolean),
        (
            &["TIMESTAMP"],
            DataType::Timestamp(TimeUnit::Microsecond, None),
        ),
    ];
    (arrows.into_iter()).find_map(|(names, arrow)| is(names).then_some(arrow))
}

fn type_fault(fault: &SqlFault, sql_type: &SqlText) -> Diagnostic {
    let message = match &fault.name {
        Some(name) if !fault.syntax => format!("type `{name}` does not exist"),
        _ => format!("`{}` is not a type", sql_type.text),
    };
    let diagnostic = Diagnostic::new(sql_type.span, message).label("expected a DuckDB type");
    diagnostic.suggest(fault.name.as_deref().unwrap_or(&sql_type.text), TYPE_NAMES)
}

/// DuckDB's type names that people write, for suggestions.
const TYPE_NAMES: [&str; 33] = [
    "BIGINT",
    "BLOB",
    "BOOLEAN",
    "DATE",
    "DECIMAL",
    "DOUBLE",
    "FLOAT",
    "HUGEINT",
    "INT",
    "INTEGER",
    "INTERVAL",
    "JSON",
    "MAP",
    "NUMERIC",
    "REAL",
    "SMALLINT",
    "STRING",
    "STRUCT",
    "TEXT",
    "TIME",
    "TIMESTAMP",
    "TIMESTAMPTZ",
    "TIMESTAMP_MS",
    "TIMESTAMP_NS",
    "TIMESTAMP_S",
    "TINYINT",
    "UBIGINT",
    "UINTEGER",
    "USMALLINT",
    "UTINYINT",
    "UUID",
    "VARCHAR",
    "BOOL",
];

/// Returns the column as a connector fills it; what no format builds arrives as text and is cast.
pub fn declared(
    column: &sql::Ident,
    sql_type: &SqlText,
    arrow: DataType,
    nullable: bool,
) -> Column {
    let native = crate::format::native(&arrow) && !has_zoned_time(&sql_type.text);
    Column {
        name: column.name.clone(),
        sql_type: sql_type.text.clone(),
        arrow: if native { arrow } else { DataType::Utf8 },
        nullable,
        in_key: false,
    }
}

/// Generated columns, each computed after those it uses.
pub struct Generated {
    /// Of each column name, type and expression, the trigger functions replaced; those of one step use only columns of
    /// earlier ones.
    steps: Vec<Vec<(String, String, String)>>,
}

impl Generated {
    /// Binds the generated columns of a list over all its columns.
    pub fn bind(
        binder: &Binder,
        visible: &[(String, String)],
        generated: &[(&sql::Ident, &SqlText, &SqlText)],
        faults: &mut Vec<Diagnostic>,
    ) -> Self {
        let whose = (binder, visible);
        let drafts = (generated.iter())
            .map(|(_, sql_type, expression)| Draft::new((sql_type, expression)))
            .collect();
        let drafts = Draft::parse_all(whose, "a generated column", drafts);
        // One statement for all, unless it has to be found which is at fault.
        let sound = drafts.len() > 1 && Draft::bind_all(whose, drafts.iter().flatten());
        let mut columns: BTreeMap<String, (usize, HashSet<String>)> = BTreeMap::new();
        let mut bound = Vec::new();
        let before = faults.len();
        for (index, (draft, (name, sql_type, _))) in drafts.into_iter().zip(generated).enumerate() {
            let draft = draft.and_then(|draft| match sound {
                true => Ok(draft),
                false => draft.bind(whose).map(|()| draft),
            });
            let text = match draft {
                Ok(draft) => {
                    columns.insert(name.key(), (index, draft.uses));
                    draft.text
                }
                Err(fault) => {
                    faults.push(*fault);
                    "NULL".to_owned()
                }
            };
            bound.push((name.name.clone(), sql_type.text.clone(), text));
        }
        if faults.len() == before {
            faults.extend(never_of_type(whose, &bound, generated));
        }
        let steps = steps(columns).unwrap_or_else(|circle| {
            faults.extend(circle_fault(&circle, generated));
            Vec::new()
        });
        let step = |step: Vec<usize>| step.iter().map(|index| bound[*index].clone()).collect();
        Self {
            steps: steps.into_iter().map(step).collect(),
        }
    }

    /// Returns a query that adds the generated columns to `base`, which has the others and the trigger.
    pub fn over(&self, base: &str, relation: &str) -> String {
        let relation = quote_ident(relation);
        self.steps.iter().fold(base.to_owned(), |query, step| {
            let computed: Vec<String> = (step.iter())
                .map(|(name, sql_type, expression)| {
                    let name = quote_ident(name);
                    format!("CAST(({expression}\n) AS {sql_type}) AS {name}")
                })
                .collect();
            // A query inside of another for each column would take the engine seconds for hundreds of them.
            format!(
                "SELECT *, {} FROM ({query}) AS {relation}",
                computed.join(", ")
            )
        })
    }
}

/// Returns the faults of columns whose values can never become of their type: no row would fit.
fn never_of_type(
    (binder, visible): Whose<'_>,
    bound: &[(String, String, String)],
    generated: &[(&sql::Ident, &SqlText, &SqlText)],
) -> Vec<Diagnostic> {
    let expressions: Vec<(&str, &str)> = (bound.iter())
        .map(|(_, sql_type, text)| (text.as_str(), sql_type.as_str()))
        .collect();
    let found = casts::never_of(binder, &expressions, &nulls(visible));
    let fault = |(found, (_, wanted, expression)): (Option<String>, &(_, &SqlText, &SqlText))| {
        let (found, wanted) = (found?, &wanted.text);
        let message = format!("{found} never becomes {wanted}");
        let help =
            format!("write an expression that gives {wanted}, or declare the column as {found}");
        Some(Diagnostic::new(expression.span, message).help(help))
    };
    (found.into_iter().zip(generated))
        .filter_map(fault)
        .collect()
}

/// Puts columns, each with its number and the names it uses, into steps: each uses only columns of earlier ones.
///
/// # Errors
/// The numbers of columns that use each other in a circle, each followed by one it uses.
fn steps(
    mut left: BTreeMap<String, (usize, HashSet<String>)>,
) -> Result<Vec<Vec<usize>>, Vec<usize>> {
    let mut steps: Vec<Vec<usize>> = Vec::new();
    while !left.is_empty() {
        let names: HashSet<String> = left.keys().cloned().collect();
        let ready: Vec<String> = (left.iter())
            .filter(|(_, (_, uses))| uses.is_disjoint(&names))
            .map(|(name, _)| name.clone())
            .collect();
        if ready.is_empty() {
            return Err(circle(&left));
        }
        let step = ready.iter().filter_map(|name| left.remove(name));
        steps.push(step.map(|(index, _)| index).collect());
    }
    Ok(steps)
}

/// Follows columns of which each uses another until one comes again.
fn circle(left: &BTreeMap<String, (usize, HashSet<String>)>) -> Vec<usize> {
    let mut path: Vec<&str> = Vec::new();
    let mut name = left.keys().next().map_or("", String::as_str);
    while !path.contains(&name) {
        path.push(name);
        // The least of the names, so that the message does not depend on the order of a hash.
        let used = left[name].1.iter().filter(|used| left.contains_key(*used));
        name = used.min().map_or("", String::as_str);
    }
    let start = path.iter().position(|other| *other == name).unwrap_or(0);
    path[start..].iter().map(|name| left[*name].0).collect()
}

fn circle_fault(
    circle: &[usize],
    generated: &[(&sql::Ident, &SqlText, &SqlText)],
) -> Option<Diagnostic> {
    let (first, others) = circle.split_first()?;
    let name = |index: usize| format!("`{}`", generated[index].0.name);
    let names: Vec<String> = circle
        .iter()
        .chain([first])
        .map(|index| name(*index))
        .collect();
    let message = format!("generated columns go in a circle: {}", names.join(" uses "));
    let fault = Diagnostic::new(generated[*first].2.span, message);
    Some(others.iter().fold(fault, |fault, index| {
        let label = format!("{} is computed here", name(*index));
        fault.also(generated[*index].2.span, label)
    }))
}

/// Binds the expression of a watermark over the columns of its relation, and returns it as a TIMESTAMP.
///
/// # Errors
/// The fault, at its place: also where the expression, or the column of the watermark, is no time.
pub fn bind_watermark(
    binder: &Binder,
    visible: &[(String, String)],
    watermark: &sql::Watermark,
) -> Result<String, Box<Diagnostic>> {
    let sql_type = SqlText::new("TIMESTAMP".to_owned(), watermark.expression.span);
    let whose = (binder, visible);
    let draft = Draft::new((&sql_type, &watermark.expression));
    let draft = draft.parsed(whose, "a watermark", None)?;
    draft.bind(whose)?;
    let text = draft.text;
    if text != watermark.expression.text {
        let message = "a watermark follows event time, not the trigger";
        return Err(Box::new(Diagnostic::new(
            watermark.expression.span,
            message,
        )));
    }
    let column = quote_ident(&watermark.column.name);
    let query = format!("SELECT {column}, ({text}\n) FROM ({})", nulls(visible));
    let broken =
        |fault: SqlFault| Box::new(Diagnostic::new(watermark.expression.span, fault.message));
    let found = binder.session().describe(&query).map_err(broken)?;
    let places = [watermark.column.span, watermark.expression.span];
    for ((_, sql_type), place) in found.iter().zip(places) {
        if !(sql_type.starts_with("TIMESTAMP") || sql_type == "DATE") {
            let message = format!("the time of a watermark is a TIMESTAMP, not {sql_type}");
            let help = "make one by a generated column: `ts TIMESTAMP AS (make_timestamp_ms(…))`";
            return Err(Box::new(Diagnostic::new(place, message).help(help)));
        }
    }
    Ok(format!("CAST(({text}\n) AS TIMESTAMP)"))
}

/// An expression over the columns of a relation, parsed.
struct Draft<'a> {
    sql_type: &'a SqlText,
    expression: &'a SqlText,
    /// The expression as it runs.
    text: String,
    /// The names of columns in it.
    uses: HashSet<String>,
}

/// The binder, and the columns that an expression may use.
type Whose<'a> = (&'a Binder, &'a [(String, String)]);

impl<'a> Draft<'a> {
    const HEAD: &'static str = "SELECT CAST((";

    fn new((sql_type, expression): (&'a SqlText, &'a SqlText)) -> Self {
        Self {
            sql_type,
            expression,
            text: replace_trigger_functions(&expression.text),
            uses: HashSet::new(),
        }
    }

    /// Parses expressions, all by one statement; `what` each of them is stands in its fault.
    ///
    /// # Errors
    /// The fault of an expression that does not parse, or is not about one row.
    fn parse_all(
        whose: Whose<'_>,
        what: &str,
        drafts: Vec<Self>,
    ) -> Vec<Result<Self, Box<Diagnostic>>> {
        let alone: Vec<String> = (drafts.iter())
            .map(|draft| format!("SELECT {} AS value", draft.cast()))
            .collect();
        let alone: Vec<&str> = alone.iter().map(String::as_str).collect();
        let mut parsed = match whose.0.session().parse(&alone) {
            Ok(parsed) => parsed.into_iter(),
            Err(_) => Vec::new().into_iter(),
        };
        (drafts.into_iter())
            .map(|draft| draft.parsed(whose, what, parsed.next().and_then(Result::ok)))
            .collect()
    }

    /// Takes what was parsed without the columns that it reads: they make a query several times as long, and only a
    /// fault may tell of them.
    fn parsed(
        mut self,
        (binder, visible): Whose<'_>,
        what: &str,
        alone: Option<Query>,
    ) -> Result<Self, Box<Diagnostic>> {
        let parsed = match alone {
            Some(parsed) => parsed,
            None => {
                let failed = |error: anyhow::Error| SqlFault::of(&error.to_string());
                let parsed = binder.session().parse_one(&self.query(visible));
                parsed
                    .map_err(failed)
                    .and_then(|parsed| parsed)
                    .map_err(|fault| self.fault(visible, fault))?
            }
        };
        let tree = parsed.tree.unwrap_or_default();
        let selected = &tree["select_list"];
        refuse_non_scalar(selected).map_err(|(words, place)| {
            let place = place
                .and_then(|(start, length)| Some((start.checked_sub(Self::HEAD.len())?, length)));
            let span = place.map_or(self.expression.span, |(start, length)| {
                place_in(self.expression, start, length)
            });
            Box::new(
                Diagnostic::new(span, format!("{what} cannot have {words}"))
                    .help("compute it in a VIEW over this relation"),
            )
        })?;
        collect_columns(selected, &mut self.uses);
        Ok(self)
    }

    /// # Errors
    /// The fault: a name or a type that does not fit.
    fn bind(&self, (binder, visible): Whose<'_>) -> Result<(), Box<Diagnostic>> {
        let checked = binder.session().check(&self.query(visible));
        checked.map_err(|fault| self.fault(visible, fault))
    }

    /// Binds all at once, and says whether none of them is at fault.
    fn bind_all<'d>(
        (binder, visible): Whose<'_>,
        drafts: impl Iterator<Item = &'d Draft<'d>>,
    ) -> bool {
        let items: Vec<String> = drafts.map(Draft::cast).collect();
        let query = format!("SELECT {} FROM ({})", items.join(", "), nulls(visible));
        binder.session().check(&query).is_ok()
    }

    fn cast(&self) -> String {
        format!("CAST(({}\n) AS {})", self.text, self.sql_type.text)
    }

    fn query(&self, visible: &[(String, String)]) -> String {
        let (cast, from) = (self.cast(), nulls(visible));
        format!("SELECT {cast} AS value FROM ({from})")
    }

    fn fault(&self, visible: &[(String, String)], fault: SqlFault) -> Box<Diagnostic> {
        let empty = crate::catalog::Catalog::default();
        let fault = fault.moved(Self::HEAD.len());
        let mut diagnostic = super::bind::query_fault(fault, self.expression, &empty);
        tell_of_trigger(&mut diagnostic);
        let unknown = diagnostic.message.starts_with("column `");
        let suggested = diagnostic
            .help
            .as_ref()
            .is_some_and(|help| help.starts_with("did you"));
        if unknown && !suggested {
            let names = visible.iter().map(|(name, _)| name.as_str());
            diagnostic = diagnostic.help(format!(
                "the columns are {}",
                crate::diagnostic::list_names(names)
            ));
        }
        Box::new(diagnostic)
    }
}

/// Returns a query of one row with these columns and the trigger.
fn nulls(visible: &[(String, String)]) -> String {
    let columns: Vec<String> = (visible.iter())
        .map(|(name, sql_type)| format!("CAST(NULL AS {sql_type}) AS {}", quote_ident(name)))
        .chain([format!("CAST(NULL AS TIMESTAMP) AS {TRIGGER}")])
        .collect();
    format!("SELECT {}", columns.join(", "))
}

/// What such an expression cannot have, and where it stands in the query that binds it.
type NotScalar = (String, Option<(usize, usize)>);

fn refuse_non_scalar(value: &Value) -> Result<(), NotScalar> {
    match value {
        Value::Array(items) => items.iter().try_for_each(refuse_non_scalar),
        Value::Object(object) => {
            match value["class"].as_str() {
                Some("WINDOW") => return Err(("a window function".to_owned(), place_of(value))),
                Some("SUBQUERY") => return Err(("a subquery".to_owned(), place_of(value))),
                Some("STAR") => return Err(("`*`".to_owned(), place_of(value))),
                Some("FUNCTION") => {
                    let name = value["function_name"].as_str().unwrap_or("").to_lowercase();
                    if functions::aggregates().contains(&name) && value["is_operator"] != true {
                        return Err((format!("the aggregate `{name}`"), place_of(value)));
                    }
                    if functions::MULTIPLYING.contains(&name.as_str()) {
                        let words = format!("`{name}`, which makes several rows of one");
                        return Err((words, place_of(value)));
                    }
                }
                _ => {}
            }
            object.values().try_for_each(refuse_non_scalar)
        }
        _ => Ok(()),
    }
}

/// Collects every part of every column name: `a.b` may be a column `a` with a field, or table and column.
fn collect_columns(value: &Value, names: &mut HashSet<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect_columns(item, names)),
        Value::Object(object) => {
            if let Some(parts) = value["column_names"].as_array() {
                names.extend(
                    parts
                        .iter()
                        .filter_map(Value::as_str)
                        .map(str::to_lowercase),
                );
            }
            object
                .values()
                .for_each(|child| collect_columns(child, names));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_computed_side_by_side_and_after_those_they_use() {
        let column = |name: &str, number: usize, uses: &[&str]| {
            let uses = uses.iter().map(|name| (*name).to_owned()).collect();
            (name.to_owned(), (number, uses))
        };
        let columns = BTreeMap::from([
            column("a", 0, &["given"]),
            column("b", 1, &["c", "a"]),
            column("c", 2, &["a"]),
            column("d", 3, &[]),
        ]);
        let steps = steps(columns).unwrap();
        assert_eq!(steps, [vec![0, 3], vec![2], vec![1]]);
        let column = |number: &usize| (format!("g{number}"), "INT".to_owned(), "1".to_owned());
        let generated = Generated {
            steps: (steps.iter())
                .map(|step| step.iter().map(column).collect())
                .collect(),
        };
        let query = generated.over("FROM given", "t");
        assert_eq!(query.matches("SELECT *").count(), 3, "{query}");
    }

    #[test]
    fn the_usual_types_are_those_of_the_engine() {
        let binder = Binder::new().unwrap();
        let mut usual_ones = 0;
        for name in TYPE_NAMES {
            let Some(arrow) = usual(name) else { continue };
            let schema = binder
                .session()
                .schema(&format!("SELECT CAST(NULL AS {name}) AS value"));
            assert_eq!(schema.unwrap().field(0).data_type(), &arrow, "{name}");
            usual_ones += 1;
        }
        assert_eq!(usual_ones, 10);
    }
}
