//! What each aggregate function keeps per group, and how it follows rows that come and go.
//!
//! Counts and exact sums follow both. The smallest, the largest, and sums of floating point numbers follow
//! rows that come; where a row goes that may have decided the value, the group is evaluated again from
//! its rows, so that nothing drifts. All other functions are evaluated again for every touched group.

use serde_json::Value;

use super::program::{Accumulator, Aggregate};
use super::tree::{column_path, select};
use crate::engine::shape::Reason;

/// A call of an aggregate function over the columns `_x…` of the rows.
pub(super) struct Call {
    pub name: String,
    pub distinct: bool,
    pub ordered: bool,
    pub arguments: Vec<Value>,
    pub filter: Option<Value>,
    /// The call itself.
    pub tree: Value,
}

/// A call with what decides how it is kept.
pub(super) struct Slot<'a> {
    pub index: usize,
    pub call: &'a Call,
    /// The type of its value.
    pub result: &'a str,
    /// Name and type of the columns of the rows.
    pub types: &'a [(String, String)],
    /// Rows of the group only ever come.
    pub grows: bool,
}

impl Slot<'_> {
    /// Adds the accumulators and the final value of the call to a stage.
    ///
    /// # Errors
    /// The call cannot be written as SQL.
    pub fn keep(
        &self,
        stage: &mut Aggregate,
        text: &dyn Fn(&Value) -> Result<String, Reason>,
    ) -> Result<(), Reason> {
        let (accumulators, last) = match self.mergeable(text)? {
            Some(kept) => kept,
            None => {
                stage.always_again = true;
                let whole = text(&select(
                    vec![self.call.tree.clone()],
                    serde_json::json!({"type": "EMPTY"}),
                ))?;
                let whole = whole
                    .trim()
                    .strip_prefix("SELECT ")
                    .unwrap_or(&whole)
                    .to_owned();
                let name = self.name("v");
                let column = Accumulator {
                    sql_type: self.result.to_owned(),
                    partial: whole,
                    merged: format!("new.{name}"),
                    lost: None,
                    name: name.clone(),
                };
                (vec![column], name)
            }
        };
        let last = share(stage, accumulators, last);
        stage
            .finals
            .push(format!("CAST({last} AS {})", self.result));
        Ok(())
    }

    fn name(&self, part: &str) -> String {
        format!("_a{}_{part}", self.index)
    }

    /// Returns accumulators and final value of a function that follows what comes; `None` for another one.
    fn mergeable(
        &self,
        text: &dyn Fn(&Value) -> Result<String, Reason>,
    ) -> Result<Option<(Vec<Accumulator>, String)>, Reason> {
        let call = self.call;
        let harmless = matches!(call.name.as_str(), "min" | "max" | "bool_and" | "bool_or");
        if (call.distinct || call.ordered) && !harmless {
            return Ok(None);
        }
        let mut arguments = Vec::new();
        for argument in &call.arguments {
            // A constant argument is a setting, or an oddity.
            match column_path(argument).map(|mut path| (path.pop(), path.pop())) {
                Some((Some(name), None)) => arguments.push(name),
                _ => return Ok(None),
            }
        }
        let filter = match &call.filter {
            None => "true".to_owned(),
            Some(filter) => match column_path(filter).as_deref() {
                Some([name]) => name.clone(),
                _ => text(&select(
                    vec![filter.clone()],
                    serde_json::json!({"type": "EMPTY"}),
                ))?
                .trim()
                .trim_start_matches("SELECT ")
                .to_owned(),
            },
        };
        let all: Vec<&str> = arguments.iter().map(String::as_str).collect();
        Ok(match (call.name.as_str(), all.as_slice()) {
            ("count_star", []) | ("count", []) => Some(self.rows(&filter)),
            ("count", [x]) => {
                let n = self.count("n", &format!("{filter} AND {x} IS NOT NULL"));
                Some((vec![n], self.name("n")))
            }
            ("count_if" | "countif", [x]) => {
                let n = self.count("n", &format!("{filter} AND {x}"));
                let some = self.count("c", &format!("{filter} AND {x} IS NOT NULL"));
                // Of no values it is NULL, not 0.
                let value = format!("CASE WHEN {} > 0 THEN {} END", some.name, n.name);
                Some((vec![n, some], value))
            }
            ("sum", [x]) => self.sum(x, &filter, "{s}"),
            ("avg" | "mean", [x]) => self.average(x, &filter),
            ("min", [x]) => Some(self.extreme(x, &filter, "<")),
            ("max", [x]) => Some(self.extreme(x, &filter, ">")),
            ("bool_and" | "bool_or", [x]) => Some(self.logic(x, &filter)),
            ("arg_min" | "argmin" | "min_by", [x, by]) => {
                Some(self.at_extreme((x, by), &filter, "<"))
            }
            ("arg_max" | "argmax" | "max_by", [x, by]) => {
                Some(self.at_extreme((x, by), &filter, ">"))
            }
            (
                "var_pop" | "var_samp" | "variance" | "stddev_pop" | "stddev_samp" | "stddev",
                [x],
            ) => Some(self.variance(x, &filter)),
            ("first" | "arbitrary" | "last" | "any_value", [x]) if self.grows => {
                Some(self.arrived(x, &filter))
            }
            _ => None,
        })
    }

    /// The number of rows; that of all rows every group has anyway.
    fn rows(&self, filter: &str) -> (Vec<Accumulator>, String) {
        if filter == "true" {
            return (Vec::new(), "_n".to_owned());
        }
        (vec![self.count("n", filter)], self.name("n"))
    }

    fn count(&self, part: &str, condition: &str) -> Accumulator {
        let name = self.name(part);
        Accumulator {
            sql_type: "BIGINT".to_owned(),
            partial: format!("coalesce(sum(_w) FILTER ({condition}), 0)::BIGINT"),
            merged: format!("old.{name} + new.{name}"),
            lost: None,
            name,
        }
    }

    /// Says whether a type is one whose sums are exact, and of which type they are.
    fn exact_sum(&self, x: &str) -> Option<&'static str> {
        let sql_type = self.type_of(x)?;
        match sql_type {
            _ if !is_exact(sql_type) => None,
            _ if sql_type.starts_with("DECIMAL(") => Some("DECIMAL"),
            _ => Some("HUGEINT"),
        }
    }

    fn is_float(&self, x: &str) -> bool {
        let sql_type = self.type_of(x);
        sql_type.is_some_and(|sql_type| ["FLOAT", "DOUBLE"].contains(&sql_type))
    }

    /// Returns the type of a column of the rows.
    fn type_of(&self, x: &str) -> Option<&str> {
        let mut types = self.types.iter();
        let (_, sql_type) = types.find(|(name, _)| name.eq_ignore_ascii_case(x))?;
        Some(sql_type)
    }

    /// The sum so far and the number of what it is of. `value` is the final value over `{s}` and `{n}`.
    fn sum(&self, x: &str, filter: &str, value: &str) -> Option<(Vec<Accumulator>, String)> {
        let (name, n) = (
            self.name("s"),
            self.count("n", &format!("{filter} AND {x} IS NOT NULL")),
        );
        let exact = self.exact_sum(x);
        let sum = match exact {
            Some(kind) => {
                let scale = |sql_type: &str| {
                    sql_type
                        .split(',')
                        .nth(1)
                        .map(|rest| format!("DECIMAL(38,{rest}"))
                };
                let of = self.type_of(x)?;
                let sql_type = if kind == "DECIMAL" {
                    scale(of)?
                } else {
                    kind.to_owned()
                };
                Accumulator {
                    partial: format!(
                        "coalesce(sum({x}) FILTER ({filter} AND _w > 0), 0)::{sql_type} \
                         - coalesce(sum({x}) FILTER ({filter} AND _w < 0), 0)::{sql_type}"
                    ),
                    merged: format!("old.{name} + new.{name}"),
                    lost: None,
                    name: name.clone(),
                    sql_type,
                }
            }
            None if self.is_float(x) => Accumulator {
                sql_type: "DOUBLE".to_owned(),
                partial: format!("coalesce(sum({x}) FILTER ({filter} AND _w > 0), 0)::DOUBLE"),
                merged: format!("old.{name} + new.{name}"),
                lost: Some(format!("{} AND gone.{x} IS NOT NULL", of_gone(filter))),
                name: name.clone(),
            },
            None => return None,
        };
        let value = value.replace("{s}", &name).replace("{n}", &n.name);
        let last = format!("CASE WHEN {} > 0 THEN {value} END", n.name);
        Some((vec![sum, n], last))
    }

    fn average(&self, x: &str, filter: &str) -> Option<(Vec<Accumulator>, String)> {
        if self.result != "DOUBLE" {
            return None;
        }
        self.sum(x, filter, "{s}::DOUBLE / {n}::DOUBLE")
    }

    /// The smallest or largest value; `before` is the comparison by which another one goes before it.
    fn extreme(&self, x: &str, filter: &str, before: &str) -> (Vec<Accumulator>, String) {
        let (name, function) = (self.name("m"), if before == "<" { "min" } else { "max" });
        let column = Accumulator {
            sql_type: self.result.to_owned(),
            partial: format!("{function}({x}) FILTER ({filter} AND _w > 0)"),
            merged: format!(
                "CASE WHEN old.{name} IS NULL OR new.{name} {before} old.{name} THEN new.{name} ELSE old.{name} END"
            ),
            lost: Some(format!(
                "{} AND gone.{x} IS NOT NULL AND (old.{name} IS NULL OR NOT (old.{name} {before} gone.{x}))",
                of_gone(filter)
            )),
            name: name.clone(),
        };
        (vec![column], name)
    }

    /// How many are true and how many false.
    fn logic(&self, x: &str, filter: &str) -> (Vec<Accumulator>, String) {
        let yes = self.count("t", &format!("{filter} AND {x}"));
        let no = self.count("f", &format!("{filter} AND NOT {x}"));
        let value = if self.call.name == "bool_and" {
            format!("{} = 0", no.name)
        } else {
            format!("{} > 0", yes.name)
        };
        let last = format!("CASE WHEN {} + {} > 0 THEN {value} END", yes.name, no.name);
        (vec![yes, no], last)
    }

    /// The value of one column where another one is smallest or largest.
    fn at_extreme(
        &self,
        (x, by): (&str, &str),
        filter: &str,
        before: &str,
    ) -> (Vec<Accumulator>, String) {
        let (value, key) = (self.name("x"), self.name("b"));
        let (function, extreme) = if before == "<" {
            ("arg_min", "min")
        } else {
            ("arg_max", "max")
        };
        let key_type = self.type_of(by).unwrap_or_default();
        let takes_new = format!("old.{key} IS NULL OR new.{key} {before} old.{key}");
        let merged =
            |name: &str| format!("CASE WHEN {takes_new} THEN new.{name} ELSE old.{name} END");
        let columns = vec![
            Accumulator {
                sql_type: self.result.to_owned(),
                partial: format!("{function}({x}, {by}) FILTER ({filter} AND _w > 0)"),
                merged: merged(&value),
                lost: Some(format!(
                    "{} AND gone.{x} IS NOT NULL AND gone.{by} IS NOT NULL \
                     AND (old.{key} IS NULL OR NOT (old.{key} {before} gone.{by}))",
                    of_gone(filter)
                )),
                name: value.clone(),
            },
            Accumulator {
                sql_type: key_type.to_owned(),
                partial: format!(
                    "{extreme}({by}) FILTER ({filter} AND _w > 0 AND {x} IS NOT NULL)"
                ),
                merged: merged(&key),
                lost: None,
                name: key,
            },
        ];
        (columns, value)
    }

    /// Number, mean and sum of squared distances from the mean, merged as by Chan, Golub and LeVeque,
    /// "Updating formulae and a pairwise algorithm for computing sample variances" (1979).
    fn variance(&self, x: &str, filter: &str) -> (Vec<Accumulator>, String) {
        let some = format!("{filter} AND {x} IS NOT NULL");
        let n = self.count("n", &some);
        let (mean, squares) = (self.name("mean"), self.name("m2"));
        let (count, here) = (&n.name, format!("{some} AND _w > 0"));
        let both = format!("(old.{count} + new.{count})");
        let apart = format!("(new.{mean} - old.{mean})");
        let either = |name: &str, merged: &str| {
            format!(
                "CASE WHEN new.{count} = 0 THEN old.{name} WHEN old.{count} = 0 THEN new.{name} ELSE {merged} END"
            )
        };
        let column = |name: &str, partial: String, merged: String| Accumulator {
            name: name.to_owned(),
            sql_type: "DOUBLE".to_owned(),
            partial,
            merged,
            lost: Some(format!("{} AND gone.{x} IS NOT NULL", of_gone(filter))),
        };
        let columns = vec![
            column(
                &mean,
                format!("coalesce(avg({x}) FILTER ({here}), 0)::DOUBLE"),
                either(
                    &mean,
                    &format!("old.{mean} + {apart} * new.{count} / {both}"),
                ),
            ),
            column(
                &squares,
                format!(
                    "coalesce(var_pop({x}) FILTER ({here}) * count({x}) FILTER ({here}), 0)::DOUBLE"
                ),
                either(
                    &squares,
                    &format!(
                        "old.{squares} + new.{squares} + {apart} * {apart} * old.{count} * new.{count} / {both}"
                    ),
                ),
            ),
        ];
        let name = self.call.name.as_str();
        let (divisor, least) = if name.ends_with("_pop") {
            (count.clone(), 0)
        } else {
            (format!("({count} - 1)"), 1)
        };
        let variance = format!("greatest({squares}, 0) / {divisor}");
        let value = if name.starts_with("stddev") {
            format!("sqrt({variance})")
        } else {
            variance
        };
        let last = format!("CASE WHEN {count} > {least} THEN {value} END");
        let mut all = vec![n];
        all.extend(columns);
        (all, last)
    }

    /// The first or last value that came.
    fn arrived(&self, x: &str, filter: &str) -> (Vec<Accumulator>, String) {
        let name = self.name("x");
        let condition = if self.call.name == "any_value" {
            format!("{filter} AND {x} IS NOT NULL")
        } else {
            filter.to_owned()
        };
        let n = self.count("n", &condition);
        let function = if self.call.name == "last" {
            "last"
        } else {
            "first"
        };
        let merged = if function == "last" {
            format!(
                "CASE WHEN new.{} > 0 THEN new.{name} ELSE old.{name} END",
                n.name
            )
        } else {
            format!(
                "CASE WHEN old.{} > 0 THEN old.{name} ELSE new.{name} END",
                n.name
            )
        };
        let column = Accumulator {
            sql_type: self.result.to_owned(),
            partial: format!("{function}({x}) FILTER ({condition})"),
            merged,
            lost: None,
            name: name.clone(),
        };
        (vec![column, n], name)
    }
}

