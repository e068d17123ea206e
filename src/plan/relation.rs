//! TABLE, SOURCE and lookup: column list and connector together.

use std::sync::Arc;
use std::time::Duration;

use super::bind::{Binder, own_name};
use super::columns::{Generated, Types, bind_watermark, declared};
use super::connect::{Missing, Role, Settings, connector_of, faults_of};
use super::node::{Ingest, LookupPlan, SourcePlan, Watermark, Work};
use crate::batch::Column;
use crate::batch::datatypes::{DataType, TimeUnit};
use crate::connector::{Declared, Included, LookupConnector, SourceConnector, Unknown};
use crate::diagnostic::{Diagnostic, Span};
use crate::engine::{Layout, Stored, TRIGGER, is_own_column};
use crate::options::Options;
use crate::sql::{EntityKind, Ident, Include, IncludeWhat, Relation, SqlText, quote_ident};

/// A relation's column list, bound.
struct Bound {
    visible: Vec<(String, String)>,
    /// Whether the columns are known, so that what reads them can be checked.
    is_known: bool,
    declared: Declared,
    /// Whether the connector's only column is none of the list, which has generated ones alone.
    counts_only: bool,
    generated: Generated,
}

/// Name and type of each visible column, params first, those of `INCLUDE` last. Known before anything is
/// bound, so that readers of a faulty relation are still checked.
pub fn visible_columns(relation: &Relation) -> Vec<(String, String)> {
    let params = relation
        .params
        .iter()
        .map(|param| (&param.name, &param.sql_type));
    let columns = relation
        .columns
        .iter()
        .map(|column| (&column.name, &column.sql_type));
    let included = (relation.includes.iter()).map(|include| (&include.name, &include.sql_type));
    params
        .chain(columns)
        .chain(included)
        .map(|(name, sql_type)| (name.name.clone(), sql_type.text.clone()))
        .collect()
}

/// Builds a TABLE or SOURCE; `None` if its columns cannot be known. There may be faults all the same: it is then one that
/// only its readers are checked with.
pub fn source(
    binder: &Binder,
    types: &mut Types,
    settings: &Settings<'_>,
    (name, kind, relation): (&Ident, EntityKind, &Relation),
    faults: &mut Vec<Diagnostic>,
) -> Option<Work> {
    let key = relation.primary_key.as_ref();
    if let (EntityKind::Source, Some(key)) = (kind, key) {
        faults.push(
            Diagnostic::new(key.span, "a SOURCE keeps no rows, so it has no key")
                .help("write CREATE TABLE to keep the latest row per key"),
        );
    }
    let before = faults.len();
    faults.extend(own_names(relation));
    let names_sound = faults.len() == before;
    let bound = bind((binder, types), name, relation, faults);
    let columns_sound = faults.len() == before;
    let connected = connect_source(settings, (relation, &bound.declared), faults);
    let watermark = (relation.watermark.as_ref())
        .filter(|_| columns_sound)
        .and_then(|declared| watermark(binder, declared, &bound, faults));
    let is_known = bound.is_known && names_sound;
    if !is_known || relation.watermark.is_some() != watermark.is_some() {
        return None;
    }
    let Connected {
        connector,
        idle_timeout,
        notes,
    } = connected?;
    let stored = Stored {
        name: name.name.clone(),
        columns: bound.visible.clone(),
        layout: match (kind, key) {
            (_, Some(_)) => Layout::Changing,
            (EntityKind::Source, None) => Layout::Passing,
            (_, None) => Layout::Append,
        },
        visible: true,
    };
    let mut columns = bound.declared.columns;
    columns.extend((bound.declared.included.into_iter()).map(|included| included.column));
    let of_list = &columns[usize::from(bound.counts_only)..];
    let rows = bound.generated.over(&base_sql(of_list), &name.name);
    Some(Work::Source(SourcePlan {
        connector,
        ingest: Ingest {
            rows_sql: format!("SELECT {} FROM ({rows})", stored.column_list()),
            columns,
            not_null: computed_not_null(relation),
            watermark: watermark.map(|(column, expression)| Watermark {
                column,
                expression,
                idle_timeout,
            }),
        },
        key: key.map(|key| {
            key.columns
                .iter()
                .map(|column| column.name.clone())
                .collect()
        }),
        stored,
        notes,
    }))
}

