//! Marks in the tree of a block: where its rows can be restricted to those that a change touches.
//!
//! Set while the block is woven, and used or taken away once it is whole. Knows trees only.

use serde_json::{Value, json};

use super::program::TOUCHED;
use super::tree::{list, select, semi_join, subquery};

/// Marks the restrictions to what a mention touches: on a query node, pairs of mention and condition on its table
/// reference; on a join, its mentions and the condition on either side, or none.
pub const MARK: &str = "_touch";

/// Returns a tree without its marks, restricted to what a change of one mention touches.
pub fn restricted(tree: &Value, touched: Option<usize>) -> Value {
    match tree {
        Value::Array(items) => {
            Value::Array(items.iter().map(|item| restricted(item, touched)).collect())
        }
        Value::Object(object) => {
            let mut plain = serde_json::Map::new();
            for (key, child) in object.iter().filter(|(key, _)| *key != MARK) {
                plain.insert(key.clone(), restricted(child, touched));
            }
            let mut plain = Value::Object(plain);
            if let (Some(mark), Some(touched)) = (object.get(MARK), touched) {
                restrict(&mut plain, mark, touched);
            }
            plain
        }
        _ => tree.clone(),
    }
}

fn restrict(tree: &mut Value, mark: &Value, touched: usize) {
    if tree["type"] == "JOIN" {
        let indexes = list(&mark[0]);
        if indexes.iter().any(|index| *index == json!(touched)) {
            let both = mark[1].is_object() && mark[2].is_object();
            for (side, condition) in [("left", &mark[1]), ("right", &mark[2])] {
                if !condition.is_object() {
                    continue;
                }
                let table = tree[side].take();
                if !both {
                    tree[side] = semi_join(table, TOUCHED, condition.clone());
                    continue;
                }
                let alias = table["alias"].as_str().unwrap_or("").to_owned();
                let star = json!({"class": "STAR", "type": "STAR", "relation_name": alias});
                let rows = semi_join(table, TOUCHED, condition.clone());
                tree[side] = subquery(select(vec![star], rows), &alias);
            }
        }
        return;
    }
    for pair in list(mark).iter().filter(|pair| pair[0] == json!(touched)) {
        let from = tree["from_table"].take();
        tree["from_table"] = semi_join(from, TOUCHED, pair[1].clone());
    }
}
