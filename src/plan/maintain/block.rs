//! Blocks: the part of a query that is linear in what it reads, or changes only where certain keys do.
//!
//! Select, filter, project, unnest, inner joins and `UNION ALL` are linear in every relation. An outer,
//! semi or anti join and `EXISTS` or `IN` are linear in one side; a change of the other touches the rows
//! with its keys, so that the block is evaluated before and after for these alone.

use serde_json::{Value, json};

use super::decompose::{Decomposer, MENTIONS_MAX};
use super::keys::{Table, equalities, keyed_subquery};
use super::program::{Block, Mention, Outer, TOUCHED, Touch};
use super::restrict::{MARK, restricted};
use super::tree::{
    Same, any, base_table, conjuncts, has_subquery, has_window, keys_are, list, named, select,
    semi_join, tried,
};
use crate::engine::shape::Reason;

/// A block while it is made: its tree reads each mention by its own name.
pub(super) struct Draft {
    pub tree: Value,
    pub mentions: Vec<DraftMention>,
}

pub(super) struct DraftMention {
    relation: usize,
    name: String,
    apart: Vec<usize>,
    touch: Option<DraftTouch>,
}

/// How a change of a mention is followed.
struct DraftTouch {
    /// The query of its keys.
    keys: Value,
    /// That of its own rows with these keys.
    own: Value,
    /// The other mention whose rows with these keys the block then reads alone, and the query of those.
    outer: Option<(usize, Value)>,
}

/// Walks a query once and collects what it mentions.
pub(super) struct Weaver<'a, 'b> {
    pub decomposer: &'a mut Decomposer<'b>,
    mentions: Vec<DraftMention>,
}

/// A woven table reference.
struct Woven {
    tree: Value,
    /// It has no rows while the relations have none.
    vanishes: bool,
    tables: Vec<Table>,
}

/// Restrictions found in a table reference: mention and condition.
type Marks = Vec<(usize, Value)>;

/// Makes a block of a query.
pub(super) fn weave(decomposer: &mut Decomposer<'_>, node: &Value) -> Result<Draft, Reason> {
    let mut weaver = Weaver {
        decomposer,
        mentions: Vec::new(),
    };
    let (tree, vanishes) = weaver.node(node)?;
    if !vanishes {
        return Err("a part of it has rows before any relation has".to_owned());
    }
    if weaver.mentions.len() > MENTIONS_MAX {
        return Err(format!("it joins more than {MENTIONS_MAX} relations"));
    }
    Ok(Draft {
        tree,
        mentions: weaver.mentions,
    })
}

/// Says whether a query, whatever it reads, is a select, filter and projection or a union of such.
pub(super) fn is_plain(node: &Value, aggregates: &dyn Fn(&Value) -> bool) -> bool {
    let modified = |modifier: &Value| modifier["type"] != "ORDER_MODIFIER";
    if list(&node["modifiers"]).iter().any(modified) {
        return false;
    }
    match node["type"].as_str() {
        Some("SELECT_NODE") => {
            let absent = |field: &str| node.get(field).is_none_or(Value::is_null);
            [
                "group_expressions",
                "group_sets",
                "having",
                "qualify",
                "sample",
            ]
            .into_iter()
            .all(absent)
                && node["aggregate_handling"] != "FORCE_AGGREGATES"
                && !has_window(&node["select_list"])
                && !any_outside_subqueries(&node["select_list"], aggregates)
        }
        Some("SET_OPERATION_NODE") => {
            node["setop_type"] == "UNION" && node["setop_all"] != Value::Bool(false)
        }
        _ => false,
    }
}

/// Says whether any object outside of subqueries fits.
pub(super) fn any_outside_subqueries(value: &Value, fits: &dyn Fn(&Value) -> bool) -> bool {
    match value {
        Value::Array(items) => items.iter().any(|item| any_outside_subqueries(item, fits)),
        Value::Object(_) if value["class"] == "SUBQUERY" => false,
        Value::Object(object) => {
            fits(value)
                || object
                    .values()
                    .any(|child| any_outside_subqueries(child, fits))
        }
        _ => false,
    }
}