/// The options of a TABLE or SOURCE, taken.
struct Connected {
    connector: Arc<dyn SourceConnector>,
    idle_timeout: Option<Duration>,
    notes: Vec<String>,
}

/// Takes the options of a TABLE or SOURCE, with one that is not known in the place of a faulty connector; `None` if it is
/// perhaps no source at all.
fn connect_source(
    settings: &Settings<'_>,
    (relation, declared): (&Relation, &Declared),
    faults: &mut Vec<Diagnostic>,
) -> Option<Connected> {
    let found = connector_of(settings, &relation.options, Role::Source, faults);
    let (made, idle_timeout, notes) = match found {
        Err(Missing::Role) => return None,
        Err(Missing::Name) => (None, None, Vec::new()),
        Ok((mut options, connector)) => {
            if let (false, Some(include)) = (connector.includes, relation.includes.first()) {
                faults.push(no_message(include, connector.name));
            }
            let made = (connector.source).and_then(|make| make(&mut options, declared));
            refuse_only_generated(relation, &mut options);
            let idle_timeout = idle_timeout(relation, &mut options);
            let notes = options.take_notes();
            faults.extend(faults_of(options));
            (made, idle_timeout, notes)
        }
    };
    Some(Connected {
        connector: made.map_or_else(|| Arc::new(Unknown) as _, Arc::from),
        idle_timeout,
        notes,
    })
}

/// Returns the faults of columns by names that the engine needs for itself.
fn own_names(relation: &Relation) -> impl Iterator<Item = Diagnostic> {
    let columns = relation.columns.iter().map(|column| &column.name);
    let names = columns.chain(relation.includes.iter().map(|include| &include.name));
    let own = names.filter(|name| is_own_column(&name.name));
    own.map(|name| {
        own_name(&name.name, name.span).help("choose another name, and let `jq` give it")
    })
}

/// Returns the columns that are computed and may not be NULL.
fn computed_not_null(relation: &Relation) -> Vec<String> {
    let computed = relation.columns.iter().filter(|column| {
        column.generated.is_some() && is_not_null(relation, &column.name, column.not_null)
    });
    computed.map(|column| column.name.name.clone()).collect()
}

/// Checks the options of a relation whose column list is faulty: what it declares as far as it was read.
pub fn check_options(
    binder: &Binder,
    types: &mut Types,
    settings: &Settings<'_>,
    (kind, relation): (EntityKind, &Relation),
    faults: &mut Vec<Diagnostic>,
) {
    let (params, columns, _) = declare((binder, types), relation, faults);
    let declared = declared_of(relation, params, columns);
    // Whether one of the columns that were not read is filled from outside cannot be said.
    let without_columns = Relation {
        columns: Vec::new(),
        ..relation.clone()
    };
    let of = (&without_columns, &declared);
    match kind {
        EntityKind::Lookup => {
            connect_lookup(settings, of, faults);
        }
        _ => {
            connect_source(settings, of, faults);
        }
    }
}

/// Builds a lookup, as [`source`].
pub fn lookup(
    binder: &Binder,
    types: &mut Types,
    settings: &Settings<'_>,
    (name, relation): (&Ident, &Relation),
    faults: &mut Vec<Diagnostic>,
) -> Option<Work> {
    if let Some(key) = &relation.primary_key {
        faults.push(Diagnostic::new(
            key.span,
            "a lookup keeps no rows, so it has no key",
        ));
    }
    let bound = bind((binder, types), name, relation, faults);
    let (connector, notes) = connect_lookup(settings, (relation, &bound.declared), faults)?;
    if !bound.is_known {
        return None;
    }
    let all: Vec<Column> = (bound.declared.params.iter())
        .chain(&bound.declared.columns)
        .cloned()
        .collect();
    let rows = bound.generated.over(&base_sql(&all), &name.name);
    let list: Vec<String> = bound
        .visible
        .iter()
        .map(|(name, _)| quote_ident(name))
        .collect();
    Some(Work::Lookup(Arc::new(LookupPlan {
        name: name.name.clone(),
        connector,
        params: bound.declared.params,
        columns: bound.declared.columns,
        answers_sql: format!("SELECT {} FROM ({rows})", list.join(", ")),
        visible: bound.visible,
        notes,
    })))
}

