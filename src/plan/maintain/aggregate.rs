//! An aggregation as a stage: what it takes, its groups and accumulators, and the query over its values
//! that selects, filters and projects them.

use serde_json::{Value, json};

use super::block::{any_outside_subqueries, weave};
use super::decompose::{Decomposer, the_only_group};
use super::distinct::OverGroups;
use super::exact::Apart;
use super::program::{Aggregate, Stage};
use super::slots::{Call, Slot};
use super::tree::{
    base_table, column, columns_of, has_subquery, list, named, same_expression, select, unnamed,
};
use crate::engine::shape::Reason;

/// An aggregation being taken apart.
pub(super) struct Parts {
    pub keys: Vec<Value>,
    /// The calls of aggregate functions, each once, as written.
    pub calls: Vec<Value>,
    /// How names of the query are told apart.
    pub apart: Apart,
}

impl Decomposer<'_> {
    /// Makes the relation of a query with aggregates.
    pub(super) fn aggregate(&mut self, node: &Value) -> Result<usize, Reason> {
        let names = self.describe(node)?;
        let items = list(&node["select_list"]);
        if items.len() != names.len() {
            return Err("it aggregates and selects a star".to_owned());
        }
        let mut parts = Parts {
            keys: self.group_keys(node)?,
            calls: Vec::new(),
            apart: Apart::of(node),
        };
        let global = parts.keys.is_empty();
        let selected: Result<Vec<Value>, Reason> = (items.iter().zip(&names))
            .map(|(item, (name, _))| Ok(named(&self.over_groups(item, &mut parts)?, name)))
            .collect();
        let over = OverGroups {
            selected: selected?,
            having: self.over_groups(&node["having"], &mut parts)?,
            qualify: self.over_groups(&node["qualify"], &mut parts)?,
        };
        if let Some(relation) = self.over_distinct(node, (&parts, &over))? {
            return Ok(relation);
        }
        if global {
            parts.keys.push(the_only_group());
        }
        let values = match selected_types(items, &names, &parts) {
            Some(values) => values,
            None => self.values(node, &parts)?,
        };
        let groups = self.groups(node, &parts, (values, global))?;
        let name = self.name_of(groups).to_owned();
        let mut query = select(over.selected, base_table(&name, &name));
        for (field, condition) in [("where_clause", over.having), ("qualify", over.qualify)] {
            if condition.is_object() {
                query[field] = condition;
            }
        }
        self.relation(&query)
    }

    /// Returns the expressions that a query groups by.
    fn group_keys(&self, node: &Value) -> Result<Vec<Value>, Reason> {
        let sets = list(&node["group_sets"]);
        let expressions = list(&node["group_expressions"]);
        if node["aggregate_handling"] == "FORCE_AGGREGATES" {
            let aggregates =
                |item: &Value| any_outside_subqueries(item, &|value| self.is_aggregate(value));
            let items = list(&node["select_list"]).iter();
            return Ok(items
                .filter(|item| !aggregates(item))
                .map(unnamed)
                .collect());
        }
        if sets.len() > 1 || (sets.len() == 1 && list(&sets[0]).len() != expressions.len()) {
            return Err("it has several groupings".to_owned());
        }
        let keys: Result<Vec<Value>, Reason> = (expressions.iter())
            .map(|expression| self.resolved(node, expression))
            .collect();
        keys
    }

    /// Returns an expression over the columns of the groups: `_k…` for their keys, `_a…` for their values.
    fn over_groups(&self, expression: &Value, parts: &mut Parts) -> Result<Value, Reason> {
        if let Some(key) = (parts.keys.iter())
            .position(|key| same_expression(key, &unnamed(expression), &parts.apart))
        {
            return Ok(column(&[&format!("_k{key}")]));
        }
        if self.is_aggregate(expression) {
            let call = unnamed(expression);
            if has_subquery(&call) {
                return Err("it aggregates over a subquery".to_owned());
            }
            let known = parts
                .calls
                .iter()
                .position(|other| same_expression(other, &call, &parts.apart));
            let index = known.unwrap_or(parts.calls.len());
            if known.is_none() {
                parts.calls.push(call);
            }
            return Ok(column(&[&format!("_a{index}")]));
        }
        if expression["type"] == "GROUPING_FUNCTION" {
            return Err("it has GROUPING".to_owned());
        }
        match expression {
            Value::Array(items) => {
                let items: Result<Vec<Value>, Reason> =
                    (items.iter().map(|item| self.over_groups(item, parts))).collect();
                Ok(Value::Array(items?))
            }
            Value::Object(_) if expression["class"] == "SUBQUERY" => {
                let mut over = expression.clone();
                if let Some(child) = over.get_mut("child") {
                    *child = self.over_groups(&expression["child"], parts)?;
                }
                Ok(over)
            }
            Value::Object(object) => {
                let mut over = serde_json::Map::new();
                for (key, child) in object {
                    over.insert(key.clone(), self.over_groups(child, parts)?);
                }
                Ok(Value::Object(over))
            }
            _ => Ok(expression.clone()),
        }
    }

    /// Makes the stage that keeps the groups, and returns its relation: keys, then values.
    fn groups(
        &mut self,
        node: &Value,
        parts: &Parts,
        (values, global): (Vec<(String, String)>, bool),
    ) -> Result<usize, Reason> {
        let mut taken: Vec<Value> = (parts.keys.iter().enumerate())
            .map(|(key, expression)| named(expression, &format!("_k{key}")))
            .collect();
        let mut calls = Vec::new();
        let mut columns = 0;
        for call in &parts.calls {
            calls.push(taken_apart(call, &mut columns, (&mut taken, &parts.apart)));
        }
        let mut rows = node.clone();
        rows["select_list"] = json!(taken);
        if let Some(object) = rows.as_object_mut() {
            for field in ["group_expressions", "group_sets", "having", "qualify"] {
                object.remove(field);
            }
        }
        rows["aggregate_handling"] = json!("STANDARD_HANDLING");
        let draft = weave(self, &rows)?;
        let block = draft.finish(self)?;
        let types = block.columns.clone();
        let (key_columns, value_columns) = values.split_at(parts.keys.len());
        let grows = self.grows_only(&block);
        let mut stage = Aggregate {
            key_types: key_columns
                .iter()
                .map(|(_, sql_type)| sql_type.clone())
                .collect(),
            accumulators: Vec::new(),
            finals: Vec::new(),
            always_again: false,
            rows: block,
            touched_sql: None,
            global,
        };
        for (index, (call, (_, result))) in calls.iter().zip(value_columns).enumerate() {
            let slot = Slot {
                index,
                call,
                result,
                types: &types,
                grows,
            };
            slot.keep(&mut stage, &|tree| self.text(tree))?;
        }
        // Groups that only grow are not looked at again.
        if stage.always_again || !grows {
            stage.touched_sql = Some(self.text(&draft.of_touched(&parts.keys))?);
        }
        self.stage(Stage::Aggregate(stage), values, false)
    }

    /// Returns name and type of the keys and values of the groups.
    fn values(&self, node: &Value, parts: &Parts) -> Result<Vec<(String, String)>, Reason> {
        let mut all = node.clone();
        let keys = parts.keys.iter().enumerate();
        let keys = keys.map(|(index, key)| named(key, &format!("_k{index}")));
        let calls = parts.calls.iter().enumerate();
        let calls = calls.map(|(index, call)| named(call, &format!("_a{index}")));
        all["select_list"] = keys.chain(calls).collect();
        if let Some(object) = all.as_object_mut() {
            object.remove("having");
            object.remove("qualify");
        }
        all["group_expressions"] = json!(parts.keys);
        all["group_sets"] = json!([(0..parts.keys.len()).collect::<Vec<_>>()]);
        all["aggregate_handling"] = json!("STANDARD_HANDLING");
        // A constant is taken for the place of an item: `0` would be none.
        if parts.keys == [the_only_group()] {
            all["group_expressions"] = json!([]);
            all["group_sets"] = json!([]);
        }
        self.describe(&all)
    }
}