/// Says whether a part of a query reads any relation.
fn reads_any(value: &Value) -> bool {
    any(value, &|value| value["type"] == "BASE_TABLE")
}

/// Counts the places where a part of a query reads a relation.
fn mentions_of(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.iter().map(mentions_of).sum(),
        Value::Object(_) if value["type"] == "BASE_TABLE" => 1,
        Value::Object(object) => object.values().map(mentions_of).sum(),
        _ => 0,
    }
}

/// Refuses subqueries over relations inside of expressions.
fn refuse_subqueries(expression: &Value) -> Result<(), Reason> {
    if has_subquery(expression) && reads_any(expression) {
        return Err("it has a subquery that is not looked up by key".to_owned());
    }
    Ok(())
}

impl Weaver<'_, '_> {
    fn node(&mut self, node: &Value) -> Result<(Value, bool), Reason> {
        match node["type"].as_str() {
            Some("SELECT_NODE") => self.select(node),
            Some("SET_OPERATION_NODE") => self.union(node),
            _ => Err("it is a query of another form".to_owned()),
        }
    }

    fn union(&mut self, node: &Value) -> Result<(Value, bool), Reason> {
        let mut woven = node.clone();
        woven["modifiers"] = json!([]);
        let children = list(&node["children"]);
        if children.is_empty() {
            return Err("its union has another form".to_owned());
        }
        let (mut trees, mut ends, mut vanishes) = (Vec::new(), Vec::new(), true);
        let first = self.mentions.len();
        for child in children {
            if !is_plain(child, &|value| self.decomposer.is_aggregate(value)) {
                let relation = self.decomposer.relation(child)?;
                trees.push(self.all_of(relation));
            } else {
                let (tree, empty) = self.node(child)?;
                trees.push(tree);
                vanishes &= empty;
            }
            ends.push(self.mentions.len());
        }
        let last = self.mentions.len();
        let mut start = first;
        for end in ends {
            for mention in start..end {
                let others = (first..last).filter(|other| !(start..end).contains(other));
                self.mentions[mention].apart.extend(others);
            }
            start = end;
        }
        woven["children"] = Value::Array(trees);
        Ok((woven, vanishes))
    }

    /// Returns a query of all rows of a relation.
    fn all_of(&mut self, relation: usize) -> Value {
        let name = self.mention(relation);
        select(
            vec![json!({"class": "STAR", "type": "STAR"})],
            base_table(&name, &name),
        )
    }

    fn select(&mut self, node: &Value) -> Result<(Value, bool), Reason> {
        if !is_plain(node, &|value| self.decomposer.is_aggregate(value)) {
            return Err("it has a part of another form".to_owned());
        }
        let mut marks = Marks::new();
        let table = &node["from_table"];
        let from = self.table(table)?;
        let mut woven = node.clone();
        woven["modifiers"] = json!([]);
        refuse_subqueries(&node["select_list"])?;
        let mut filters = Vec::new();
        for conjunct in conjuncts(&node["where_clause"]) {
            filters.push(self.filter((conjunct, table), &mut marks)?);
        }
        for (index, touched) in &marks {
            self.note_outer(*index, &from.tree, touched);
        }
        woven["from_table"] = from.tree;
        match filters.len() {
            0 => {}
            1 => woven["where_clause"] = filters.remove(0),
            _ => {
                woven["where_clause"] = json!({
                    "class": "CONJUNCTION", "type": "CONJUNCTION_AND", "children": filters,
                });
            }
        }
        if !marks.is_empty() {
            woven[MARK] = json!(marks);
        }
        Ok((woven, from.vanishes))
    }

