//! Aggregates over the different values of an expression, as two aggregations: one by the groups and that
//! expression, and one over its rows, which are as many as there are different values.
//!
//! So `count(DISTINCT x)` follows what comes and goes like any other count.

use serde_json::{Value, json};

use super::aggregate::Parts;
use super::decompose::Decomposer;
use super::exact::Apart;
use super::slots::is_exact;
use super::tree::{
    base_table, column, column_path, columns_of, list, named, same_expression, select, unnamed,
};
use crate::engine::shape::Reason;

/// A query over groups: what it selects, HAVING and QUALIFY, with `_k…` for keys and `_a…` for calls.
pub(super) struct OverGroups {
    pub selected: Vec<Value>,
    pub having: Value,
    pub qualify: Value,
}

/// The column of the expression whose values are different.
const VALUE: &str = "_d";

impl Decomposer<'_> {
    /// Makes the relation of a query with aggregates over the different values of one expression, and otherwise only
    /// such as can be had of their values for parts of a group; `None` of any other query.
    pub(super) fn over_distinct(
        &mut self,
        node: &Value,
        (parts, over): (&Parts, &OverGroups),
    ) -> Result<Option<usize>, Reason> {
        let Some(value) = the_value(&parts.calls, &parts.apart) else {
            return Ok(None);
        };
        let is_constant = |expression: &Value| {
            let mut constant = true;
            columns_of(expression, &mut |_| constant = false);
            constant
        };
        if is_constant(&value) || parts.keys.iter().any(is_constant) {
            return Ok(None);
        }
        let Some(wholes) = self.wholes(node, &parts.calls)? else {
            return Ok(None);
        };
        let groups = parts.keys.len();
        let inner = self.relation(&by_value(node, parts, value))?;
        let name = self.name_of(inner).to_owned();
        let outer = |expression: &Value| replaced(expression, &wholes);
        let mut query = select(
            over.selected.iter().map(outer).collect(),
            base_table(&name, &name),
        );
        if groups > 0 {
            let keys = (0..groups).map(|index| column(&[&format!("_g{index}")]));
            query["group_expressions"] = keys.collect();
            query["group_sets"] = json!([(0..groups).collect::<Vec<_>>()]);
        }
        for (field, condition) in [("having", &over.having), ("qualify", &over.qualify)] {
            if condition.is_object() {
                query[field] = outer(condition);
            }
        }
        self.relation(&query).map(Some)
    }

    /// Returns each call over the whole group as an expression over the rows of its parts.
    fn wholes(&self, node: &Value, calls: &[Value]) -> Result<Option<Vec<Value>>, Reason> {
        let arguments: Vec<Value> = calls.iter().filter_map(argument).collect();
        let types = match arguments.is_empty() {
            true => Vec::new(),
            false => {
                let items = arguments.iter().enumerate();
                let items = items.map(|(index, item)| named(item, &format!("_x{index}")));
                self.describe(&select(items.collect(), node["from_table"].clone()))?
            }
        };
        let mut types = types.into_iter();
        let mut texts = Vec::new();
        for (index, call) in calls.iter().enumerate() {
            let exact = argument(call)
                .and_then(|_| types.next())
                .is_some_and(|(_, sql_type)| is_exact(&sql_type));
            let function = call["function_name"].as_str().unwrap_or("").to_lowercase();
            texts.push(match (function.as_str(), call["distinct"] == true) {
                ("count", true) => format!("count({VALUE})"),
                ("sum", true) if exact => format!("sum({VALUE})"),
                ("count" | "count_star", false) => {
                    format!("CAST(coalesce(sum(_p{index}), 0) AS BIGINT)")
                }
                ("sum", false) if exact => format!("sum(_p{index})"),
                ("min" | "max", false) => format!("{function}(_p{index})"),
                _ => return Ok(None),
            });
        }
        let tree = self.parse(&format!("SELECT {}", texts.join(", ")))?;
        Ok(Some(list(&tree["select_list"]).to_vec()))
    }
}

/// Returns the query by the groups and the expression whose values are different: `_g…` for the keys, [`VALUE`], and
/// `_p…` for the other calls.
fn by_value(node: &Value, parts: &Parts, value: Value) -> Value {
    let mut query = node.clone();
    if let Some(object) = query.as_object_mut() {
        object.remove("having");
        object.remove("qualify");
    }
    let keys = parts.keys.iter().enumerate();
    let mut items: Vec<Value> = keys
        .map(|(index, key)| named(key, &format!("_g{index}")))
        .collect();
    items.push(named(&value, VALUE));
    for (index, call) in parts.calls.iter().enumerate() {
        if call["distinct"] != true {
            items.push(named(call, &format!("_p{index}")));
        }
    }
    query["select_list"] = json!(items);
    query["group_expressions"] = parts.keys.iter().cloned().chain([value]).collect();
    query["group_sets"] = json!([(0..=parts.keys.len()).collect::<Vec<_>>()]);
    query["aggregate_handling"] = json!("STANDARD_HANDLING");
    query
}

/// Returns the one argument of a call.
fn argument(call: &Value) -> Option<Value> {
    match list(&call["arguments"]) {
        [argument] => Some(unnamed(&argument["expression"])),
        _ => None,
    }
}

/// Returns the expression whose different values the calls are about, if it is one, and no call has a filter or
/// an order.
fn the_value(calls: &[Value], apart: &Apart) -> Option<Value> {
    let plain = |call: &Value| {
        call.get("filter").is_none() && list(&call["order_bys"]["orders"]).is_empty()
    };
    let mut values = (calls.iter())
        .filter(|call| call["distinct"] == true)
        .map(argument);
    let value = values.next()??;
    let same =
        values.all(|other| other.is_some_and(|other| same_expression(&value, &other, apart)));
    (same && calls.iter().all(plain)).then_some(value)
}

/// Puts keys and calls of the second aggregation in the place of `_k…` and `_a…`.
fn replaced(expression: &Value, wholes: &[Value]) -> Value {
    if let Some([name]) = column_path(expression).as_deref() {
        let index = |prefix: &str| name.strip_prefix(prefix)?.parse::<usize>().ok();
        let found = match (index("_k"), index("_a")) {
            (Some(key), _) => Some(column(&[&format!("_g{key}")])),
            (_, Some(call)) => wholes.get(call).cloned(),
            _ => None,
        };
        if let Some(mut found) = found {
            if let Some(alias) = expression.get("alias") {
                found["alias"] = alias.clone();
            }
            return found;
        }
    }
    match expression {
        Value::Array(items) => items.iter().map(|item| replaced(item, wholes)).collect(),
        Value::Object(object) => {
            let children = object.iter();
            let children = children.map(|(key, child)| (key.clone(), replaced(child, wholes)));
            Value::Object(children.collect())
        }
        _ => expression.clone(),
    }
}
