//! Whether a query is linear: whether its answer to more rows is its old answer plus its answer to the
//! new rows alone.
//!
//! Select, filter, project, unnest and `UNION ALL` over one stream per branch are linear. What is not
//! is said with the reason, which `EXPLAIN` shows.

use std::collections::HashSet;

use serde_json::Value;

use super::syntax::{ctes, read_of};

/// Why a query is not linear, in words that follow "because".
pub type Reason = String;

/// Says whether a query is linear in the relations for which `is_stream` answers true.
///
/// # Errors
/// The first reason found why it is not. A branch that reads no stream is a reason too: it would come
/// again with every batch.
pub fn linear(
    tree: &Value,
    aggregates: &HashSet<String>,
    is_stream: &dyn Fn(&str) -> bool,
) -> Result<(), Reason> {
    let check = Check {
        aggregates,
        is_stream,
    };
    match check.node(tree, &mut Vec::new())? {
        0 => Err("it reads no stream".to_owned()),
        _ => Ok(()),
    }
}

struct Check<'a> {
    aggregates: &'a HashSet<String>,
    is_stream: &'a dyn Fn(&str) -> bool,
}

/// CTE names in scope with the number of streams each reads (0 or 1).
type Scope = Vec<(String, usize)>;

impl Check<'_> {
    /// Returns how many streams a query node reads per output row: 0 or 1.
    fn node(&self, node: &Value, scope: &mut Scope) -> Result<usize, Reason> {
        let depth = scope.len();
        for (name, cte) in ctes(node) {
            let streams = self.node(cte, scope)?;
            scope.push((name.to_lowercase(), streams));
        }
        let streams = match node["type"].as_str() {
            Some("SELECT_NODE") => self.select(node, scope),
            Some("SET_OPERATION_NODE") => self.set_operation(node, scope),
            Some("CTE_NODE") => self.node(&node["child"], scope),
            Some("RECURSIVE_CTE_NODE") => Err("it is recursive".to_owned()),
            other => Err(format!(
                "it is a {}",
                other.unwrap_or("query of unknown form")
            )),
        };
        scope.truncate(depth);
        streams
    }

    fn select(&self, node: &Value, scope: &mut Scope) -> Result<usize, Reason> {
        if let Some(modifier) = list(&node["modifiers"]).first() {
            let words = match modifier["type"].as_str() {
                Some("DISTINCT_MODIFIER") => "it has DISTINCT",
                Some("LIMIT_MODIFIER" | "LIMIT_PERCENT_MODIFIER") => "it has LIMIT",
                _ => "it has ORDER BY",
            };
            return Err(words.to_owned());
        }
        for (field, words) in [
            ("group_expressions", "it has GROUP BY"),
            ("group_sets", "it has GROUP BY"),
            ("having", "it has HAVING"),
            ("qualify", "it has QUALIFY"),
            ("sample", "it samples"),
        ] {
            if node.get(field).is_some_and(|value| !value.is_null()) {
                return Err(words.to_owned());
            }
        }
        if node["aggregate_handling"] == "FORCE_AGGREGATES" {
            return Err("it has GROUP BY ALL".to_owned());
        }
        self.expression(&node["select_list"], scope)?;
        self.expression(&node["where_clause"], scope)?;
        self.table(&node["from_table"], scope)
    }

    fn set_operation(&self, node: &Value, scope: &mut Scope) -> Result<usize, Reason> {
        // True is the default, and the tree leaves defaults out.
        let all = node["setop_all"] != Value::Bool(false);
        if node["setop_type"] != "UNION" || !all {
            let words = node["setop_type"].as_str().unwrap_or("a set operation");
            return Err(format!("it has {words} without ALL"));
        }
        if !list(&node["modifiers"]).is_empty() {
            return Err("it has ORDER BY, LIMIT or DISTINCT".to_owned());
        }
        let pair = [&node["left"], &node["right"]];
        let children = list(&node["children"]).iter();
        for child in children.chain(pair.into_iter().filter(|side| !side.is_null())) {
            if self.node(child, scope)? == 0 {
                return Err("a branch of UNION ALL reads no stream".to_owned());
            }
        }
        Ok(1)
    }

    fn table(&self, table: &Value, scope: &mut Scope) -> Result<usize, Reason> {
        match table["type"].as_str() {
            None | Some("EMPTY") => Ok(0),
            Some("EXPRESSION_LIST") => {
                self.expression(&table["values"], scope)?;
                Ok(0)
            }
            Some("TABLE_FUNCTION") => {
                self.expression(&table["function"], scope)?;
                Ok(0)
            }
            Some("SUBQUERY") => {
                if table.get("sample").is_some() {
                    return Err("it samples".to_owned());
                }
                self.node(&table["subquery"]["node"], scope)
            }
            Some("BASE_TABLE") => self.base_table(table, scope),
            Some("JOIN") => self.join(table, scope),
            Some(other) => Err(format!("it has a {other}")),
        }
    }

    fn base_table(&self, table: &Value, scope: &Scope) -> Result<usize, Reason> {
        if table.get("sample").is_some() {
            return Err("it samples".to_owned());
        }
        let Some(read) = read_of(table, &[]) else {
            return Ok(0);
        };
        if read.qualified {
            return Err(format!("it names `{}` with a schema", read.name));
        }
        let key = read.name.to_lowercase();
        if let Some((_, streams)) = scope.iter().rev().find(|(name, _)| *name == key) {
            return Ok(*streams);
        }
        Ok(usize::from((self.is_stream)(&read.name)))
    }

    /// A join is linear if only one side reads a stream and the other cannot add rows of its own.
    fn join(&self, join: &Value, scope: &mut Scope) -> Result<usize, Reason> {
        let left = self.table(&join["left"], scope)?;
        let right = self.table(&join["right"], scope)?;
        if left + right > 1 && join["ref_type"] == "ASOF" {
            return Err("it has an ASOF join of streams".to_owned());
        }
        if left + right > 1 {
            return Err("it joins streams".to_owned());
        }
        self.expression(&join["condition"], scope)?;
        let regular = matches!(
            join["ref_type"].as_str(),
            None | Some("REGULAR" | "CROSS" | "NATURAL")
        );
        let kept = match join["join_type"].as_str() {
            None | Some("INNER") => true,
            Some("LEFT" | "SEMI" | "ANTI") => right == 0,
            Some("RIGHT") => left == 0,
            _ => left + right == 0,
        };
        if left + right == 1 && !(regular && kept) {
            return Err("its join adds rows of its own".to_owned());
        }
        Ok(left + right)
    }

    /// Refuses aggregates, window functions and subqueries over streams inside expressions.
    fn expression(&self, value: &Value, scope: &mut Scope) -> Result<(), Reason> {
        match value {
            Value::Array(items) => items
                .iter()
                .try_for_each(|item| self.expression(item, scope)),
            Value::Object(object) => {
                match value["class"].as_str() {
                    Some("WINDOW") => return Err("it has a window function".to_owned()),
                    Some("SUBQUERY") => {
                        if self.subquery_streams(&value["subquery"]["node"], scope) {
                            return Err("it has a subquery over a stream".to_owned());
                        }
                        return self.expression(&value["child"], scope);
                    }
                    Some("FUNCTION") => {
                        let name = value["function_name"].as_str().unwrap_or("").to_lowercase();
                        if self.aggregates.contains(&name) && value["is_operator"] != true {
                            return Err(format!("it aggregates with `{name}`"));
                        }
                    }
                    _ => {}
                }
                object
                    .values()
                    .try_for_each(|child| self.expression(child, scope))
            }
            _ => Ok(()),
        }
    }

    /// Says whether a subquery reads any stream, however it does.
    fn subquery_streams(&self, value: &Value, scope: &Scope) -> bool {
        match value {
            Value::Array(items) => items.iter().any(|item| self.subquery_streams(item, scope)),
            Value::Object(object) => {
                let reads = read_of(value, &[]).is_some_and(|read| {
                    let key = read.name.to_lowercase();
                    let cte = scope.iter().rev().find(|(name, _)| *name == key);
                    cte.map_or_else(|| (self.is_stream)(&read.name), |(_, streams)| *streams > 0)
                });
                reads
                    || object
                        .values()
                        .any(|child| self.subquery_streams(child, scope))
            }
            _ => false,
        }
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}
