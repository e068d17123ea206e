//! Takes a query apart into stages: each aggregate, partition or top-n is one, over a block of what lies
//! under it.

use std::cell::Cell;
use std::collections::HashMap;

use serde_json::{Value, json};

use super::block::{any_outside_subqueries, is_plain, weave};
use super::program::{Block, Program, Relation, Stage};
use super::ranked::partition_keys;
use super::tree::{
    base_table, column, column_path, has_subquery, has_window, list, number, select, unnamed,
};
use crate::engine::shape::Reason;
use crate::engine::{SqlFault, functions};
use crate::plan::bind::Binder;
use crate::plan::columns::is_usual;
use crate::sql::quote_ident;

/// A block with more mentions is recomputed: each is followed by a query that joins them all.
pub(super) const MENTIONS_MAX: usize = 16;

/// Queries beyond so many stages are recomputed: each stage costs some statements a batch.
const STAGES_MAX: usize = 24;

/// Queries that read the inputs in more places to give the content of one relation are recomputed: a block's
/// content is no table but its query, which stands once in the place of each of its mentions.
const READS_MAX: usize = 32;

/// Columns that the tables of stages have beside those of the query.
const RESERVED: [&str; 5] = ["_w", "_new", "_rank", "_complete", "_row"];

/// A query being taken apart.
pub(super) struct Decomposer<'a> {
    binder: &'a Binder,
    owner: &'a str,
    relations: Vec<Relation>,
    stages: Vec<Stage>,
    /// The names under which relations are bound.
    names: Vec<String>,
    /// How many of the relations are bound: that of a stage is when a query over it is described.
    bound: Cell<usize>,
    numbers: HashMap<String, usize>,
    /// In how many places the query of each relation's content reads a table.
    reads: Vec<usize>,
    mentions: usize,
    /// What has been taken apart: a view that is read twice is one relation.
    done: HashMap<String, usize>,
    /// The whole query without its modifiers, and its columns.
    whole: (Value, Vec<(String, String)>),
}

impl<'a> Decomposer<'a> {
    /// Begins with the inputs: name and relation of each.
    pub fn new(binder: &'a Binder, owner: &'a str, inputs: Vec<(String, Relation)>) -> Self {
        let mut decomposer = Self {
            binder,
            owner,
            relations: Vec::new(),
            stages: Vec::new(),
            names: Vec::new(),
            bound: Cell::new(inputs.len()),
            numbers: HashMap::new(),
            reads: Vec::new(),
            mentions: 0,
            done: HashMap::new(),
            whole: (Value::Null, Vec::new()),
        };
        for (name, relation) in inputs {
            decomposer.add(name, relation, 1);
        }
        decomposer
    }

    fn add(&mut self, name: String, relation: Relation, reads: usize) -> usize {
        let number = self.relations.len();
        self.numbers.insert(name.to_lowercase(), number);
        self.names.push(name);
        self.relations.push(relation);
        self.reads.push(reads);
        number
    }

    /// Takes the whole query apart; its columns are those of the kept relation.
    pub fn program(
        &mut self,
        tree: &Value,
        columns: &[(String, String)],
    ) -> Result<Program, Reason> {
        self.whole = (unmodified(tree), columns.to_vec());
        let output = self.relation(tree)?;
        if output < self.relations.len() - self.stages.len() {
            return Err("it is its input".to_owned());
        }
        let given = &self.relations[output].columns;
        let types = |columns: &[(String, String)]| -> Vec<String> {
            columns
                .iter()
                .map(|(_, sql_type)| sql_type.clone())
                .collect()
        };
        if output + 1 != self.relations.len() || types(given) != types(columns) {
            return Err("taken apart it gives other columns".to_owned());
        }
        Ok(Program {
            rereads: super::rereads::rereads(&self.relations, &self.stages),
            relations: self.relations.clone(),
            stages: self.stages.clone(),
        })
    }

    /// Forgets the names that were bound on the way.
    pub fn clear(&self) {
        let inputs = self.relations.len() - self.stages.len();
        let stages = self.names[inputs..self.bound.get()]
            .iter()
            .map(String::as_str);
        if let Err(error) = self.binder.remove_tables(stages) {
            tracing::debug!(owner = %self.owner, %error, "the relations of stages stay bound");
        }
    }

    /// Returns number and columns of a relation by name.
    pub fn table_of(&self, name: &str) -> Option<(usize, Vec<String>)> {
        let number = *self.numbers.get(&name.to_lowercase())?;
        let columns = self.relations[number].columns.iter();
        Some((number, columns.map(|(name, _)| name.clone()).collect()))
    }

    pub fn columns_of(&self, relation: usize) -> &[(String, String)] {
        &self.relations[relation].columns
    }