/// Says whether sums of a type are exact, in whatever order they are made.
pub(super) fn is_exact(sql_type: &str) -> bool {
    matches!(
        sql_type,
        "TINYINT"
            | "SMALLINT"
            | "INTEGER"
            | "BIGINT"
            | "HUGEINT"
            | "UTINYINT"
            | "USMALLINT"
            | "UINTEGER"
            | "UBIGINT"
            | "BOOLEAN"
    ) || sql_type.starts_with("DECIMAL(")
}

/// Returns a filter as a condition on a row that goes.
fn of_gone(filter: &str) -> String {
    if filter.starts_with("_x") {
        format!("gone.{filter}")
    } else {
        filter.to_owned()
    }
}

/// Adds accumulators to a stage, but takes the one that is there where another call keeps the same. Returns the
/// final value over those.
fn share(stage: &mut Aggregate, accumulators: Vec<Accumulator>, last: String) -> String {
    let mut last = last;
    let first = stage.accumulators.len();
    let mut shared: Vec<(String, String)> = Vec::new();
    for mut column in accumulators {
        for (own, other) in &shared {
            column = column.renamed(own, other);
        }
        let same = (stage.accumulators.iter())
            .find(|other| column.clone().renamed(&column.name, &other.name) == **other);
        let Some(other) = same.map(|other| other.name.clone()) else {
            stage.accumulators.push(column);
            continue;
        };
        last = last.replace(&column.name, &other);
        // Those of this call that are there already may be merged by it.
        for added in &mut stage.accumulators[first..] {
            *added = added.clone().renamed(&column.name, &other);
        }
        shared.push((column.name, other));
    }
    last
}

impl Accumulator {
    /// Returns it over another name for a column. Names of accumulators are no parts of each other.
    fn renamed(self, from: &str, to: &str) -> Self {
        Self {
            name: self.name.replace(from, to),
            sql_type: self.sql_type,
            partial: self.partial.replace(from, to),
            merged: self.merged.replace(from, to),
            lost: self.lost.map(|lost| lost.replace(from, to)),
        }
    }
}
