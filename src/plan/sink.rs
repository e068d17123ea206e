//! Sinks: a relation or query, bound, and the connector that writes its rows.

use std::sync::Arc;

use super::build::Builder;
use super::connect::{Role, connector_of, faults_of};
use super::derived::{feed_of, kept_layout};
use super::node::{DerivedPlan, Maintenance, SinkPlan, Work};
use crate::batch::datatypes::{self, Field};
use crate::batch::{Schema, mark_json};
use crate::connector::{Changes, SinkConnector, Unknown};
use crate::diagnostic::{Diagnostic, Span};
use crate::engine::types::without_arrow;
use crate::engine::{Layout, Stored};
use crate::sql::{EntityKind, Ident, OptionList, SqlText};

impl Builder<'_> {
    pub(super) fn sink(
        &mut self,
        name: &Ident,
        emit_on_window_close: Option<Span>,
        list: &OptionList,
    ) -> Option<Work> {
        let (query, _) = self.queries.get(&name.key())?.clone();
        let written = self.written(name, &query);
        let schema = written
            .as_ref()
            .map_or_else(no_columns, |(_, schema)| Arc::clone(schema));
        let connected = self.sink_connector(list, &schema);
        let (columns, schema) = written?;
        let mut info = self.feed(name, &query)?;
        self.check_errors(name, EntityKind::Sink, &info)?;
        let by_time = match emit_on_window_close {
            Some(emit) => Some(Maintenance::WindowClose(
                self.closing(name, &mut info, emit)?,
            )),
            None if info.linear.is_err() => {
                let horizon = self.interval_join(name, &info);
                horizon.map(Maintenance::IntervalJoin)
            }
            None => None,
        };
        let (connector, snapshot) = connected?;
        let owner = format!("{} result", name.name);
        let maintenance = self.maintenance((name, &owner), &info, &columns);
        let changing = by_time.is_none() && kept_layout(&info, &maintenance) == Layout::Changing;
        if let (true, Changes::Refused { advice }) = (changing, connector.changes()) {
            let message = "this sink takes rows that only come, but those of its relation change";
            self.faults
                .push(Diagnostic::new(name.span, message).help(advice));
            return None;
        }
        let alone = maintenance == Maintenance::Linear && info.feed.lookups.is_empty();
        let kept = by_time.is_some() || !alone;
        if let (true, Some(fault)) = (kept, self.binder.own_column(&query, &columns)) {
            self.faults.push(fault);
            return None;
        }
        let (feed, result) = if let Some(maintenance) = by_time {
            let result = DerivedPlan {
                stored: result_of(name, columns, Layout::Passing),
                feed: info.feed,
                maintenance,
            };
            (feed_of(result.stored.clone()), Some(result))
        } else if alone {
            (info.feed, None)
        } else {
            let grows = !changing || maintenance == Maintenance::Linear;
            let layout = if grows {
                Layout::Passing
            } else {
                Layout::Changing
            };
            let stored = result_of(name, columns, layout);
            let result = self.derived((name, &query), info, stored.clone(), maintenance)?;
            (feed_of(stored), Some(result))
        };
        Some(Work::Sink(SinkPlan {
            connector,
            schema,
            feed,
            result,
            snapshot,
        }))
    }

    /// Checks the options of a sink whose columns are not known.
    pub(super) fn check_sink_options(&mut self, list: &OptionList) {
        self.sink_connector(list, &no_columns());
    }

    /// Returns what a sink of this query writes.
    fn written(
        &mut self,
        name: &Ident,
        query: &SqlText,
    ) -> Option<(Vec<(String, String)>, Schema)> {
        match self.columns_of_sink(name, query) {
            Ok(columns) => {
                let schema = self.sink_schema(query, &columns)?;
                Some((columns, schema))
            }
            Err(fault) => {
                self.faults.push(*fault);
                None
            }
        }
    }

    /// Returns the columns of a sink's query; those of a view that is written as it is are known.
    fn columns_of_sink(
        &self,
        name: &Ident,
        query: &SqlText,
    ) -> Result<Vec<(String, String)>, Box<Diagnostic>> {
        let known = (self.queries.get(&name.key()))
            .filter(|_| self.is_whole_relation(&name.key()))
            .and_then(|(_, parsed)| self.found.described(&parsed.reads.first()?.name));
        match known {
            Some(columns) => Ok(columns),
            None => self.binder.describe(self.catalog, query),
        }
    }

    /// Returns the connector with its options taken, and whether rows from before are written too.
    fn sink_connector(
        &mut self,
        list: &OptionList,
        schema: &Schema,
    ) -> Option<(Arc<dyn SinkConnector>, bool)> {
        let (mut options, connector) =
            connector_of(&self.settings, list, Role::Sink, &mut self.faults).ok()?;
        let snapshot = options.boolean("snapshot").unwrap_or(true);
        let made = connector.sink?(&mut options, schema).or_else(|| Unknown::sink(&options));
        let faults = faults_of(options);
        let sound = faults.is_empty();
        self.faults.extend(faults);
        made.filter(|_| sound)
            .map(|connector| (Arc::from(connector), snapshot))
    }

    /// Returns the schema of a sink's rows, JSON columns marked as such.
    fn sink_schema(&mut self, query: &SqlText, columns: &[(String, String)]) -> Option<Schema> {
        let unknown = columns
            .iter()
            .find_map(|(name, sql_type)| Some((name, without_arrow(sql_type)?)));
        if let Some((name, part)) = unknown {
            let message = format!("column `{name}` is {part}, which cannot be written");
            let help = match part {
                "UHUGEINT" => "cast it to HUGEINT or VARCHAR in a query",
                _ => "cast it to VARCHAR in a query",
            };
            self.faults
                .push(Diagnostic::new(query.span, message).help(help));
            return None;
        }
        let of_types: Option<Vec<Field>> = (columns.iter())
            .map(|(name, sql_type)| {
                let sql_type = SqlText::new(sql_type.clone(), query.span);
                let arrow = self.types.arrow(self.binder, &sql_type).ok()?;
                Some(Field::new(name, arrow, true))
            })
            .collect();
        let schema = match of_types {
            Some(fields) => Ok(Arc::new(datatypes::Schema::new(fields))),
            // A type whose name cannot be written.
            None => self.binder.session().schema(&query.text),
        };
        match schema {
            Ok(schema) => Some(mark_json(&schema, columns)),
            Err(error) => {
                self.faults
                    .push(Diagnostic::new(query.span, error.to_string()));
                None
            }
        }
    }
}

/// Returns the schema that stands for one that is not known.
fn no_columns() -> Schema {
    Arc::new(datatypes::Schema::empty())
}

/// Returns the hidden relation behind a sink.
fn result_of(name: &Ident, columns: Vec<(String, String)>, layout: Layout) -> Stored {
    Stored {
        name: format!("{} result", name.name),
        columns,
        layout,
        visible: false,
    }
}
