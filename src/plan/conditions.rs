//! Conditions of joins taken apart: their parts, and what one says of a column of the table on the right.

use serde_json::{Value, json};

use super::lengths::Length;
use super::maintain::{list, volatile_call};
use crate::engine::functions;

/// Returns the columns of the USING of a join.
pub fn using(join: &Value) -> impl Iterator<Item = &str> {
    list(&join["using_columns"])
        .iter()
        .filter_map(Value::as_str)
}

/// Returns the parts of a condition that all must hold.
pub fn conjuncts(condition: &Value) -> Vec<Value> {
    if condition.is_null() {
        return Vec::new();
    }
    if condition["type"] == "CONJUNCTION_AND" {
        let children = list(&condition["children"]).iter();
        return children.flat_map(conjuncts).collect();
    }
    vec![condition.clone()]
}

pub fn and(mut conditions: Vec<Value>) -> Value {
    if conditions.len() == 1 {
        return conditions.remove(0);
    }
    json!({"class": "CONJUNCTION", "type": "CONJUNCTION_AND", "children": conditions})
}

/// Says whether an expression is a column of the table that goes by this alias.
fn is_column_of(side: &Value, alias: &str, name: &str) -> bool {
    let names: Vec<&str> = (list(&side["column_names"]).iter())
        .filter_map(Value::as_str)
        .collect();
    matches!(names.as_slice(), [table, column]
        if table.eq_ignore_ascii_case(alias) && column.eq_ignore_ascii_case(name))
}

/// Returns what stands on the other side of a comparison from a param.
fn opposite<'a>(comparison: &'a Value, alias: &str, param: &str) -> Option<&'a Value> {
    let (left, right) = (&comparison["left"], &comparison["right"]);
    match (
        is_column_of(left, alias, param),
        is_column_of(right, alias, param),
    ) {
        (true, false) => Some(right),
        (false, true) => Some(left),
        _ => None,
    }
}

/// Returns what a param is equated with in a condition, if that does not use the lookup itself.
pub fn equal_to(condition: &Value, alias: &str, param: &str) -> Option<Value> {
    conjuncts(condition).iter().find_map(|condition| {
        if condition["type"] != "COMPARE_EQUAL" {
            return None;
        }
        let other = opposite(condition, alias, param)?;
        (!uses_table(other, alias)).then(|| other.clone())
    })
}

/// Returns a comparison other than `=` of a param with a column of another table. With a constant it would be
/// a filter.
pub fn compared_with(condition: &Value, alias: &str, param: &str) -> Option<Value> {
    conjuncts(condition).into_iter().find(|condition| {
        condition["class"] == "COMPARISON"
            && condition["type"] != "COMPARE_EQUAL"
            && opposite(condition, alias, param)
                .is_some_and(|other| has_column(other) && !uses_table(other, alias))
    })
}

fn has_column(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().any(has_column),
        Value::Object(object) => value["class"] == "COLUMN_REF" || object.values().any(has_column),
        _ => false,
    }
}

fn uses_table(value: &Value, alias: &str) -> bool {
    match value {
        Value::Array(items) => items.iter().any(|item| uses_table(item, alias)),
        Value::Object(object) => {
            let first = value["column_names"][0].as_str();
            let several = value["column_names"]
                .as_array()
                .is_some_and(|names| names.len() > 1);
            (several && first.is_some_and(|name| name.eq_ignore_ascii_case(alias)))
                || object.values().any(|child| uses_table(child, alias))
        }
        _ => false,
    }
}

/// Says whether a condition over stable values and the clock holds of fewer rows the later it is asked, as
/// `time > now() - INTERVAL 1 HOUR` does.
pub fn only_narrows(condition: &Value) -> bool {
    let (left, right) = (&condition["left"], &condition["right"]);
    let is_stable = |value: &Value| volatile_call(value, &functions::is_volatile).is_none();
    match condition["type"].as_str() {
        Some("COMPARE_GREATERTHAN" | "COMPARE_GREATERTHANOREQUALTO") => {
            is_stable(left) && only_rises(right)
        }
        Some("COMPARE_LESSTHAN" | "COMPARE_LESSTHANOREQUALTO") => {
            only_rises(left) && is_stable(right)
        }
        _ => false,
    }
}

/// Says whether an expression is the instant of the clock, a date of it, or so many days before or after.
fn only_rises(expression: &Value) -> bool {
    const CLOCK: [&str; 6] = [
        "now",
        "today",
        "current_date",
        "current_timestamp",
        "transaction_timestamp",
        "get_current_timestamp",
    ];
    let arguments: Vec<&Value> = (list(&expression["arguments"]).iter())
        .map(|argument| &argument["expression"])
        .collect();
    let name = match expression["class"].as_str() {
        Some("FUNCTION") => expression["function_name"].as_str(),
        Some("COLUMN_REF") => expression["column_names"][0].as_str(),
        Some("CAST") => {
            let wanted = expression["type_expr"]["type_name"].as_str().unwrap_or("");
            let keeps_order = ["DATE", "TIMESTAMP"]
                .iter()
                .any(|it| it.eq_ignore_ascii_case(wanted));
            return keeps_order && only_rises(&expression["child"]);
        }
        _ => None,
    };
    match (name.map(str::to_lowercase).as_deref(), arguments.as_slice()) {
        (Some(name), []) => CLOCK.contains(&name),
        (Some("+" | "-"), [instant, length]) => only_rises(instant) && !Length::of(length).months,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Database;

    #[test]
    fn what_the_clock_leaves_out_it_never_takes_back() {
        let database = Database::open(None).unwrap();
        let session = database.session().unwrap();
        let narrows = |condition: &str| {
            let query = format!("SELECT 1 FROM t WHERE {condition}");
            let tree = session.parse_one(&query).unwrap().unwrap().tree.unwrap();
            only_narrows(&tree["where_clause"])
        };
        for condition in [
            "ts > now() - INTERVAL 1 HOUR",
            "today() <= ts",
            "ts >= current_date",
            "ts > CAST(now() AS TIMESTAMP) - INTERVAL '2' DAY",
        ] {
            assert!(narrows(condition), "{condition}");
        }
        for condition in [
            "ts < now()",
            "ts > now() - INTERVAL 1 MONTH",
            "ts > now() - late",
            "ts > CAST(now() AS TIME)",
            "random() > now()",
            "ts > 5",
        ] {
            assert!(!narrows(condition), "{condition}");
        }
    }
}
