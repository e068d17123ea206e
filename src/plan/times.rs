//! Which columns of a query tell how far event time has come.
//!
//! A column is *marked* if, given the watermark of the streams under it, its value in any row that is still to
//! come has a lower bound: the column of a watermark, `window_start` and `window_end`, `date_trunc` of either.
//! Rows whose marked value is below its bound are final, as long as they depend on rows of their own value
//! only, as the rows of a GROUP BY over that column do.
//!
//! Reads DuckDB's own tree of the query. What it does not know has no mark: it may find too little, never too
//! much.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde_json::{Value, json};

use super::maintain::list;
use super::marks::{self, Columns, From, Mark, Reach, Table, names_of};
use crate::engine::syntax::{ctes, read_of};

/// What a query gives.
#[derive(Clone, Debug, Default)]
pub struct Lineage {
    pub columns: Columns,
    /// The stream behind each mention, by number.
    pub scans: Vec<String>,
    /// Why its rows do not fall apart into windows, if they do not.
    pub reason: Option<String>,
}

/// A relation that a query names.
pub enum Named {
    /// Its columns, those of event time with their lower bounds.
    Stream(Vec<(String, Option<Vec<Value>>)>),
    View(Lineage),
    /// What is no stream, such as the answers of a lookup: its columns.
    Other(Vec<String>),
}

/// Finds a relation by name.
pub type Find<'a> = &'a dyn Fn(&str) -> Option<Named>;

/// A SELECT, taken apart.
pub struct Select {
    pub columns: Columns,
    pub from: From,
}

/// The relations that are followed in one query: a CTE is followed anew for each mention, so that few of them
/// could be mentioned very often.
const MENTIONS_MAX: usize = 256;

/// Follows the columns of one query.
pub struct Analysis<'a> {
    find: Find<'a>,
    pub scans: Vec<String>,
    pub reason: Option<String>,
    mentions: usize,
    /// Whether columns that are equated speak for the streams of both.
    pub equates: bool,
}

impl<'a> Analysis<'a> {
    pub fn new(find: Find<'a>) -> Self {
        Self {
            find,
            scans: Vec::new(),
            reason: None,
            mentions: 0,
            equates: true,
        }
    }
}

/// CTEs in scope, each with its entry in the tree.
type Scope = Vec<(String, Value)>;

/// Follows the columns of a query.
pub fn lineage(tree: &Value, find: Find<'_>) -> Lineage {
    let mut analysis = Analysis::new(find);
    let (columns, _) = analysis.node(tree, &Vec::new());
    Lineage {
        columns,
        scans: analysis.scans,
        reason: analysis.reason,
    }
}