    pub fn name_of(&self, relation: usize) -> &str {
        &self.names[relation]
    }

    /// Returns a name for a mention.
    pub fn new_name(&mut self) -> String {
        self.mentions += 1;
        format!("_m{}", self.mentions)
    }

    /// Says whether an object of a tree is a call of an aggregate function.
    pub fn is_aggregate(&self, value: &Value) -> bool {
        let name = value["function_name"].as_str().unwrap_or("").to_lowercase();
        value["class"] == "FUNCTION"
            && value["is_operator"] != true
            && functions::aggregates().contains(&name)
    }

    pub fn text(&self, tree: &Value) -> Result<String, Reason> {
        let text = self.binder.session().unparse(tree);
        text.map_err(|_| "its tree cannot be written as SQL".to_owned())
    }

    /// Parses SQL of ours.
    pub fn parse(&self, sql: &str) -> Result<Value, Reason> {
        let parsed = self.binder.session().parse_one(sql);
        let tree = parsed.ok().and_then(|parsed| parsed.ok()?.tree);
        tree.ok_or_else(|| "a part of it cannot be parsed".to_owned())
    }

    /// Returns the columns of a query over relations by their bound names.
    pub fn describe(&self, tree: &Value) -> Result<Vec<(String, String)>, Reason> {
        let (whole, columns) = &self.whole;
        if tree == whole {
            return Ok(columns.clone());
        }
        self.describe_text(&self.text(tree)?)
    }

    pub fn describe_text(&self, sql: &str) -> Result<Vec<(String, String)>, Reason> {
        self.bind()?;
        let described = self.binder.session().describe(&subquery_of(sql));
        described.map_err(stands_not_alone)
    }

    /// Binds a query as [`Decomposer::describe_text`], whose columns are known.
    fn check_text(&self, sql: &str) -> Result<(), Reason> {
        self.bind()?;
        let checked = self.binder.session().check(&subquery_of(sql));
        checked.map_err(stands_not_alone)
    }

    /// Returns the columns of a block.
    pub fn describe_block(&self, block: &Block) -> Result<Vec<(String, String)>, Reason> {
        let columns = self.describe_text(&self.over_bound(block, &block.sql))?;
        for touch in block
            .mentions
            .iter()
            .filter_map(|mention| mention.touch.as_ref())
        {
            let outer = touch.outer.as_ref().map(|outer| &outer.own_sql);
            for sql in [&touch.own_sql, &touch.block_sql].into_iter().chain(outer) {
                let sql = format!("WITH \"_touched\" AS ({}) {sql}", touch.keys_sql);
                self.check_text(&self.over_bound(block, &sql))?;
            }
        }
        Ok(columns)
    }

    /// Returns a query over mentions as one over bound names.
    pub fn over_bound(&self, block: &Block, sql: &str) -> String {
        let ctes: Vec<String> = (block.mentions.iter())
            .map(|mention| {
                let name = quote_ident(&self.names[mention.relation]);
                format!("{} AS (FROM {name})", quote_ident(&mention.name))
            })
            .collect();
        format!("WITH {} SELECT * FROM ({sql}\n)", ctes.join(", "))
    }

    /// Says whether rows of a block only ever come.
    pub fn grows_only(&self, block: &Block) -> bool {
        block
            .mentions
            .iter()
            .all(|mention| mention.touch.is_none() && self.relations[mention.relation].append_only)
    }

    /// Adds a stage and returns the relation it gives.
    pub fn stage(
        &mut self,
        stage: Stage,
        columns: Vec<(String, String)>,
        append_only: bool,
    ) -> Result<usize, Reason> {
        if self.stages.len() == STAGES_MAX {
            return Err(format!("it has more than {STAGES_MAX} stages"));
        }
        let read = match &stage {
            Stage::Block(block) => self.reads_of(block),
            Stage::Aggregate(aggregate) => self.reads_of(&aggregate.rows),
            Stage::Partition(partition) => self.reads_of(&partition.keys),
            Stage::Top(top) => self.reads[top.of],
        };
        if read > READS_MAX {
            return Err(format!(
                "a part of it reads in more than {READS_MAX} places"
            ));
        }
        // All other stages keep what they give.
        let reads = if matches!(stage, Stage::Block(_)) {
            read
        } else {
            1
        };
        let reserved = |name: &str| RESERVED.contains(&name) || name.starts_with("_k");
        let owns_keys = matches!(stage, Stage::Aggregate(_));
        if let Some((name, _)) = columns
            .iter()
            .find(|(name, _)| !owns_keys && reserved(name))
        {
            return Err(format!("a column is called `{name}`"));
        }
        let mut seen = std::collections::HashSet::new();
        if !columns
            .iter()
            .all(|(name, _)| seen.insert(name.to_lowercase()))
        {
            return Err("a part of it has two columns of one name".to_owned());
        }
        let name = format!("{} stage {}", self.owner, self.stages.len());
        self.stages.push(stage);
        let relation = Relation {
            columns,
            append_only,
        };
        let is_plain = (relation.columns.iter()).all(|(_, sql_type)| is_usual(sql_type));
        let number = self.add(name, relation, reads);
        if !is_plain {
            // A query over it may come too late, or not at all, to tell whether its rows can be kept.
            self.bind()?;
        }
        Ok(number)
    }