/// Takes the options of a lookup, as [`connect_source`].
fn connect_lookup(
    settings: &Settings<'_>,
    (relation, declared): (&Relation, &Declared),
    faults: &mut Vec<Diagnostic>,
) -> Option<(Arc<dyn LookupConnector>, Vec<String>)> {
    let found = connector_of(settings, &relation.options, Role::Lookup, faults);
    let (made, notes) = match found {
        Err(Missing::Role) => return None,
        Err(Missing::Name) => (None, Vec::new()),
        Ok((mut options, connector)) => {
            let made = (connector.lookup).and_then(|make| make(&mut options, declared));
            refuse_only_generated(relation, &mut options);
            let notes = options.take_notes();
            faults.extend(faults_of(options));
            (made, notes)
        }
    };
    let connector = made.map_or_else(|| Arc::new(Unknown) as _, Arc::from);
    Some((connector, notes))
}

/// Name, type and expression of a generated column.
type Computed<'r> = (&'r Ident, &'r SqlText, &'r SqlText);

/// Returns parameters, columns that come from outside, and generated columns. Those of faulty types are left out of what
/// the connector fills: there it would only find the same fault again.
fn declare<'r>(
    (binder, types): (&Binder, &mut Types),
    relation: &'r Relation,
    faults: &mut Vec<Diagnostic>,
) -> (Vec<Column>, Vec<Column>, Vec<Computed<'r>>) {
    let mut arrow = |sql_type: &SqlText, faults: &mut Vec<Diagnostic>| {
        let arrow = types.arrow(binder, sql_type);
        arrow.map_err(|fault| faults.push(*fault)).ok()
    };
    let params = (relation.params.iter())
        .filter_map(|param| {
            let arrow = arrow(&param.sql_type, faults)?;
            Some(declared(&param.name, &param.sql_type, arrow, false))
        })
        .collect();
    let mut columns = Vec::new();
    let mut generated: Vec<Computed<'r>> = Vec::new();
    for column in &relation.columns {
        let Some(arrow) = arrow(&column.sql_type, faults) else {
            continue;
        };
        match &column.generated {
            Some(expression) => generated.push((&column.name, &column.sql_type, expression)),
            None => {
                let nullable = !is_not_null(relation, &column.name, column.not_null);
                columns.push(Column {
                    in_key: is_in_key(relation, &column.name),
                    ..declared(&column.name, &column.sql_type, arrow, nullable)
                });
            }
        }
    }
    (params, columns, generated)
}

/// Binds the column list.
fn bind(
    (binder, types): (&Binder, &mut Types),
    name: &Ident,
    relation: &Relation,
    faults: &mut Vec<Diagnostic>,
) -> Bound {
    let before = faults.len();
    let (params, mut columns, mut generated) = declare((binder, types), relation, faults);
    // A batch without columns cannot be handed to the engine; the number of a generated row can.
    let counts_only = columns.is_empty();
    if counts_only {
        columns.push(Column {
            name: "n".to_owned(),
            sql_type: "BIGINT".to_owned(),
            arrow: DataType::Int64,
            nullable: true,
            in_key: false,
        });
    }
    let visible = visible_columns(relation);
    // Over a faulty type every expression would have that fault again.
    if faults.len() > before {
        generated.clear();
    }
    let mut is_known = faults.len() == before;
    let generated = Generated::bind(binder, &visible, &generated, faults);
    if is_known && let Err(fault) = binder.add_table(&name.name, &visible) {
        faults.push(Diagnostic::new(relation.columns_span, fault.message));
        is_known = false;
    }
    Bound {
        visible,
        is_known,
        declared: declared_of(relation, params, columns),
        counts_only,
        generated,
    }
}

fn declared_of(relation: &Relation, params: Vec<Column>, columns: Vec<Column>) -> Declared {
    Declared {
        columns,
        included: included(relation),
        params,
        columns_span: relation.columns_span,
        places: places(relation),
    }
}

