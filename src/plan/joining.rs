//! Interval joins: two streams joined by a bound on the distance of their times, so that the watermark says which
//! rows can still meet one to come.

use serde_json::Value;

use super::build::Builder;
use super::closing::{back, least};
use super::known::{Known, ViewInfo};
use super::maintain::list;
use super::marks::{self, From, Mark, Reach};
use super::node::Horizon;
use super::times::Analysis;
use crate::engine::{Layout, functions, shape};
use crate::sql::Ident;

impl Builder<'_> {
    /// Finds the horizon of a query that joins two streams by the distance of their times; `None` if it is no such
    /// query, and is then maintained in another way.
    pub(super) fn interval_join(&self, name: &Ident, info: &ViewInfo) -> Option<Horizon> {
        let (_, query) = self.queries.get(&name.key())?;
        let tree = query.tree.as_ref()?;
        let inputs = &info.feed.inputs;
        let timed = inputs.iter().all(|input| {
            input.stored.layout != Layout::Changing
                && self.found.times(&input.stored.name).is_some()
        });
        let scans = &info.lineage.scans;
        if !timed || inputs.len() != 2 || scans.len() != 2 || scans[0] == scans[1] {
            return None;
        }
        let linear_views =
            query
                .reads
                .iter()
                .all(|read| match self.found.get(&read.name).as_deref() {
                    Some(Known::View(view)) => view.linear.is_ok(),
                    Some(Known::Kept(_)) => true,
                    Some(Known::Lookup(_)) | None => false,
                });
        // Linear in each of them, the other taken as it is.
        let bilinear = scans.iter().all(|scan| self.is_linear_in(tree, scan));
        if !linear_views || !bilinear {
            return None;
        }
        let find = |name: &str| self.named(name);
        let mut analysis = Analysis::new(&find);
        analysis.equates = false;
        let scope = analysis.scope(tree, &Vec::new());
        let select = analysis.select(tree, &scope);
        let mut bounds: [Vec<Value>; 2] = Default::default();
        let mut times: [Option<String>; 2] = Default::default();
        let mut conditions = vec![&tree["where_clause"]];
        joins(&tree["from_table"], &mut conditions);
        for condition in conditions {
            each_order(condition, &mut |lower, upper| {
                if let Some((scan, time, low)) = bound(&select.from, lower, upper) {
                    bounds[scan].push(low);
                    times[scan].get_or_insert(time);
                }
            });
        }
        let mut lows = Vec::new();
        for (scan, (bounds, time)) in bounds.into_iter().zip(times).enumerate() {
            let number = (inputs.iter())
                .position(|input| input.stored.name.to_lowercase() == scans[scan])?;
            let mut bounds = bounds;
            let low = match bounds.len() {
                0 => return None,
                1 => bounds.remove(0),
                _ => marks::call("greatest", bounds),
            };
            lows.push((number, time?, low));
        }
        self.horizon(info, Vec::new(), lows, Vec::new()).ok()
    }

    fn is_linear_in(&self, tree: &Value, stream: &str) -> bool {
        let reads = |name: &str| match self.found.get(name).as_deref() {
            Some(Known::Kept(stored)) => stored.name.to_lowercase() == stream,
            Some(Known::View(view)) => {
                (view.feed.inputs.iter()).any(|input| input.stored.name.to_lowercase() == stream)
            }
            _ => false,
        };
        shape::linear(tree, functions::aggregates(), &reads).is_ok()
    }
}

/// Collects the conditions of the joins of a FROM clause.
fn joins<'t>(table: &'t Value, conditions: &mut Vec<&'t Value>) {
    if table["type"] == "JOIN" {
        conditions.push(&table["condition"]);
        joins(&table["left"], conditions);
        joins(&table["right"], conditions);
    }
}

/// Shows every pair of which a condition says that the first is at most the second.
fn each_order<'t>(condition: &'t Value, show: &mut dyn FnMut(&'t Value, &'t Value)) {
    let (left, right) = (&condition["left"], &condition["right"]);
    match condition["type"].as_str() {
        Some("CONJUNCTION_AND") => {
            for part in list(&condition["children"]) {
                each_order(part, show);
            }
        }
        Some("COMPARE_BETWEEN") => {
            show(&condition["lower"], &condition["input"]);
            show(&condition["input"], &condition["upper"]);
        }
        Some("COMPARE_LESSTHAN" | "COMPARE_LESSTHANOREQUALTO") => show(left, right),
        Some("COMPARE_GREATERTHAN" | "COMPARE_GREATERTHANOREQUALTO") => show(right, left),
        Some("COMPARE_EQUAL") => {
            show(left, right);
            show(right, left);
        }
        _ => {}
    }
}

/// Returns what `lower <= upper` says of the rows that `upper` is of: their mention, the column of their time, and
/// the time before which none of them can meet a row of the other side that is still to come.
fn bound(from: &From, lower: &Value, upper: &Value) -> Option<(usize, String, Value)> {
    let (lower, upper) = (alone(from, lower)?, alone(from, upper)?);
    let (scan, reach) = upper.scans.iter().next()?;
    if lower.scans.contains_key(scan) {
        return None;
    }
    match reach {
        Reach::Lead { column, leads } => {
            Some((*scan, column.clone(), back(least(lower.floors), leads)))
        }
        Reach::Session { .. } => None,
    }
}

/// Returns the mark of an expression over one of the two streams.
fn alone(from: &From, expression: &Value) -> Option<Mark> {
    marks::mark(expression, from).filter(|mark| mark.scans.len() == 1)
}
