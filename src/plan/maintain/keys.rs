//! The keys by which one side of a join or a subquery is looked up: equalities between expressions of
//! either side.

use serde_json::{Value, json};

use super::tree::{column, columns_of, conjuncts, has_subquery, has_window, list, unnamed};
use crate::engine::shape::Reason;

/// A table in scope.
#[derive(Clone, Debug)]
pub(super) struct Table {
    /// In lower case.
    alias: String,
    /// In lower case; `None` where they are not known.
    columns: Option<Vec<String>>,
}

impl Table {
    /// Describes a table reference whose relation has these columns; its own names for them go before.
    pub fn of(table: &Value, columns: Option<Vec<String>>) -> Self {
        let alias = table["alias"].as_str().or(table["table_name"].as_str());
        let renamed = list(&table["column_name_alias"]).iter();
        let renamed: Vec<String> = renamed
            .filter_map(|name| Some(name.as_str()?.to_lowercase()))
            .collect();
        let columns = columns.map(|columns| {
            let rest = columns.iter().skip(renamed.len());
            let rest = rest.map(|name| name.to_lowercase());
            renamed.iter().cloned().chain(rest).collect()
        });
        Self {
            alias: alias.unwrap_or("").to_lowercase(),
            columns,
        }
    }

    fn has(&self, column: &str) -> bool {
        let columns = self.columns.as_deref().unwrap_or_default();
        columns.iter().any(|name| name == column)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Inner,
    Outer,
}

/// Says of which side all columns of an expression are; `None` if of none, of both, or if it cannot be told.
fn side_of(expression: &Value, inner: &Table, others: &[Table]) -> Option<Side> {
    if has_subquery(expression) || has_window(expression) {
        return None;
    }
    let mut sides = Vec::new();
    columns_of(expression, &mut |path| {
        let side = match path.as_slice() {
            [name] if inner.has(name) => Some(Side::Inner),
            [_] => Some(Side::Outer),
            [first, ..] if *first == inner.alias => Some(Side::Inner),
            [first, ..] if others.iter().any(|table| table.alias == *first) => Some(Side::Outer),
            _ => None,
        };
        sides.push(side);
    });
    let first = (*sides.first()?)?;
    sides
        .iter()
        .all(|side| *side == Some(first))
        .then_some(first)
}

/// Returns the pairs of expressions, of the inner table and of the others, that a join holds equal.
pub(super) fn equalities(join: &Value, inner: &Table, others: &[Table]) -> Vec<(Value, Value)> {
    let mut pairs = pairs_of(&join["condition"], inner, others);
    for name in list(&join["using_columns"]) {
        let Some(name) = name.as_str() else {
            continue;
        };
        let outer = match others {
            [one] => column(&[&one.alias, name]),
            _ => column(&[name]),
        };
        pairs.push((column(&[&inner.alias, name]), outer));
    }
    pairs
}

fn pairs_of(condition: &Value, inner: &Table, others: &[Table]) -> Vec<(Value, Value)> {
    let mut pairs = Vec::new();
    for conjunct in conjuncts(condition) {
        if conjunct["type"] != "COMPARE_EQUAL" {
            continue;
        }
        let (left, right) = (&conjunct["left"], &conjunct["right"]);
        match (side_of(left, inner, others), side_of(right, inner, others)) {
            (Some(Side::Inner), Some(Side::Outer)) => pairs.push((unnamed(left), unnamed(right))),
            (Some(Side::Outer), Some(Side::Inner)) => pairs.push((unnamed(right), unnamed(left))),
            _ => {}
        }
    }
    pairs
}

/// A subquery in a filter that asks whether one relation has a row with a key.
pub(super) struct KeyedSubquery {
    pub relation: usize,
    /// Its mention of the relation.
    pub table: Value,
    pub alias: String,
    pub inner: Vec<Value>,
    pub outer: Vec<Value>,
}

impl KeyedSubquery {
    /// Puts another table reference in the place of the mention.
    pub fn replace(&self, condition: &mut Value, table: Value) {
        let subquery = match condition["type"].as_str() {
            Some("OPERATOR_NOT") => &mut condition["children"][0],
            _ => condition,
        };
        subquery["subquery"]["node"]["from_table"] = table;
    }
}

/// Returns number and columns of a relation by name.
pub(super) type FindRelation<'a> = dyn Fn(&str) -> Option<(usize, Vec<String>)> + 'a;

/// Finds `EXISTS (…)`, `NOT EXISTS (…)` and `x IN (SELECT …)` over one relation.
pub(super) fn keyed_subquery(
    condition: &Value,
    relation: &FindRelation<'_>,
) -> Result<KeyedSubquery, Reason> {
    let other = || "it has a subquery that is not looked up by key".to_owned();
    let (subquery, negated) = match condition["type"].as_str() {
        Some("OPERATOR_NOT") => (&condition["children"][0], true),
        _ => (condition, false),
    };
    let node = &subquery["subquery"]["node"];
    let table = &node["from_table"];
    let absent = |field: &str| node.get(field).is_none_or(|value| list(value).is_empty());
    let simple = subquery["class"] == "SUBQUERY"
        && node["type"] == "SELECT_NODE"
        && table["type"] == "BASE_TABLE"
        && ["group_expressions", "group_sets", "modifiers"]
            .into_iter()
            .all(absent)
        && ["having", "qualify", "sample"]
            .into_iter()
            .all(|field| node.get(field).is_none())
        && node["aggregate_handling"] != "FORCE_AGGREGATES"
        && !has_subquery(&node["where_clause"])
        && !has_subquery(&node["select_list"])
        && !has_window(&node["select_list"]);
    if !simple {
        return Err(other());
    }
    let name = table["table_name"].as_str().unwrap_or("");
    let (relation, columns) = relation(name).ok_or_else(other)?;
    let alias = table["alias"].as_str().unwrap_or(name).to_owned();
    let inner = Table::of(table, Some(columns));
    let pairs = match subquery["subquery_type"].as_str() {
        Some("EXISTS") => {
            // Only constants: an aggregate here would make a row of no rows.
            let constants = list(&node["select_list"]).iter();
            let mut classes = constants.map(|item| item["class"].as_str().unwrap_or(""));
            if !classes.all(|class| ["CONSTANT", "STAR", "COLUMN_REF"].contains(&class)) {
                return Err(other());
            }
            let outside = outside_tables(&node["where_clause"], &inner);
            pairs_of(&node["where_clause"], &inner, &outside)
        }
        Some("ANY") if !negated && subquery["comparison_type"] == "COMPARE_EQUAL" => {
            let [item] = list(&node["select_list"]) else {
                return Err(other());
            };
            let child = &subquery["child"];
            let own =
                item["class"] == "COLUMN_REF" && side_of(item, &inner, &[]) == Some(Side::Inner);
            if !own || has_subquery(child) || child["function_name"] == "row" {
                return Err(other());
            }
            vec![(unnamed(item), unnamed(child))]
        }
        _ => return Err(other()),
    };
    if pairs.is_empty() {
        return Err(other());
    }
    let (inner, outer) = pairs.into_iter().unzip();
    Ok(KeyedSubquery {
        relation,
        table: json!(table),
        alias,
        inner,
        outer,
    })
}

/// In a subquery, whatever is qualified by another name than its own table's is from outside. A name that
/// is a column of its own table may be a struct.
fn outside_tables(condition: &Value, inner: &Table) -> Vec<Table> {
    let mut tables = Vec::new();
    columns_of(condition, &mut |path| {
        if let [first, _, ..] = path.as_slice()
            && *first != inner.alias
            && !inner.has(first)
        {
            tables.push(Table {
                alias: first.clone(),
                columns: None,
            });
        }
    });
    tables
}