/// Returns what [`Decomposer::values`] does, of the columns of the query itself, if every key and value is one of
/// the selected items.
fn selected_types(
    items: &[Value],
    columns: &[(String, String)],
    parts: &Parts,
) -> Option<Vec<(String, String)>> {
    let named = |prefix: &'static str, expressions: &[Value]| -> Option<Vec<(String, String)>> {
        let type_of = |(index, expression): (usize, &Value)| {
            let selected = |item: &Value| same_expression(&unnamed(item), expression, &parts.apart);
            let place = items.iter().position(selected)?;
            Some((format!("{prefix}{index}"), columns[place].1.clone()))
        };
        expressions.iter().enumerate().map(type_of).collect()
    };
    let mut all = named("_k", &parts.keys)?;
    all.extend(named("_a", &parts.calls)?);
    Some(all)
}

/// Replaces what a call takes by columns `_x…`, which are added to what is taken unless they are there.
fn taken_apart(
    call: &Value,
    columns: &mut usize,
    (taken, apart): (&mut Vec<Value>, &Apart),
) -> Call {
    let mut take = |expression: &Value| {
        let mut any = false;
        columns_of(expression, &mut |_| any = true);
        if !any {
            return expression.clone();
        }
        let known = taken.iter().find(|item| {
            let name = item["alias"].as_str().unwrap_or("");
            name.starts_with("_x") && same_expression(item, expression, apart)
        });
        if let Some(name) = known.and_then(|item| item["alias"].as_str()) {
            return column(&[name]);
        }
        let name = format!("_x{columns}");
        *columns += 1;
        taken.push(named(expression, &name));
        column(&[&name])
    };
    let mut tree = call.clone();
    let arguments = list(&call["arguments"]).iter();
    let arguments: Vec<Value> = arguments
        .map(|argument| take(&argument["expression"]))
        .collect();
    for (place, argument) in arguments.iter().enumerate() {
        tree["arguments"][place]["expression"] = argument.clone();
    }
    let orders = list(&call["order_bys"]["orders"]).len();
    for place in 0..orders {
        let key = take(&call["order_bys"]["orders"][place]["expression"]);
        tree["order_bys"]["orders"][place]["expression"] = key;
    }
    let filter = call.get("filter").map(&mut take);
    if let Some(filter) = &filter {
        tree["filter"] = filter.clone();
    }
    Call {
        name: call["function_name"].as_str().unwrap_or("").to_lowercase(),
        distinct: call["distinct"] == true,
        ordered: orders > 0,
        arguments,
        filter,
        tree,
    }
}
