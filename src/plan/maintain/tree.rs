//! Pieces of DuckDB's tree of a query: made, compared, walked.
//!
//! Knows the form of the JSON and nothing of what a query means.

use serde_json::{Value, json};

use super::exact::Apart;

/// Returns the items of a JSON array, none for anything else.
pub fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Returns a mention of a relation under an alias.
pub fn base_table(name: &str, alias: &str) -> Value {
    json!({
        "type": "BASE_TABLE", "alias": alias, "table_name": name, "qualified_name": {"path": [name]},
    })
}

/// Returns a mention of a column.
pub fn column(path: &[&str]) -> Value {
    json!({"class": "COLUMN_REF", "type": "COLUMN_REF", "column_names": path})
}

/// Returns a whole number.
pub fn number(value: usize) -> Value {
    json!({
        "class": "CONSTANT", "type": "VALUE_CONSTANT",
        "literal": {"kind": "INTEGER", "text": value.to_string()},
    })
}

/// Returns an expression under another name.
pub fn named(expression: &Value, name: &str) -> Value {
    let mut expression = expression.clone();
    expression["alias"] = json!(name);
    expression
}

/// Returns an expression without the name it has in a select list.
pub fn unnamed(expression: &Value) -> Value {
    let mut expression = expression.clone();
    if let Some(object) = expression.as_object_mut() {
        object.remove("alias");
    }
    expression
}

/// Returns a query of some expressions over a table reference.
pub fn select(list: Vec<Value>, from: Value) -> Value {
    json!({
        "type": "SELECT_NODE", "cte_map": {}, "select_list": list, "from_table": from,
        "aggregate_handling": "STANDARD_HANDLING",
    })
}

/// Returns a query as a table reference.
pub fn subquery(node: Value, alias: &str) -> Value {
    json!({"type": "SUBQUERY", "alias": alias, "subquery": {"node": node}})
}

/// Returns a key that is NULL where it cannot be computed: a query may ask it of other rows than its own evaluation
/// does, which leaves out those that a condition beside the key does.
pub fn tried(key: &Value) -> Value {
    if key["class"] == "COLUMN_REF" {
        return key.clone();
    }
    json!({"class": "OPERATOR", "type": "OPERATOR_TRY", "children": [unnamed(key)]})
}

/// How two keys are held to be the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Same {
    /// NULL is no key.
    Equal,
    /// NULL is a key like any other.
    NotDistinct,
}

/// Returns the condition that expressions are the key columns `_k0`, `_k1`, … of a table.
pub fn keys_are(expressions: &[Value], table: &str, same: Same) -> Value {
    let kind = match same {
        Same::Equal => "COMPARE_EQUAL",
        Same::NotDistinct => "COMPARE_NOT_DISTINCT_FROM",
    };
    let mut pairs: Vec<Value> = (expressions.iter().enumerate())
        .map(|(index, expression)| {
            json!({
                "class": "COMPARISON", "type": kind, "left": unnamed(expression),
                "right": column(&[table, &format!("_k{index}")]),
            })
        })
        .collect();
    if pairs.len() == 1 {
        return pairs.remove(0);
    }
    json!({"class": "CONJUNCTION", "type": "CONJUNCTION_AND", "children": pairs})
}

/// Returns a table reference with only the rows that have a partner in another table.
pub fn semi_join(left: Value, table: &str, condition: Value) -> Value {
    json!({
        "type": "JOIN", "left": left, "right": base_table(table, table), "condition": condition,
        "join_type": "SEMI", "ref_type": "REGULAR", "is_implicit": false,
    })
}

/// Returns the parts that an expression joins by AND.
pub fn conjuncts(expression: &Value) -> Vec<&Value> {
    if expression["type"] == "CONJUNCTION_AND" {
        return list(&expression["children"])
            .iter()
            .flat_map(conjuncts)
            .collect();
    }
    if expression.is_object() {
        vec![expression]
    } else {
        Vec::new()
    }
}

/// Says whether two expressions of one query are the same but for their own names, places and left-out qualifiers.
pub fn same_expression(left: &Value, right: &Value, apart: &Apart) -> bool {
    same(left, right, (apart, true))
}

/// As [`same_expression`]; names within an expression are parts of it, as those of the fields of a type are.
fn same(left: &Value, right: &Value, (apart, outermost): (&Apart, bool)) -> bool {
    let within = (apart, false);
    match (left, right) {
        (Value::Object(a), Value::Object(b)) => {
            if let (Some(a), Some(b)) = (column_path(left), column_path(right)) {
                return same_column(&a, &b, apart);
            }
            let skipped = |key: &&String| match key.as_str() {
                "alias" => !outermost,
                key => !["query_location", "query_location_length"].contains(&key),
            };
            let mut keys: Vec<&String> = a.keys().chain(b.keys()).filter(skipped).collect();
            keys.sort();
            keys.dedup();
            keys.iter().all(|key| match (a.get(*key), b.get(*key)) {
                (Some(Value::String(a)), Some(Value::String(b))) if *key == "function_name" => {
                    a.eq_ignore_ascii_case(b)
                }
                (Some(a), Some(b)) => *key == "qualified_name" || same(a, b, within),
                _ => false,
            })
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b, within))
        }
        _ => left == right,
    }
}

/// Returns the parts of a column's name, in lower case, if the expression is one.
pub fn column_path(expression: &Value) -> Option<Vec<String>> {
    if expression["class"] != "COLUMN_REF" {
        return None;
    }
    let parts = list(&expression["column_names"]).iter();
    Some(
        parts
            .filter_map(|part| Some(part.as_str()?.to_lowercase()))
            .collect(),
    )
}

/// In a query that binds, a name without qualifier is that of one column only.
fn same_column(a: &[String], b: &[String], apart: &Apart) -> bool {
    match (a, b) {
        ([x], [first, last]) | ([first, last], [x]) => x == last && !apart.has(first, last),
        _ => a == b,
    }
}

/// Says whether any object in a tree, the root included, fits.
pub fn any(value: &Value, fits: &dyn Fn(&Value) -> bool) -> bool {
    match value {
        Value::Array(items) => items.iter().any(|item| any(item, fits)),
        Value::Object(object) => fits(value) || object.values().any(|child| any(child, fits)),
        _ => false,
    }
}

/// Calls `each` for every column that an expression names outside of subqueries.
pub fn columns_of(expression: &Value, each: &mut dyn FnMut(Vec<String>)) {
    if let Some(path) = column_path(expression) {
        each(path);
        return;
    }
    match expression {
        Value::Array(items) => items.iter().for_each(|item| columns_of(item, each)),
        Value::Object(object) => object.values().for_each(|child| columns_of(child, each)),
        _ => {}
    }
}

/// Says whether an expression has a subquery in it.
pub fn has_subquery(expression: &Value) -> bool {
    any(expression, &|value| value["class"] == "SUBQUERY")
}

/// Says whether an expression has a window function in it.
pub fn has_window(expression: &Value) -> bool {
    any(expression, &|value| value["class"] == "WINDOW")
}