    /// Weaves one condition of a filter over a table reference; a subquery looked up by key becomes a mention.
    fn filter(
        &mut self,
        (conjunct, from): (&Value, &Value),
        marks: &mut Marks,
    ) -> Result<Value, Reason> {
        if !has_subquery(conjunct) || !reads_any(conjunct) {
            return Ok(conjunct.clone());
        }
        let relation = |name: &str| self.decomposer.table_of(name);
        let keyed = keyed_subquery(conjunct, &relation)?;
        self.decomposer
            .check_keys((&keyed.inner, &keyed.table), (&keyed.outer, from))?;
        let index = self.mentions.len();
        let name = self.mention(keyed.relation);
        let table = json!(keyed.table)
            .as_object()
            .map_or(Value::Null, |object| {
                let mut table = Value::Object(object.clone());
                table["table_name"] = json!(name);
                table["qualified_name"] = json!({"path": [name]});
                table["alias"] = json!(keyed.alias);
                table
            });
        self.touch(index, &table, &keyed.inner, Same::Equal);
        marks.push((
            index,
            keys_are(&tried_all(&keyed.outer), TOUCHED, Same::Equal),
        ));
        let mut woven = conjunct.clone();
        keyed.replace(&mut woven, table);
        Ok(woven)
    }

    fn table(&mut self, table: &Value) -> Result<Woven, Reason> {
        match table["type"].as_str() {
            Some("BASE_TABLE") => Ok(self.base(table)?.0),
            Some("JOIN") => self.join(table),
            _ if !reads_any(table) => Ok(Woven {
                tree: table.clone(),
                vanishes: false,
                tables: vec![Table::of(table, None)],
            }),
            Some("SUBQUERY") if table.get("sample").is_some() => Err("it samples".to_owned()),
            Some("SUBQUERY") => {
                let node = &table["subquery"]["node"];
                let plain = is_plain(node, &|value| self.decomposer.is_aggregate(value));
                if !plain || self.is_better_apart(node)? {
                    return Ok(self.single(table)?.0);
                }
                let (tree, vanishes) = self.node(node)?;
                let mut woven = table.clone();
                woven["subquery"]["node"] = tree;
                Ok(Woven {
                    tables: vec![Table::of(table, None)],
                    tree: woven,
                    vanishes,
                })
            }
            Some(other) => Err(format!("it has a {other}")),
            None => Err("it reads nothing".to_owned()),
        }
    }

    /// Says whether a subquery is followed by itself: the queries by which a block follows its mentions grow
    /// faster than their number. A relation has no two columns of one name.
    fn is_better_apart(&self, node: &Value) -> Result<bool, Reason> {
        if mentions_of(node) < 2 {
            return Ok(false);
        }
        let mut seen = std::collections::HashSet::new();
        let columns = self.decomposer.describe(node)?;
        Ok(columns
            .iter()
            .all(|(name, _)| seen.insert(name.to_lowercase())))
    }

    /// Weaves a mention of a relation, and returns its number too.
    fn base(&mut self, table: &Value) -> Result<(Woven, usize), Reason> {
        let name = table["table_name"].as_str().unwrap_or("");
        let Some((relation, columns)) = self.decomposer.table_of(name) else {
            return Err(format!("it reads `{name}`"));
        };
        let index = self.mentions.len();
        let own = self.mention(relation);
        let mut woven = table.clone();
        woven["alias"] = json!(table["alias"].as_str().unwrap_or(name));
        woven["table_name"] = json!(own);
        woven["qualified_name"] = json!({"path": [own]});
        let woven = Woven {
            tables: vec![Table::of(&woven, Some(columns))],
            tree: woven,
            vanishes: true,
        };
        Ok((woven, index))
    }

    /// Weaves a table reference as one mention: a subquery becomes a relation of its own.
    fn single(&mut self, table: &Value) -> Result<(Woven, usize), Reason> {
        match table["type"].as_str() {
            Some("BASE_TABLE") => self.base(table),
            Some("SUBQUERY") => {
                let relation = self.decomposer.relation(&table["subquery"]["node"])?;
                let name = self.decomposer.name_of(relation).to_owned();
                let alias = table["alias"].as_str().unwrap_or(&name);
                let mut mention = base_table(&name, alias);
                if let Some(names) = table.get("column_name_alias") {
                    mention["column_name_alias"] = names.clone();
                }
                self.base(&mention)
            }
            _ => Err("one side of its outer, semi or anti join is a join itself".to_owned()),
        }
    }

    fn mention(&mut self, relation: usize) -> String {
        let name = self.decomposer.new_name();
        self.mentions.push(DraftMention {
            relation,
            name: name.clone(),
            apart: Vec::new(),
            touch: None,
        });
        name
    }