impl Analysis<'_> {
    fn refuse(&mut self, reason: &str) {
        self.reason.get_or_insert_with(|| reason.to_owned());
    }

    /// Returns the columns of a query node and the mentions under it.
    fn node(&mut self, node: &Value, outer: &Scope) -> (Columns, BTreeSet<usize>) {
        let scope = self.scope(node, outer);
        for modifier in list(&node["modifiers"]) {
            match modifier["type"].as_str() {
                Some("DISTINCT_MODIFIER") if modifier["distinct_on_targets"].is_null() => {}
                Some("DISTINCT_MODIFIER") => self.refuse("it has DISTINCT ON"),
                Some("ORDER_MODIFIER") => {}
                _ => self.refuse("it has LIMIT"),
            }
        }
        match node["type"].as_str() {
            Some("SELECT_NODE") => {
                let select = self.select(node, &scope);
                (select.columns, select.from.scans)
            }
            Some("SET_OPERATION_NODE") => self.set_operation(node, &scope),
            Some("CTE_NODE") => self.node(&node["child"], &scope),
            _ => {
                self.refuse("it is recursive");
                (Vec::new(), BTreeSet::new())
            }
        }
    }

    /// Returns the CTEs that can be named in a node.
    pub fn scope(&self, node: &Value, outer: &Scope) -> Scope {
        let mut scope = outer.clone();
        for entry in list(&node["cte_map"]["map"]) {
            if let Some(name) = entry["key"].as_str() {
                scope.push((name.to_lowercase(), entry.clone()));
            }
        }
        scope
    }

    fn set_operation(&mut self, node: &Value, scope: &Scope) -> (Columns, BTreeSet<usize>) {
        let pair = [&node["left"], &node["right"]];
        let children = list(&node["children"]).iter();
        let mut all: Option<(Columns, BTreeSet<usize>)> = None;
        for child in children.chain(pair.into_iter().filter(|side| !side.is_null())) {
            let (columns, scans) = self.node(child, scope);
            all = Some(match all {
                None => (columns, scans),
                Some((mut first, mut known)) => {
                    for (at, (_, mark)) in first.iter_mut().enumerate() {
                        let other = columns.get(at).and_then(|(_, mark)| mark.as_ref());
                        *mark = mark
                            .as_ref()
                            .zip(other)
                            .map(|(mark, other)| mark.merged(other));
                    }
                    known.extend(scans);
                    (first, known)
                }
            });
        }
        all.unwrap_or_default()
    }

    /// Follows a SELECT whose CTEs are in `scope`.
    pub fn select(&mut self, node: &Value, scope: &Scope) -> Select {
        if let Some(session) = self.session(node, scope) {
            return session;
        }
        if list(&node["group_sets"]).len() > 1 {
            self.refuse("it has GROUPING SETS");
        }
        if node.get("sample").is_some() {
            self.refuse("it samples");
        }
        let mut from = self.table(&node["from_table"], scope);
        if self.equates {
            equate(&mut from, &node["where_clause"]);
        }
        let mut columns = Vec::new();
        for expression in list(&node["select_list"]) {
            self.check(expression, &from);
            if expression["class"] == "STAR" {
                self.star(expression, &from, &mut columns);
                continue;
            }
            let mark = marks::mark(expression, &from);
            columns.push((name_of(expression), mark));
        }
        for part in ["where_clause", "having", "qualify", "group_expressions"] {
            self.check(&node[part], &from);
        }
        Select { columns, from }
    }

    /// Refuses what makes a row depend on rows of other windows.
    fn check(&mut self, value: &Value, from: &From) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| self.check(item, from)),
            Value::Object(object) => {
                match value["class"].as_str() {
                    Some("SUBQUERY") => return self.refuse("it has a subquery in an expression"),
                    Some("WINDOW") => {
                        let mut partitions = list(&value["partitions"]).iter();
                        let covers = |mark: Mark| covers(&mark, &from.scans);
                        if !partitions.any(|by| marks::mark(by, from).is_some_and(covers)) {
                            self.refuse(
                                "a window function has no window of time among its PARTITION BY",
                            );
                        }
                    }
                    _ => {}
                }
                object.values().for_each(|child| self.check(child, from));
            }
            _ => {}
        }
    }

    fn star(&mut self, star: &Value, from: &From, columns: &mut Columns) {
        if star["columns"] == true || star.get("expr").is_some() {
            return self.refuse("it selects COLUMNS(…)");
        }
        let of = star["relation_name"].as_str();
        let left_out: Vec<String> = (list(&star["exclude_list"]).iter())
            .filter_map(|name| name.as_str().or_else(|| name["column"].as_str()))
            .map(str::to_lowercase)
            .collect();
        let mut first = true;
        for table in &from.tables {
            if of.is_some_and(|of| !of.eq_ignore_ascii_case(&table.alias)) {
                continue;
            }
            for (name, mark) in &table.columns {
                let key = name.to_lowercase();
                let repeated = !first && of.is_none() && from.using.contains(&key);
                if left_out.contains(&key) || repeated {
                    continue;
                }
                let replaced = (list(&star["replace_list"]).iter()).find(|entry| {
                    entry["key"]
                        .as_str()
                        .is_some_and(|name| name.eq_ignore_ascii_case(&key))
                });
                let mark = match replaced {
                    Some(entry) => marks::mark(&entry["value"], from),
                    None => mark.clone(),
                };
                columns.push((name.clone(), mark));
            }
            first = false;
        }
        if star.get("rename_list").is_some() {
            self.refuse("it renames columns of `*`");
        }
    }

    /// Follows a FROM clause.
    pub fn table(&mut self, table: &Value, scope: &Scope) -> From {
        self.mentions += 1;
        if self.mentions.max(self.scans.len()) > MENTIONS_MAX {
            self.refuse("it names relations too often");
            return From::default();
        }
        let alias = table["alias"].as_str().filter(|alias| !alias.is_empty());
        match table["type"].as_str() {
            Some("JOIN") => return self.join(table, scope),
            Some("SUBQUERY") => {
                let (columns, scans) = self.node(&table["subquery"]["node"], scope);
                return one_table(alias.unwrap_or(""), columns, scans, table);
            }
            Some("BASE_TABLE") => {}
            None | Some("EMPTY" | "EXPRESSION_LIST" | "TABLE_FUNCTION") => return From::default(),
            Some(_) => {
                self.refuse("it has a PIVOT or the like");
                return From::default();
            }
        }
        let Some(read) = read_of(table, &[]) else {
            return From::default();
        };
        let alias = alias.unwrap_or(&read.name);
        let key = read.name.to_lowercase();
        if let Some(at) = scope.iter().rposition(|(name, _)| *name == key) {
            let (columns, scans) = self.cte(&scope[..=at]);
            return one_table(alias, columns, scans, table);
        }
        let by = self.scans.len();
        match (self.find)(&read.name) {
            None => {
                self.refuse(&format!("it reads `{}`", read.name));
                From::default()
            }
            Some(Named::Stream(columns)) => {
                self.scans.push(key);
                let mark = |(name, floors): (String, Option<Vec<Value>>)| {
                    let mark = floors.map(|floors| Mark::of_column(floors, by, &name));
                    (name, mark)
                };
                let columns = columns.into_iter().map(mark).collect();
                one_table(alias, columns, BTreeSet::from([by]), table)
            }
            Some(Named::Other(columns)) => {
                let columns = columns.into_iter().map(|name| (name, None)).collect();
                one_table(alias, columns, BTreeSet::new(), table)
            }
            Some(Named::View(view)) => {
                let scans = (by..by + view.scans.len()).collect();
                self.scans.extend(view.scans);
                if let Some(reason) = &view.reason {
                    self.refuse(&format!("of view `{}`: {reason}", read.name));
                }
                let mark =
                    |(name, mark): (String, Option<Mark>)| (name, mark.map(|mark| mark.moved(by)));
                let columns = view.columns.into_iter().map(mark).collect();
                one_table(alias, columns, scans, table)
            }
        }
    }

    /// Follows the last CTE of a scope, anew for each mention: two mentions are two streams.
    fn cte(&mut self, scope: &[(String, Value)]) -> (Columns, BTreeSet<usize>) {
        let Some(((_, entry), before)) = scope.split_last() else {
            return Default::default();
        };
        let of_one = json!({"cte_map": {"map": [entry]}});
        let Some((_, node)) = ctes(&of_one).next() else {
            return Default::default();
        };
        let (mut columns, scans) = self.node(node, &before.to_vec());
        rename(&mut columns, &entry["value"]["aliases"]);
        (columns, scans)
    }

    fn join(&mut self, join: &Value, scope: &Scope) -> From {
        let mut left = self.table(&join["left"], scope);
        let right = self.table(&join["right"], scope);
        if !matches!(join["ref_type"].as_str(), None | Some("REGULAR" | "CROSS")) {
            self.refuse("it has an ASOF, NATURAL or POSITIONAL join");
        }
        let right_from = left.tables.len();
        left.tables.extend(right.tables);
        left.scans.extend(right.scans);
        left.using.extend(right.using);
        if self.equates {
            equate(&mut left, &join["condition"]);
        }
        for name in list(&join["using_columns"])
            .iter()
            .filter_map(Value::as_str)
        {
            let of_right = From {
                tables: left.tables[right_from..].to_vec(),
                ..From::default()
            };
            let pair = left.column(&[name]).zip(of_right.column(&[name]));
            if let Some((one, (table, column))) = pair {
                equate_columns(&mut left, one, (table + right_from, column));
            }
            left.using.insert(name.to_lowercase());
        }
        let (keeps_left, keeps_right) = match join["join_type"].as_str() {
            None | Some("INNER") => (true, true),
            Some("LEFT") => (true, false),
            Some("RIGHT") => (false, true),
            Some("SEMI" | "ANTI") => {
                left.tables.truncate(right_from);
                (true, true)
            }
            _ => (false, false),
        };
        // What an outer join fills with NULL tells no time.
        for (at, table) in left.tables.iter_mut().enumerate() {
            let kept = if at < right_from {
                keeps_left
            } else {
                keeps_right
            };
            if !kept {
                table.columns.iter_mut().for_each(|(_, mark)| *mark = None);
            }
        }
        left
    }

    /// Follows the query that `SESSION` stands for, known by its hidden columns.
    fn session(&mut self, node: &Value, scope: &Scope) -> Option<Select> {
        let star = list(&node["select_list"]).first()?;
        let hidden = list(&star["exclude_list"]).first()?;
        if hidden.as_str().or_else(|| hidden["column"].as_str()) != Some("_session") {
            return None;
        }
        let inner = &node["from_table"]["subquery"]["node"]["from_table"]["subquery"]["node"];
        let from = self.table(&inner["from_table"], scope);
        let end = &list(&node["select_list"]).last()?["arguments"][0]["expression"];
        // The time stands inside the cast that the template puts around it.
        let time = marks::mark(&end["arguments"][0]["expression"]["child"], &from);
        let mut columns: Columns = (from.tables.iter())
            .flat_map(|table| table.columns.clone())
            .collect();
        let plain = marks::watermark();
        let mark = time.filter(|mark| mark.floors == [plain.clone()] && mark.scans.len() == 1);
        let mark = mark.and_then(|mark| {
            let (scan, reach) = mark.scans.into_iter().next()?;
            let Reach::Lead { column, leads } = reach else {
                return None;
            };
            let sessions = within(node, scope);
            // A session that ends at the watermark is over: a row at its end begins the next one.
            leads.is_empty().then(|| Mark {
                floors: vec![marks::just_after(plain)],
                scans: BTreeMap::from([(scan, Reach::Session { column, sessions })]),
            })
        });
        columns.push(("window_start".to_owned(), None));
        columns.push(("window_end".to_owned(), mark));
        Some(Select { columns, from })
    }
}