    /// Binds the relations of stages.
    fn bind(&self) -> Result<(), Reason> {
        for number in self.bound.get()..self.relations.len() {
            let (name, relation) = (&self.names[number], &self.relations[number]);
            (self.binder.add_table(name, &relation.columns))
                .map_err(|fault| format!("a part of it cannot be kept ({})", fault.message))?;
            self.bound.set(number + 1);
        }
        Ok(())
    }

    /// Counts the tables that the query of a block's content reads.
    fn reads_of(&self, block: &Block) -> usize {
        (block.mentions.iter())
            .map(|mention| self.reads[mention.relation])
            .sum()
    }

    /// Takes a query apart and returns the relation it gives.
    pub fn relation(&mut self, node: &Value) -> Result<usize, Reason> {
        let text = node.to_string();
        if let Some(done) = self.done.get(&text) {
            return Ok(*done);
        }
        let relation = self.new_relation(node)?;
        self.done.insert(text, relation);
        Ok(relation)
    }

    fn new_relation(&mut self, node: &Value) -> Result<usize, Reason> {
        let (mut distinct, mut order, mut limit) = (None, None, None);
        for modifier in list(&node["modifiers"]) {
            match modifier["type"].as_str() {
                Some("DISTINCT_MODIFIER") => distinct = Some(modifier),
                Some("ORDER_MODIFIER") => order = Some(modifier),
                Some("LIMIT_MODIFIER") => limit = Some(modifier),
                _ => return Err("it has a LIMIT of another form".to_owned()),
            }
        }
        let mut body = unmodified(node);
        let chosen = distinct.map_or(&[][..], |distinct| list(&distinct["distinct_on_targets"]));
        if !chosen.is_empty() {
            refuse_choice(node, limit)?;
        }
        if let Some(limit) = limit {
            if let Some(distinct) = distinct {
                body["modifiers"] = json!([distinct]);
            }
            let order = order.ok_or("it has LIMIT without ORDER BY")?;
            return self.top(&body, list(&order["orders"]), limit);
        }
        match distinct {
            None => self.body(&body),
            Some(_) if chosen.is_empty() => {
                let base = self.body(&body)?;
                self.distinct(base)
            }
            Some(_) => {
                let targets = self.targets(&body, chosen)?;
                body["modifiers"] = node["modifiers"].clone();
                self.partition(&body, &targets)
            }
        }
    }

    fn body(&mut self, node: &Value) -> Result<usize, Reason> {
        if node["type"] == "SET_OPERATION_NODE" && !is_plain(node, &|_| false) {
            return self.set_operation(node);
        }
        if node["type"] != "SELECT_NODE" {
            return self.block(node);
        }
        let aggregates = ["select_list", "having", "qualify"]
            .into_iter()
            .any(|field| any_outside_subqueries(&node[field], &|value| self.is_aggregate(value)));
        let grouped = ["group_expressions", "group_sets"]
            .into_iter()
            .any(|field| node.get(field).is_some());
        if aggregates || grouped || node["aggregate_handling"] == "FORCE_AGGREGATES" {
            return self.aggregate(node);
        }
        if has_window(&node["select_list"]) || node.get("qualify").is_some() {
            let keys = partition_keys(node)?;
            return self.partition(node, &keys);
        }
        self.block(node)
    }

    fn block(&mut self, node: &Value) -> Result<usize, Reason> {
        let draft = weave(self, node)?;
        let block = draft.finish(self)?;
        let (columns, grows) = (block.columns.clone(), self.grows_only(&block));
        self.stage(Stage::Block(block), columns, grows)
    }

    /// Makes the relation of the different rows of another one.
    fn distinct(&mut self, base: usize) -> Result<usize, Reason> {
        let columns = self.column_refs(base);
        let name = self.names[base].clone();
        let mut node = select(columns.clone(), base_table(&name, &name));
        node["group_expressions"] = Value::Array(columns);
        node["group_sets"] = json!([(0..self.relations[base].columns.len()).collect::<Vec<_>>()]);
        self.aggregate(&node)
    }