    fn join(&mut self, join: &Value) -> Result<Woven, Reason> {
        let kind = join["join_type"].as_str().unwrap_or("INNER");
        let natural = match join["ref_type"].as_str() {
            None | Some("REGULAR" | "CROSS") => false,
            Some("NATURAL") => true,
            Some("ASOF") => return Err("it has an ASOF join of streams".to_owned()),
            Some(other) => return Err(format!("it has a {other} join")),
        };
        refuse_subqueries(&join["condition"])?;
        let (left, right) = (&join["left"], &join["right"]);
        if kind == "INNER" {
            let left = self.table(left)?;
            let right = self.table(right)?;
            return Ok(joined(join, left, right));
        }
        let looked_up = match kind {
            "LEFT" | "SEMI" | "ANTI" => right,
            "RIGHT" => left,
            "FULL" if !natural && reads_any(left) && reads_any(right) => {
                return self.full_join(join);
            }
            _ => return Err(format!("it has a {kind} join")),
        };
        if !reads_any(looked_up) {
            let (left, right) = (self.table(left)?, self.table(right)?);
            let vanishes = if kind == "RIGHT" {
                right.vanishes
            } else {
                left.vanishes
            };
            return Ok(Woven {
                vanishes,
                ..joined(join, left, right)
            });
        }
        if natural {
            return Err("it has a natural outer join".to_owned());
        }
        self.keyed_join(join, kind)
    }

    /// Weaves a join that is linear in one side and looks the other up by key.
    fn keyed_join(&mut self, join: &Value, kind: &str) -> Result<Woven, Reason> {
        let (left, right, index) = if kind == "RIGHT" {
            let (left, index) = self.single(&join["left"])?;
            (left, self.table(&join["right"])?, index)
        } else {
            let left = self.table(&join["left"])?;
            let (right, index) = self.single(&join["right"])?;
            (left, right, index)
        };
        let (kept, looked_up) = if kind == "RIGHT" {
            (&right, &left)
        } else {
            (&left, &right)
        };
        let pairs = equalities(join, &looked_up.tables[0], &kept.tables);
        if pairs.is_empty() {
            return Err(format!("its {kind} join has no equality to look up by"));
        }
        let (inner, outer): (Vec<Value>, Vec<Value>) = pairs.into_iter().unzip();
        self.decomposer.check_keys((&inner, join), (&outer, join))?;
        let table = looked_up.tree.clone();
        self.touch(index, &table, &inner, Same::Equal);
        let vanishes = kept.vanishes;
        let touched = keys_are(&tried_all(&outer), TOUCHED, Same::Equal);
        self.note_outer(index, &kept.tree, &touched);
        // Below the join, where few rows are left to join.
        let conditions = match kind {
            "RIGHT" => [Value::Null, touched],
            _ => [touched, Value::Null],
        };
        let mut woven = joined(join, left, right);
        woven.vanishes = vanishes;
        woven.tree[MARK] = json!([[index], conditions[0], conditions[1]]);
        if matches!(kind, "SEMI" | "ANTI") {
            woven.tables.pop();
        }
        Ok(woven)
    }

    /// Notes that a block reads of a table reference only what a change of a mention touches, by this condition; where
    /// that is one mention and nothing else.
    fn note_outer(&mut self, index: usize, table: &Value, touched: &Value) {
        let outer = self.mentions.iter().position(|mention| {
            table["type"] == "BASE_TABLE" && table["table_name"] == mention.name.as_str()
        });
        if let (Some(outer), Some(touch)) = (outer, &mut self.mentions[index].touch) {
            touch.outer = Some((outer, rows_touched(table, touched.clone())));
        }
    }

