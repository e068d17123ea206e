//! Makes one tree of a query and the views and CTEs under it, so that every relation it mentions is one
//! that has rows of its own.

use std::collections::HashMap;

use serde_json::Value;

use super::tree::{list, subquery};
use crate::engine::shape::Reason;
use crate::engine::syntax::{ctes, read_of};

/// A tree of more values is not taken apart: a view that is read twice stands in it twice, and so on.
const NODES_MAX: usize = 50_000;

/// A tree that is deeper is as good as too large: it is walked by functions that call themselves.
const DEPTH_MAX: usize = 400;

/// The trees of the views that a query may read, by name in lower case, each already inlined.
pub type Views = HashMap<String, Value>;

/// A CTE in scope: its name in lower case, its inlined query, the names of its columns.
type Scope = Vec<(String, Value, Value)>;

/// Returns the query with every view and CTE in the place where it is read.
///
/// # Errors
/// The query is recursive, or reads something in a way that cannot be moved.
pub fn inline(tree: &Value, views: &Views) -> Result<Value, Reason> {
    node(tree, views, &mut Vec::new())
}

fn node(tree: &Value, views: &Views, scope: &mut Scope) -> Result<Value, Reason> {
    if tree["type"] == "RECURSIVE_CTE_NODE" {
        return Err("it is recursive".to_owned());
    }
    let depth = scope.len();
    let entries = list(&tree["cte_map"]["map"]);
    for ((name, query), entry) in ctes(tree).zip(entries) {
        let query = node(query, views, scope)?;
        let aliases = entry["value"]["aliases"].clone();
        scope.push((name.to_lowercase(), query, aliases));
    }
    let mut inlined = tree.clone();
    if let Some(object) = inlined.as_object_mut() {
        object.insert("cte_map".to_owned(), serde_json::json!({}));
        for (_, child) in object.iter_mut().filter(|(key, _)| *key != "cte_map") {
            *child = value(child, views, scope)?;
        }
    }
    scope.truncate(depth);
    if size(&inlined, 0) > NODES_MAX {
        return Err("with its views and CTEs in place it is very large".to_owned());
    }
    if inlined["type"] == "CTE_NODE" {
        return Ok(inlined["child"].take());
    }
    Ok(inlined)
}

/// Counts the values of a tree.
fn size(tree: &Value, depth: usize) -> usize {
    if depth > DEPTH_MAX {
        return NODES_MAX + 1;
    }
    match tree {
        Value::Array(items) => {
            items
                .iter()
                .map(|item| size(item, depth + 1))
                .sum::<usize>()
                + 1
        }
        Value::Object(object) => {
            let sizes = object.values().map(|child| size(child, depth + 1));
            sizes.fold(1, usize::saturating_add)
        }
        _ => 1,
    }
}

fn value(tree: &Value, views: &Views, scope: &mut Scope) -> Result<Value, Reason> {
    match tree {
        Value::Array(items) => {
            let items: Result<Vec<Value>, Reason> =
                (items.iter().map(|item| value(item, views, scope))).collect();
            Ok(Value::Array(items?))
        }
        Value::Object(_) if tree.get("cte_map").is_some() => node(tree, views, scope),
        Value::Object(object) => {
            if tree["type"] == "BASE_TABLE" {
                return mention(tree, views, scope);
            }
            let mut inlined = serde_json::Map::new();
            for (key, child) in object {
                inlined.insert(key.clone(), value(child, views, scope)?);
            }
            Ok(Value::Object(inlined))
        }
        _ => Ok(tree.clone()),
    }
}

fn mention(table: &Value, views: &Views, scope: &Scope) -> Result<Value, Reason> {
    if table.get("sample").is_some() {
        return Err("it samples".to_owned());
    }
    if table.get("at_clause").is_some() {
        return Err("it has AT".to_owned());
    }
    let Some(read) = read_of(table, &[]) else {
        return Ok(table.clone());
    };
    if read.qualified {
        return Err(format!("it names `{}` with a schema", read.name));
    }
    let key = read.name.to_lowercase();
    let cte = scope.iter().rev().find(|(name, _, _)| *name == key);
    let (query, aliases) = match (cte, views.get(&key)) {
        (Some((_, query, aliases)), _) => (query, aliases),
        (None, Some(query)) => (query, &Value::Null),
        (None, None) => return Ok(table.clone()),
    };
    let alias = table["alias"].as_str().unwrap_or(&read.name);
    let mut inlined = subquery(query.clone(), alias);
    let own = table.get("column_name_alias");
    let names = match (own, list(aliases).is_empty()) {
        (Some(_), false) => return Err(format!("it renames the columns of `{}` twice", read.name)),
        (Some(own), true) => own.clone(),
        (None, _) => aliases.clone(),
    };
    if !list(&names).is_empty() {
        inlined["column_name_alias"] = names;
    }
    Ok(inlined)
}

/// Returns the name of a function in a tree that does not always give the same value for the same arguments.
pub fn calls_volatile(tree: &Value, volatile: &dyn Fn(&str) -> bool) -> Option<String> {
    let call = volatile_call(tree, volatile)?;
    called(call).map(str::to_owned)
}

/// Returns a call of such a function.
pub fn volatile_call<'t>(tree: &'t Value, volatile: &dyn Fn(&str) -> bool) -> Option<&'t Value> {
    match tree {
        Value::Array(items) => items.iter().find_map(|item| volatile_call(item, volatile)),
        Value::Object(object) => {
            let changes = called(tree).is_some_and(|name| volatile(&name.to_lowercase()));
            let mut children = object.values();
            match changes {
                true => Some(tree),
                false => children.find_map(|child| volatile_call(child, volatile)),
            }
        }
        _ => None,
    }
}

/// Returns the name of the function that an expression calls.
fn called(expression: &Value) -> Option<&str> {
    match expression["class"].as_str() {
        Some("FUNCTION" | "WINDOW") => expression["function_name"].as_str(),
        // `current_date` is a function that looks like a column.
        Some("COLUMN_REF") => match list(&expression["column_names"]) {
            [name] => name.as_str().filter(|name| {
                let name = name.to_lowercase();
                name.starts_with("current_") || name.starts_with("localtime")
            }),
            _ => None,
        },
        _ => None,
    }
}