    fn column_refs(&self, relation: usize) -> Vec<Value> {
        let columns = self.relations[relation].columns.iter();
        columns.map(|(name, _)| column(&[name])).collect()
    }

    /// `UNION`, `EXCEPT` and `INTERSECT` by counting the rows of each side.
    fn set_operation(&mut self, node: &Value) -> Result<usize, Reason> {
        let kind = node["setop_type"].as_str().unwrap_or("").to_owned();
        let all = node["setop_all"] != Value::Bool(false);
        if kind == "UNION" && !all {
            let mut union = node.clone();
            union["setop_all"] = json!(true);
            let base = self.block(&union)?;
            return self.distinct(base);
        }
        let [left, right] = list(&node["children"]) else {
            return Err(format!("it has {kind} of more than two"));
        };
        let condition = match (kind.as_str(), all) {
            ("EXCEPT", false) => {
                "HAVING count(*) FILTER (_left) > 0 AND count(*) FILTER (NOT _left) = 0"
            }
            ("INTERSECT", false) => {
                "HAVING count(*) FILTER (_left) > 0 AND count(*) FILTER (NOT _left) > 0"
            }
            _ => return Err(format!("it has {kind} ALL")),
        };
        let names = self.describe(node)?;
        let (left, right) = (self.relation(left)?, self.relation(right)?);
        let list: Vec<String> = names.iter().map(|(name, _)| quote_ident(name)).collect();
        let list = list.join(", ");
        let tree = self.parse(&format!(
            "SELECT {list} FROM (SELECT *, true AS _left FROM {} UNION ALL SELECT *, false FROM {}) AS _both \
             GROUP BY {list} {condition}",
            quote_ident(&self.names[left]),
            quote_ident(&self.names[right])
        ))?;
        self.relation(&tree)
    }

    /// Resolves the expressions of `DISTINCT ON`, where a name of the select list goes before a column of the tables.
    fn targets(&self, node: &Value, targets: &[Value]) -> Result<Vec<Value>, Reason> {
        let resolved = |target: &Value| match item_named(node, target) {
            Some(item) => Ok(unnamed(item)),
            None => self.resolved(node, target),
        };
        targets.iter().map(resolved).collect()
    }

    /// Returns what an expression outside of the select list stands for: an item by its place or name, or
    /// the expression itself. A column of the tables goes before a name of the select list.
    pub fn resolved(&self, node: &Value, expression: &Value) -> Result<Value, Reason> {
        let items = list(&node["select_list"]);
        if expression["class"] == "CONSTANT" {
            let place = expression["literal"]["text"].as_str();
            let place = place.and_then(|text| text.parse::<usize>().ok());
            let before = place.and_then(|place| items.get(..place));
            let item = before
                .filter(|items| items.iter().all(|item| item["class"] != "STAR"))
                .and_then(<[Value]>::last);
            return item
                .map(unnamed)
                .ok_or_else(|| "it counts columns of a star".to_owned());
        }
        if let Some(item) = item_named(node, expression) {
            let alone = select(vec![expression.clone()], node["from_table"].clone());
            if self.describe(&alone).is_err() {
                return Ok(unnamed(item));
            }
        }
        Ok(unnamed(expression))
    }
}

/// Returns the item of the select list whose name an expression is.
fn item_named<'n>(node: &'n Value, expression: &Value) -> Option<&'n Value> {
    let path = column_path(expression)?;
    let [name] = path.as_slice() else {
        return None;
    };
    list(&node["select_list"]).iter().find(|item| {
        let alias = item["alias"].as_str().unwrap_or("");
        alias.eq_ignore_ascii_case(name)
    })
}

/// Refuses forms of `DISTINCT ON` in which the rows of one key do not say which of them is taken.
fn refuse_choice(node: &Value, limit: Option<&Value>) -> Result<(), Reason> {
    if limit.is_some() {
        return Err("it has DISTINCT ON with LIMIT".to_owned());
    }
    if has_window(&node["select_list"]) || node.get("qualify").is_some() {
        return Err("it has DISTINCT ON over windows".to_owned());
    }
    if has_subquery(&node["modifiers"]) {
        return Err("it has DISTINCT ON by a subquery".to_owned());
    }
    Ok(())
}

fn subquery_of(sql: &str) -> String {
    format!("SELECT * FROM ({sql}\n)")
}

fn stands_not_alone(fault: SqlFault) -> Reason {
    format!("a part of it does not stand alone ({})", fault.message)
}

/// Returns a query node without DISTINCT, ORDER BY and LIMIT.
fn unmodified(node: &Value) -> Value {
    let mut body = node.clone();
    body["modifiers"] = json!([]);
    body
}

/// Returns a constant group, for an aggregate without groups.
pub(super) fn the_only_group() -> Value {
    number(0)
}