    /// Weaves a join in which each side is looked up by the keys of the other.
    fn full_join(&mut self, join: &Value) -> Result<Woven, Reason> {
        let (left, left_index) = self.single(&join["left"])?;
        let (right, right_index) = self.single(&join["right"])?;
        let pairs = equalities(join, &left.tables[0], &right.tables);
        if pairs.is_empty() {
            return Err("its FULL join has no equality to look up by".to_owned());
        }
        let (mine, yours): (Vec<Value>, Vec<Value>) = pairs.into_iter().unzip();
        self.decomposer.check_keys((&mine, join), (&yours, join))?;
        self.touch(left_index, &left.tree, &mine, Same::NotDistinct);
        self.touch(right_index, &right.tree, &yours, Same::NotDistinct);
        let condition = |keys: &[Value]| keys_are(&tried_all(keys), TOUCHED, Same::NotDistinct);
        let mark = json!([
            [left_index, right_index],
            condition(&mine),
            condition(&yours)
        ]);
        let mut woven = joined(join, left, right);
        woven.tree[MARK] = mark;
        Ok(woven)
    }

    /// Notes how a change of a mention is followed.
    fn touch(&mut self, index: usize, table: &Value, inner: &[Value], same: Same) {
        let inner = &tried_all(inner);
        let keys = (inner.iter().enumerate())
            .map(|(key, expression)| named(expression, &format!("_k{key}")))
            .collect();
        self.mentions[index].touch = Some(DraftTouch {
            keys: select(keys, table.clone()),
            own: rows_touched(table, keys_are(inner, TOUCHED, same)),
            outer: None,
        });
    }
}

/// Returns a query of the rows of a mention for which a condition holds with a row of [`TOUCHED`].
fn rows_touched(table: &Value, condition: Value) -> Value {
    let alias = table["alias"].as_str().unwrap_or("");
    let star = json!({"class": "STAR", "type": "STAR", "relation_name": alias});
    select(vec![star], semi_join(table.clone(), TOUCHED, condition))
}

fn tried_all(keys: &[Value]) -> Vec<Value> {
    keys.iter().map(tried).collect()
}

fn joined(join: &Value, left: Woven, right: Woven) -> Woven {
    let mut tree = join.clone();
    tree["left"] = left.tree;
    tree["right"] = right.tree;
    let mut tables = left.tables;
    tables.extend(right.tables);
    Woven {
        tree,
        vanishes: left.vanishes || right.vanishes,
        tables,
    }
}

impl Draft {
    /// Returns the tree with its marks taken away, restricted to what a change of one mention touches.
    fn marked(&self, touched: Option<usize>) -> Value {
        restricted(&self.tree, touched)
    }

    /// Returns the tree of the block.
    pub fn plain_tree(&self) -> Value {
        self.marked(None)
    }

    /// Turns the draft into SQL and checks that all of it binds.
    pub fn finish(&self, decomposer: &Decomposer<'_>) -> Result<Block, Reason> {
        let mut mentions = Vec::new();
        for (index, draft) in self.mentions.iter().enumerate() {
            let touch = match &draft.touch {
                None => None,
                Some(touch) => Some(Touch {
                    keys_sql: decomposer.text(&touch.keys)?,
                    own_sql: decomposer.text(&touch.own)?,
                    block_sql: decomposer.text(&self.marked(Some(index)))?,
                    outer: match &touch.outer {
                        None => None,
                        Some((mention, rows)) => Some(Outer {
                            mention: *mention,
                            own_sql: decomposer.text(rows)?,
                        }),
                    },
                }),
            };
            mentions.push(Mention {
                relation: draft.relation,
                name: draft.name.clone(),
                apart: draft.apart.clone(),
                touch,
            });
        }
        let mut block = Block {
            sql: decomposer.text(&self.plain_tree())?,
            mentions,
            columns: Vec::new(),
        };
        block.columns = decomposer.describe_block(&block)?;
        Ok(block)
    }

    /// Returns the block's query of the rows whose keys are in [`TOUCHED`]; `keys` are expressions over its
    /// own table reference.
    pub fn of_touched(&self, keys: &[Value]) -> Value {
        let mut tree = self.plain_tree();
        let from = tree["from_table"].take();
        tree["from_table"] = semi_join(from, TOUCHED, keys_are(keys, TOUCHED, Same::NotDistinct));
        tree
    }
}

/// Refuses subqueries over relations in what a query selects.
pub(super) fn refuse_in_select(node: &Value) -> Result<(), Reason> {
    refuse_subqueries(&node["select_list"])?;
    refuse_subqueries(&node["qualify"])
}
