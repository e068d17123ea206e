//! What keeps a query from being followed exactly, told by its form alone: where equal values are not the same, or two
//! expressions are written alike and mean different columns.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::decompose::Decomposer;
use super::tree::{any, list, named, select};
use crate::engine::shape::Reason;

/// Returns the query with `CROSS JOIN` in the place of each comma between tables, which leaves no room for more joins.
pub(super) fn with_explicit_joins(tree: &Value) -> Value {
    match tree {
        Value::Array(items) => Value::Array(items.iter().map(with_explicit_joins).collect()),
        Value::Object(object) => {
            let members = object.iter();
            let members = members.map(|(key, child)| (key.clone(), with_explicit_joins(child)));
            let mut explicit = Value::Object(members.collect());
            if tree["type"] == "JOIN" {
                explicit["is_implicit"] = Value::Bool(false);
            }
            explicit
        }
        _ => tree.clone(),
    }
}

/// Refuses what is not followed exactly.
///
/// # Errors
/// What it is.
pub(super) fn refuse_inexact(tree: &Value) -> Result<(), Reason> {
    if any(tree, &|value| value["class"] == "COLLATE") {
        return Err("it compares by COLLATE".to_owned());
    }
    if any(tree, &|value| {
        value["class"] == "STAR" && value["columns"] == true && value["expr"].is_object()
    }) {
        return Err("it has COLUMNS".to_owned());
    }
    Ok(())
}

/// Which qualified names are the column of their last part alone, in one SELECT: `s.x` may be a field of a struct, and
/// `b.x` of `a LEFT JOIN b USING (x)` is not `x`.
#[derive(Default)]
pub(super) struct Apart {
    /// The names of the tables, in lower case.
    tables: HashSet<String>,
    /// Columns by which outer joins are made with USING.
    merged: HashSet<String>,
}

impl Apart {
    /// Looks at the FROM clause of a query node; what is in its subqueries has other names.
    pub fn of(node: &Value) -> Self {
        let mut apart = Self::default();
        apart.collect(&node["from_table"]);
        apart
    }

    fn collect(&mut self, table: &Value) {
        let text = |key: &str| table[key].as_str().unwrap_or("").to_lowercase();
        if table["type"] != "JOIN" {
            let alias = Some(text("alias")).filter(|alias| !alias.is_empty());
            self.tables
                .insert(alias.unwrap_or_else(|| text("table_name")));
            return;
        }
        if !matches!(text("join_type").as_str(), "" | "inner") {
            let using = list(&table["using_columns"]).iter();
            let using = using.filter_map(Value::as_str);
            self.merged.extend(using.map(str::to_lowercase));
        }
        self.collect(&table["left"]);
        self.collect(&table["right"]);
    }

    /// Says whether a name with a qualifier is another column than the one of its last part alone.
    pub fn has(&self, first: &str, last: &str) -> bool {
        !self.tables.contains(first) || self.merged.contains(last)
    }
}

impl Decomposer<'_> {
    /// Makes sure that the keys of the one side, as they are, find all that equals them on the other. Either side comes
    /// with the table reference that it is over.
    pub(super) fn check_keys(
        &self,
        (inner, of): (&[Value], &Value),
        (outer, others): (&[Value], &Value),
    ) -> Result<(), Reason> {
        let types = |keys: &[Value], table: &Value| -> Result<Vec<String>, Reason> {
            let mut table = table.clone();
            if table["type"] == "JOIN" {
                // Both sides are there to be named.
                table["join_type"] = json!("INNER");
            }
            let keys = (keys.iter().enumerate()).map(|(key, of)| named(of, &format!("_k{key}")));
            let columns = self.describe(&select(keys.collect(), table))?;
            Ok(columns.into_iter().map(|(_, sql_type)| sql_type).collect())
        };
        let (inner, outer) = (types(inner, of)?, types(outer, others)?);
        let mut pairs = inner.iter().zip(&outer);
        match pairs.find(|(inner, outer)| !compares_exactly(inner, outer)) {
            Some((inner, outer)) => Err(format!("it looks up {inner} by {outer}")),
            None => Ok(()),
        }
    }
}

/// Says whether an equality of two types leaves different values of either different, so that who knows a value of
/// the one side finds all that are equal to it.
fn compares_exactly(left: &str, right: &str) -> bool {
    /// Up to 32 bits, which a DOUBLE holds.
    const SMALL: [&str; 6] = [
        "TINYINT",
        "SMALLINT",
        "INTEGER",
        "UTINYINT",
        "USMALLINT",
        "UINTEGER",
    ];
    const LARGE: [&str; 3] = ["BIGINT", "UBIGINT", "HUGEINT"];
    const TIMES: [&str; 4] = ["DATE", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP"];
    let both = |fits: &dyn Fn(&str) -> bool| fits(left) && fits(right);
    let is_decimal = |sql_type: &str| sql_type.starts_with("DECIMAL(");
    let is_whole = |sql_type: &str| SMALL.contains(&sql_type) || LARGE.contains(&sql_type);
    left == right
        || both(&is_whole)
        || both(&|sql_type| is_decimal(sql_type) || (is_whole(sql_type) && sql_type != "HUGEINT"))
        || both(&|sql_type| SMALL.contains(&sql_type) || sql_type == "DOUBLE")
        || both(&|sql_type| ["FLOAT", "DOUBLE"].contains(&sql_type))
        || both(&|sql_type| TIMES.contains(&sql_type))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_of_exact_types_are_one_value() {
        for (left, right) in [
            ("VARCHAR", "VARCHAR"),
            ("INTEGER", "HUGEINT"),
            ("INTEGER", "DOUBLE"),
            ("BIGINT", "DECIMAL(9,2)"),
            ("DATE", "TIMESTAMP"),
        ] {
            assert!(compares_exactly(left, right) && compares_exactly(right, left));
        }
        for (left, right) in [
            ("VARCHAR", "INTEGER"),
            ("BIGINT", "DOUBLE"),
            ("INTEGER", "FLOAT"),
            ("UUID", "VARCHAR"),
            ("DECIMAL(9,2)", "DOUBLE"),
            ("TIMESTAMP", "TIMESTAMP WITH TIME ZONE"),
        ] {
            assert!(!compares_exactly(left, right) && !compares_exactly(right, left));
        }
    }
}