/// Returns a query node with the CTEs in scope as its own.
fn within(node: &Value, scope: &Scope) -> Value {
    let entries: Vec<&Value> = scope.iter().map(|(_, entry)| entry).collect();
    json!({
        "type": "SELECT_NODE",
        "cte_map": {"map": entries},
        "select_list": [{"class": "STAR", "type": "STAR"}],
        "from_table": {"type": "SUBQUERY", "alias": "sessions", "subquery": {"node": node}},
        "aggregate_handling": "STANDARD_HANDLING",
    })
}

/// Says whether a mark speaks for all of the mentions.
pub fn covers(mark: &Mark, scans: &BTreeSet<usize>) -> bool {
    scans.iter().all(|scan| mark.scans.contains_key(scan))
}

fn one_table(alias: &str, mut columns: Columns, scans: BTreeSet<usize>, table: &Value) -> From {
    rename(&mut columns, &table["column_name_alias"]);
    From {
        tables: vec![Table {
            alias: alias.to_owned(),
            columns,
        }],
        scans,
        using: HashSet::new(),
    }
}

fn rename(columns: &mut Columns, names: &Value) {
    for ((name, _), new) in columns.iter_mut().zip(list(names)) {
        if let Some(new) = new.as_str() {
            new.clone_into(name);
        }
    }
}