/// Returns the columns of `INCLUDE` as a connector fills them.
fn included(relation: &Relation) -> Vec<Included> {
    let included = relation.includes.iter().map(|include| {
        let arrow = match &include.what {
            IncludeWhat::Key | IncludeWhat::Header(_) if include.sql_type.text == "BLOB" => {
                DataType::Binary
            }
            IncludeWhat::Key | IncludeWhat::Header(_) => DataType::Utf8,
            IncludeWhat::Partition => DataType::Int32,
            IncludeWhat::Offset => DataType::Int64,
            IncludeWhat::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
        };
        Included {
            what: include.what.clone(),
            column: Column {
                name: include.name.name.clone(),
                sql_type: include.sql_type.text.clone(),
                arrow,
                nullable: !is_not_null(relation, &include.name, false),
                in_key: is_in_key(relation, &include.name),
            },
        }
    });
    included.collect()
}

fn no_message(include: &Include, connector: &str) -> Diagnostic {
    let message = format!("`INCLUDE` in a source of connector `{connector}`");
    Diagnostic::new(include.span, message)
        .help("only the messages of `kafka` have a key, a partition, an offset and headers")
}

fn places(relation: &Relation) -> Vec<(String, Span)> {
    let params = relation.params.iter().map(|param| &param.name);
    let columns = relation.columns.iter().map(|column| &column.name);
    let included = relation.includes.iter().map(|include| &include.name);
    params
        .chain(columns)
        .chain(included)
        .map(|name| (name.name.clone(), name.span))
        .collect()
}

/// Notes a fault where messages come in but every column is computed.
fn refuse_only_generated(relation: &Relation, options: &mut Options<'_>) {
    let (Some(first), Some(last)) = (relation.columns.first(), relation.columns.last()) else {
        return;
    };
    // What decodes messages takes a filter for them.
    if options.knows("jq")
        && relation
            .columns
            .iter()
            .all(|column| column.generated.is_some())
    {
        let message = "every column is generated, so nothing is left for the answer to fill";
        let fault = Diagnostic::new(first.name.span.to(last.name.span), message);
        options.fault(fault.help("declare a column without `AS (…)`"));
    }
}

fn is_not_null(relation: &Relation, name: &Ident, not_null: bool) -> bool {
    not_null || is_in_key(relation, name)
}

fn is_in_key(relation: &Relation, name: &Ident) -> bool {
    let key = relation.primary_key.as_ref();
    key.is_some_and(|key| key.columns.iter().any(|column| column.key() == name.key()))
}

/// Returns a query over `arrow($1)` with the columns cast to their types, and the trigger from `$2`.
fn base_sql(columns: &[Column]) -> String {
    let mut columns: Vec<String> = (columns.iter())
        .map(|column| {
            let name = quote_ident(&column.name);
            format!("CAST({name} AS {}) AS {name}", column.sql_type)
        })
        .collect();
    columns.push(format!("make_timestamp($2::BIGINT) AS {TRIGGER}"));
    format!("SELECT {} FROM arrow($1)", columns.join(", "))
}

/// Takes the option that only a relation with a watermark has.
fn idle_timeout(relation: &Relation, options: &mut Options<'_>) -> Option<Duration> {
    const KEY: &str = "watermark.idle_timeout";
    match (&relation.watermark, options.key_span(KEY)) {
        (None, None) => None,
        (Some(_), _) => options.duration_above_zero(KEY),
        (None, Some(place)) => {
            let fault = Diagnostic::new(place, format!("`{KEY}` without a watermark"));
            options.fault(
                fault.help("add `WATERMARK FOR ts AS ts - INTERVAL '5' SECOND` to the column list"),
            );
            options.duration_above_zero(KEY)
        }
    }
}

/// Binds the watermark: its column, as declared, and its expression.
fn watermark(
    binder: &Binder,
    watermark: &crate::sql::Watermark,
    bound: &Bound,
    faults: &mut Vec<Diagnostic>,
) -> Option<(String, String)> {
    let (column, _) = (bound.visible.iter())
        .find(|(name, _)| name.eq_ignore_ascii_case(&watermark.column.name))?;
    match bind_watermark(binder, &bound.visible, watermark) {
        Ok(expression) => Some((column.clone(), expression)),
        Err(fault) => {
            faults.push(*fault);
            None
        }
    }
}
