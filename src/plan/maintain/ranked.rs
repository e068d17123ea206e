//! The stages whose rows depend on an order: window functions over partitions, and the first rows of an order.

use serde_json::{Value, json};

use super::block::weave;
use super::decompose::Decomposer;
use super::exact::Apart;
use super::program::{Partition, Stage, Top};
use super::tree::{any, column_path, list, named, same_expression, unnamed};
use crate::engine::shape::Reason;
use crate::sql::quote_ident;

impl Decomposer<'_> {
    /// Makes the relation of a query whose rows depend each on one partition.
    pub(super) fn partition(&mut self, node: &Value, keys: &[Value]) -> Result<usize, Reason> {
        if node["type"] != "SELECT_NODE" {
            return Err("it has DISTINCT ON of a union".to_owned());
        }
        let columns = self.describe(node)?;
        let named_keys: Vec<Value> = (keys.iter().enumerate())
            .map(|(key, expression)| named(expression, &format!("_k{key}")))
            .collect();
        let mut plain = node.clone();
        plain["select_list"] = json!(named_keys);
        plain["modifiers"] = json!([]);
        if let Some(object) = plain.as_object_mut() {
            object.remove("qualify");
        }
        super::block::refuse_in_select(node)?;
        let draft = weave(self, &plain)?;
        let block = draft.finish(self)?;
        let key_types = block
            .columns
            .iter()
            .map(|(_, sql_type)| sql_type.clone())
            .collect();
        let mut touched = draft.of_touched(keys);
        let mut items = list(&node["select_list"]).to_vec();
        items.extend(named_keys);
        touched["select_list"] = json!(items);
        touched["modifiers"] = node["modifiers"].clone();
        if let Some(qualify) = node.get("qualify") {
            touched["qualify"] = qualify.clone();
        }
        let touched_sql = self.text(&touched)?;
        let sql = format!("WITH \"_touched\" AS ({}) {touched_sql}", block.sql);
        let found = self.describe_text(&self.over_bound(&block, &sql))?;
        if found.len() != columns.len() + keys.len() {
            return Err("its windows cannot be restricted to partitions".to_owned());
        }
        let stage = Partition {
            keys: block,
            key_types,
            touched_sql,
        };
        self.stage(Stage::Partition(stage), columns, false)
    }

    /// Makes the relation of the first rows in an order.
    pub(super) fn top(
        &mut self,
        body: &Value,
        orders: &[Value],
        limit: &Value,
    ) -> Result<usize, Reason> {
        let constant =
            |value: &Value| -> Option<u64> { value["literal"]["text"].as_str()?.parse().ok() };
        let offset = match limit.get("offset") {
            None => Some(0),
            Some(offset) => constant(offset),
        };
        let (Some(count), Some(offset), None) =
            (constant(&limit["limit"]), offset, limit.get("limit_type"))
        else {
            return Err("its LIMIT is no number".to_owned());
        };
        let columns = self.describe(body)?;
        let (mut body, mut terms) = (body.clone(), Vec::new());
        let has_list = body["type"] == "SELECT_NODE" && list(&body["modifiers"]).is_empty();
        for order in orders {
            let key = self.order_key(&mut body, &order["expression"], &columns, has_list)?;
            terms.push(order_term(&key, order)?);
        }
        let of = self.relation(&body)?;
        let found = self.columns_of(of);
        if found.len() < columns.len() || found[..columns.len()] != columns[..] {
            return Err("its order is by something else than its columns".to_owned());
        }
        let stage = Top {
            of,
            order: terms.join(", "),
            limit: count,
            offset,
        };
        self.stage(Stage::Top(stage), columns, false)
    }

    /// Returns the name of the column to order by; one that the query does not give is added to it.
    fn order_key(
        &self,
        body: &mut Value,
        expression: &Value,
        columns: &[(String, String)],
        has_list: bool,
    ) -> Result<String, Reason> {
        if expression["class"] == "STAR" {
            return Err("it is ordered by ALL".to_owned());
        }
        if expression["class"] == "CONSTANT" {
            let place = expression["literal"]["text"].as_str();
            let place = place.and_then(|text| text.parse::<usize>().ok());
            let column = place.and_then(|place| columns.get(place.checked_sub(1)?));
            return column
                .map(|(name, _)| name.clone())
                .ok_or_else(|| "it is ordered by a constant".to_owned());
        }
        if let Some([name]) = column_path(expression).as_deref()
            && let Some((name, _)) = columns
                .iter()
                .find(|(column, _)| column.eq_ignore_ascii_case(name))
        {
            return Ok(name.clone());
        }
        if !has_list {
            return Err("its order is by something else than its columns".to_owned());
        }
        let items = list(&body["select_list"]).len();
        let name = format!("_order{items}");
        let mut list = list(&body["select_list"]).to_vec();
        list.push(named(expression, &name));
        body["select_list"] = json!(list);
        Ok(name)
    }
}

fn order_term(key: &str, order: &Value) -> Result<String, Reason> {
    let direction = match order["type"].as_str() {
        Some("ORDER_DEFAULT" | "ASCENDING") => "ASC",
        Some("DESCENDING") => "DESC",
        _ => return Err("it is ordered in another way".to_owned()),
    };
    let nulls = match order["null_order"].as_str() {
        Some("NULLS FIRST") => "NULLS FIRST",
        // DuckDB's default in both directions.
        Some("ORDER_DEFAULT" | "NULLS LAST") | None => "NULLS LAST",
        _ => return Err("it is ordered in another way".to_owned()),
    };
    Ok(format!("{} {direction} {nulls}", quote_ident(key)))
}

/// Returns the expressions by which all window functions of a query are partitioned.
pub(super) fn partition_keys(node: &Value) -> Result<Vec<Value>, Reason> {
    let (mut common, apart): (Option<Vec<Value>>, _) = (None, Apart::of(node));
    let windows = std::cell::RefCell::new(Vec::new());
    for field in ["select_list", "qualify"] {
        any(&node[field], &|value| {
            if value["class"] == "WINDOW" {
                windows.borrow_mut().push(value.clone());
            }
            false
        });
    }
    for window in windows.into_inner() {
        let partitions = list(&window["partitions"]);
        common = Some(match common {
            None => partitions.to_vec(),
            Some(common) => {
                let shared = |key: &Value| {
                    partitions
                        .iter()
                        .any(|other| same_expression(key, other, &apart))
                };
                common.into_iter().filter(|key| shared(key)).collect()
            }
        });
    }
    let common = common.unwrap_or_default();
    if common.is_empty() {
        return Err("it has a window function that is not partitioned".to_owned());
    }
    Ok(common.iter().map(unnamed).collect())
}