/// Returns the name that a selected expression has, as far as it matters here.
fn name_of(expression: &Value) -> String {
    let alias = expression["alias"]
        .as_str()
        .filter(|alias| !alias.is_empty());
    let column = expression["column_names"]
        .as_array()
        .and_then(|names| names.last());
    let name = alias.or_else(|| column.and_then(Value::as_str));
    name.unwrap_or("").to_owned()
}

/// Lets columns that a condition equates speak for the streams of both.
fn equate(from: &mut From, condition: &Value) {
    if condition["type"] == "CONJUNCTION_AND" {
        for part in list(&condition["children"]) {
            equate(from, part);
        }
    }
    if condition["type"] != "COMPARE_EQUAL" {
        return;
    }
    let column = |side: &Value| from.column(&names_of(side)?);
    if let (Some(left), Some(right)) = (column(&condition["left"]), column(&condition["right"])) {
        equate_columns(from, left, right);
    }
}

fn equate_columns(from: &mut From, left: (usize, usize), right: (usize, usize)) {
    let mark = |(table, column): (usize, usize)| from.tables[table].columns[column].1.as_ref();
    let merged = match (mark(left), mark(right)) {
        (Some(one), Some(other)) => one.merged(other),
        _ => return,
    };
    for (table, column) in [left, right] {
        from.tables[table].columns[column].1 = Some(merged.clone());
    }
}
