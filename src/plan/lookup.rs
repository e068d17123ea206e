//! Lookup joins: which params a query binds, and the query over tables of answers instead.
//!
//! `FROM t LEFT JOIN ohlc o ON t.symbol = o.symbol` becomes one query that gives the distinct symbols of
//! `t`, and the same query with `ohlc` replaced by the table of answers, which has the params as columns:
//! so the join itself pairs each row with its answer, and duplicates never multiply.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::{Value, json};

use super::bind::{Binder, first_word, place_in, read_place};
use super::casts;
use super::conditions::{and, compared_with, conjuncts, equal_to, only_narrows, using};
use super::feed::LookupStep;
use super::maintain::{Views, calls_volatile, inline, volatile_call};
use super::node::LookupPlan;
use crate::diagnostic::{Diagnostic, Span};
use crate::engine::functions;
use crate::engine::syntax::{place_of, read_of, reads_of};
use crate::sql::{Ident, SqlText, quote_ident};

/// Finds the lookup behind a name of the query.
pub type Find<'a> = &'a dyn Fn(&str) -> Option<(Arc<LookupPlan>, Ident)>;

/// What becomes of a query with lookups.
pub struct Rewritten {
    pub query: String,
    pub steps: Vec<LookupStep>,
}

/// What a query that mentions lookups is rewritten with.
pub struct With<'a> {
    pub binder: &'a Binder,
    /// Keeps the answer tables of different queries apart.
    pub prefix: &'a str,
    pub find: Find<'a>,
    /// The views under the query.
    pub views: &'a Views,
}

/// Rewrites a query that mentions lookups.
///
/// # Errors
/// All faults: a lookup that stands alone or on the left of its join, a param that nothing binds, or that has another
/// value whenever it is asked for.
pub fn rewrite(
    with: &With<'_>,
    query: &SqlText,
    tree: &Value,
) -> Result<Rewritten, Vec<Diagnostic>> {
    let mut rewriter = Rewriter {
        with,
        binder: with.binder,
        query,
        places: HashSet::new(),
        steps: Vec::new(),
        faults: Vec::new(),
    };
    let mut written = tree.clone();
    rewriter.node(&mut written, &[]);
    rewriter.refuse_others(tree);
    let rewritten = rewriter.text(&written);
    let answers = rewriter.steps.iter().map(|step| step.answers.as_str());
    if let Err(error) = with.binder.remove_tables(answers) {
        let fault = Diagnostic::new(first_word(query), error.to_string());
        rewriter.faults.push(fault);
    }
    match rewritten {
        Some(query) if rewriter.faults.is_empty() => Ok(Rewritten {
            query,
            steps: rewriter.steps,
        }),
        _ => Err(rewriter.faults),
    }
}

struct Rewriter<'a> {
    with: &'a With<'a>,
    binder: &'a Binder,
    query: &'a SqlText,
    /// Where the lookups stand that were met in a FROM clause.
    places: HashSet<Option<(usize, usize)>>,
    steps: Vec<LookupStep>,
    faults: Vec<Diagnostic>,
}

/// The CTE entries in scope, outermost first, already rewritten.
type Scope = [Value];

/// The join that a lookup stands on the right of.
struct Site<'a> {
    /// Everything left of it, already rewritten.
    left: &'a Value,
    scope: &'a Scope,
    /// The conditions of the WHERE clause that may be asked before the lookup.
    filters: &'a [Value],
}

impl Rewriter<'_> {
    /// Turns the rewritten tree into text and binds that, over the tables of answers.
    fn text(&mut self, tree: &Value) -> Option<String> {
        if !self.faults.is_empty() {
            return None;
        }
        let session = self.binder.session();
        let text = session.unparse(tree).and_then(|text| {
            session.check(&text)?;
            Ok(text)
        });
        match text {
            Ok(text) => Some(text),
            Err(error) => {
                let message = format!("this query cannot be run with its lookups: {error}");
                let fault = Diagnostic::new(first_word(self.query), message);
                self.faults.push(fault);
                None
            }
        }
    }

    fn node(&mut self, node: &mut Value, scope: &Scope) {
        let mut scope = scope.to_vec();
        if let Some(Value::Array(entries)) = node.pointer_mut("/cte_map/map") {
            for entry in entries {
                let body = if entry["value"].get("query_node").is_some() {
                    &mut entry["value"]["query_node"]
                } else {
                    &mut entry["value"]["query"]["node"]
                };
                self.node(body, &scope);
                scope.push(entry.clone());
            }
        }
        if let Some(Value::Array(children)) = node.get_mut("children") {
            for child in children {
                self.node(child, &scope);
            }
        }
        for side in ["left", "right", "child"] {
            if node
                .get(side)
                .is_some_and(|child| child.get("type").is_some())
            {
                self.node(&mut node[side], &scope);
            }
        }
        if node.get("from_table").is_some() {
            let filters = conjuncts(&node["where_clause"]);
            let mut from = node["from_table"].take();
            self.table(&mut from, &scope, &filters);
            node["from_table"] = from;
        }
    }

    fn table(&mut self, table: &mut Value, scope: &Scope, filters: &[Value]) {
        match table["type"].as_str() {
            Some("SUBQUERY") => self.node(&mut table["subquery"]["node"], scope),
            Some("BASE_TABLE") => {
                if let Some((lookup, _)) = self.lookup_of(table, scope) {
                    let fault = alone(&lookup.name, self.span(table))
                        .help("join it to the rows to ask for: `FROM t LEFT JOIN … ON …`");
                    self.faults.push(fault);
                }
            }
            Some("JOIN") => self.join(table, scope, filters),
            _ => {}
        }
    }

    fn join(&mut self, join: &mut Value, scope: &Scope, filters: &[Value]) {
        // Rows that a RIGHT or FULL join adds have not passed any filter of the left side.
        let widening = matches!(join["join_type"].as_str(), Some("RIGHT" | "OUTER" | "FULL"));
        let filters = if widening { &[][..] } else { filters };
        let mut left = join["left"].take();
        self.table(&mut left, scope, filters);
        match self.lookup_of(&join["right"], scope) {
            None => {
                let mut right = join["right"].take();
                self.table(&mut right, scope, &[]);
                join["right"] = right;
            }
            Some((lookup, defined)) => {
                let site = Site {
                    left: &left,
                    scope,
                    filters,
                };
                if let Err(fault) = self.lookup_join(join, &lookup, &defined, &site) {
                    self.faults.push(*fault);
                }
            }
        }
        join["left"] = left;
    }

    /// Refuses the lookups outside of the FROM clauses, where no row asks them: in subqueries of expressions.
    fn refuse_others(&mut self, tree: &Value) {
        for read in reads_of(tree) {
            let Some((lookup, _)) = (self.with.find)(&read.name) else {
                continue;
            };
            if !self.places.contains(&read.place) {
                let fault = alone(&lookup.name, read_place(self.query, &read));
                let help =
                    "join it in the FROM clause of the query itself: `FROM t LEFT JOIN … ON …`";
                self.faults.push(fault.help(help));
            }
        }
    }

    fn lookup_of(&mut self, table: &Value, scope: &Scope) -> Option<(Arc<LookupPlan>, Ident)> {
        let ctes: Vec<String> = (scope.iter())
            .filter_map(|entry| Some(entry["key"].as_str()?.to_lowercase()))
            .collect();
        let read = read_of(table, &ctes)?;
        let found = (self.with.find)(&read.name)?;
        self.places.insert(read.place);
        Some(found)
    }

    fn span(&self, node: &Value) -> Span {
        match place_of(node) {
            Some((start, length)) => place_in(self.query, start, length),
            None => first_word(self.query),
        }
    }

    fn lookup_join(
        &mut self,
        join: &mut Value,
        lookup: &Arc<LookupPlan>,
        defined: &Ident,
        site: &Site<'_>,
    ) -> Result<(), Box<Diagnostic>> {
        let place = self.span(&join["right"]);
        let kind = join["join_type"].as_str().unwrap_or("INNER");
        let regular = matches!(join["ref_type"].as_str(), None | Some("REGULAR" | "CROSS"));
        if !matches!(kind, "INNER" | "LEFT") || !regular {
            let message = format!(
                "lookup `{}` can only be joined by JOIN or LEFT JOIN",
                lookup.name
            );
            let help = "the rows that ask stand on the left: `FROM t LEFT JOIN lookup ON …`";
            return Err(Box::new(Diagnostic::new(place, message).help(help)));
        }
        let alias = join["right"]["alias"]
            .as_str()
            .unwrap_or(&lookup.name)
            .to_owned();
        let mut bound = Vec::new();
        let mut added = Vec::new();
        for param in &lookup.params {
            let binding = self.binding(join, &alias, &param.name, site)?;
            let expression = match binding {
                Binding::Given(expression) => expression,
                Binding::Named(column) => {
                    added.push(json!({
                        "class": "COMPARISON", "type": "COMPARE_EQUAL", "left": column.clone(),
                        "right": {"class": "COLUMN_REF", "type": "COLUMN_REF",
                                  "column_names": [alias, param.name]},
                    }));
                    column
                }
                Binding::None => {
                    let param = format!("{alias}.{}", param.name);
                    return Err(self.unbound(lookup, &param, place, defined));
                }
            };
            bound.push((param, expression));
        }
        let params_sql = self.params_sql(&bound, site, place)?;
        let answers = format!("{}_{}", self.with.prefix, self.steps.len());
        self.binder
            .add_table(&answers, &lookup.visible)
            .map_err(|fault| Box::new(Diagnostic::new(place, fault.message)))?;
        let right = &mut join["right"];
        right["alias"] = json!(alias);
        right["table_name"] = json!(answers);
        right["qualified_name"] = json!({"path": [answers]});
        if !added.is_empty() && using(join).next().is_some() {
            join["right"] = only(join["right"].take(), &alias, added);
        } else if !added.is_empty() {
            added.extend(conjuncts(&join["condition"]));
            join["condition"] = and(added);
            join["ref_type"] = json!("REGULAR");
        }
        self.steps.push(LookupStep {
            lookup: Arc::clone(lookup),
            params_sql,
            answers,
        });
        Ok(())
    }

    /// Finds what a join gives to a param: first its conditions, then a column of the same name.
    fn binding(
        &self,
        join: &Value,
        alias: &str,
        param: &str,
        site: &Site<'_>,
    ) -> Result<Binding, Box<Diagnostic>> {
        if using(join).any(|name| name.eq_ignore_ascii_case(param)) {
            return Ok(Binding::Given(json!({
                "class": "COLUMN_REF", "type": "COLUMN_REF", "column_names": [param],
            })));
        }
        if let Some(equal) = equal_to(&join["condition"], alias, param) {
            self.refuse_changing(&equal, param)?;
            return Ok(Binding::Given(equal));
        }
        if let Some(comparison) = compared_with(&join["condition"], alias, param) {
            let message = format!("parameter `${param}` is compared, but only `=` can bind it");
            let fault = Diagnostic::new(self.span(&comparison), message);
            let help = "a lookup is asked for one value at a time: write `… = ";
            return Err(Box::new(fault.help(format!("{help}{alias}.{param}`"))));
        }
        // What USING does not say is compared inside the right side, where a bare name is the lookup's own.
        let is_using = using(join).next().is_some();
        let is_bare = |column: &Value| column["column_names"][1].is_null();
        match self.named_column(site, param) {
            Some(column) if !(is_using && is_bare(&column)) => Ok(Binding::Named(column)),
            _ => Ok(Binding::None),
        }
    }

    /// Refuses what binds a param if its value changes: the lookup would be asked for one, and its answer looked up by
    /// another.
    fn refuse_changing(&self, bound: &Value, param: &str) -> Result<(), Box<Diagnostic>> {
        let Some(call) = volatile_call(bound, &functions::is_volatile) else {
            return Ok(());
        };
        let message = format!("parameter `${param}` is bound to a value that changes");
        let help = "give the left side a generated column that keeps it, such as \
                    `at TIMESTAMP AS (TRIGGER_TIME())`, and bind that";
        Err(Box::new(
            Diagnostic::new(self.span(call), message).help(help),
        ))
    }

    /// Makes the fault for a param, given as `alias.param`, that nothing binds.
    fn unbound(
        &self,
        lookup: &LookupPlan,
        param: &str,
        place: Span,
        defined: &Ident,
    ) -> Box<Diagnostic> {
        let name = param.rsplit_once('.').map_or(param, |(_, name)| name);
        let message = format!(
            "parameter `${name}` of lookup `{}` is not bound",
            lookup.name
        );
        Box::new(
            Diagnostic::new(place, message)
                .label("joined here")
                .also(defined.span, "the lookup")
                .help(format!(
                    "add `… = {param}` to its ON, or give the left side a column `{name}`"
                )),
        )
    }

    /// Returns the column of the left side that has a param's name; where several have it, the leftmost.
    fn named_column(&self, site: &Site<'_>, name: &str) -> Option<Value> {
        let mut tables = Vec::new();
        collect_aliases(site.left, &mut tables);
        // The bare name last: beside the lookup, which has a column of that name too, it is ambiguous.
        let qualified = tables.into_iter().map(|table| vec![table, name.to_owned()]);
        let mut candidates = qualified.chain([vec![name.to_owned()]]);
        candidates.find_map(|names| {
            let column =
                json!({"class": "COLUMN_REF", "type": "COLUMN_REF", "column_names": names});
            let tree = select(vec![column.clone()], site, Vec::new());
            let text = self.binder.session().unparse(&tree).ok()?;
            self.binder.session().check(&text).ok()?;
            Some(column)
        })
    }

    /// Returns the function of a query, or of a CTE or view under it, whose value changes.
    fn changing(&self, query: &Value) -> Option<String> {
        let of = |tree: &Value| calls_volatile(tree, &functions::is_volatile);
        match inline(query, self.with.views) {
            Ok(whole) => of(&whole),
            Err(_) => of(query).or_else(|| self.with.views.values().find_map(of)),
        }
    }

    /// Builds the query of distinct tuples: the left side, and of WHERE what needs no answer.
    fn params_sql(
        &self,
        bound: &[(&crate::batch::Column, Value)],
        site: &Site<'_>,
        place: Span,
    ) -> Result<String, Box<Diagnostic>> {
        let broken = |error: anyhow::Error| Box::new(Diagnostic::new(place, error.to_string()));
        let session = self.binder.session();
        let selected: Vec<Value> = (bound.iter())
            .map(|(param, expression)| {
                let mut expression = expression.clone();
                expression["alias"] = json!(param.name);
                expression
            })
            .collect();
        if let Some(name) = self.changing(&select(selected.clone(), site, Vec::new())) {
            let message =
                format!("what stands left of a lookup calls `{name}`, whose value changes");
            let help = "it is evaluated to ask the lookup, and again to join the answers: put it into a \
                        MATERIALIZED VIEW and read that";
            return Err(Box::new(Diagnostic::new(place, message).help(help)));
        }
        let one = json!({"class": "CONSTANT", "type": "VALUE_CONSTANT",
                         "literal": {"kind": "INTEGER", "text": "1"}});
        let pushed: Vec<Value> = (site.filters.iter())
            .filter(|filter| {
                let tree = select(vec![one.clone()], site, vec![(*filter).clone()]);
                let text = session.unparse(&tree);
                text.is_ok_and(|text| session.check(&text).is_ok())
                    && (only_narrows(filter) || self.changing(&tree).is_none())
            })
            .cloned()
            .collect();
        let text = session
            .unparse(&select(selected, site, pushed))
            .map_err(broken)?;
        let found = session
            .describe(&text)
            .map_err(|fault| broken(fault.into()))?;
        self.refuse_other_types(bound, &found, place)?;
        // A number that does not become of the param's type equals none that is, so that nothing is asked for it; of
        // texts the join says that it cannot compare them.
        let casts: Vec<String> = (bound.iter().zip(found))
            .map(|((param, _), (_, found))| {
                let name = quote_ident(&param.name);
                let cast = if found == "VARCHAR" {
                    "CAST"
                } else {
                    "TRY_CAST"
                };
                format!("{cast}({name} AS {}) AS {name}", param.sql_type)
            })
            .collect();
        let sql = format!("SELECT DISTINCT {} FROM ({text})", casts.join(", "));
        session.check(&sql).map_err(|fault| broken(fault.into()))?;
        Ok(sql)
    }

    /// Refuses a param of whose type what was found for it, a name and a type, can never be.
    fn refuse_other_types(
        &self,
        bound: &[(&crate::batch::Column, Value)],
        found: &[(String, String)],
        place: Span,
    ) -> Result<(), Box<Diagnostic>> {
        for ((param, _), (_, found)) in bound.iter().zip(found) {
            let (name, wanted) = (&param.name, &param.sql_type);
            if casts::never(self.binder, found, wanted) {
                let message = format!("param `${name}` is {wanted}, which no {found} becomes");
                let help = format!(
                    "cast what it is joined with to {wanted}, or declare `${name}` as {found}"
                );
                return Err(Box::new(Diagnostic::new(place, message).help(help)));
            }
        }
        Ok(())
    }
}

/// Makes the fault for a lookup that no row asks.
pub fn alone(lookup: &str, place: Span) -> Diagnostic {
    Diagnostic::new(place, format!("lookup `{lookup}` cannot be read alone"))
}

/// Builds a SELECT over the left side of a join, with the CTEs in scope.
fn select(list: Vec<Value>, site: &Site<'_>, filters: Vec<Value>) -> Value {
    let mut entries: Vec<Value> = Vec::new();
    for entry in site.scope {
        entries.retain(|other| other["key"] != entry["key"]);
        entries.push(entry.clone());
    }
    let mut node = json!({
        "type": "SELECT_NODE",
        "cte_map": {"map": entries},
        "select_list": list,
        "from_table": site.left,
        "aggregate_handling": "STANDARD_HANDLING",
    });
    if !filters.is_empty() {
        node["where_clause"] = and(filters);
    }
    node
}

/// Returns the rows of a table for which conditions hold, as a table of the same name and columns.
///
/// For a join by USING, which cannot have conditions of its own.
fn only(table: Value, alias: &str, conditions: Vec<Value>) -> Value {
    let site = Site {
        left: &table,
        scope: &[],
        filters: &[],
    };
    let all = json!({"class": "STAR", "type": "STAR"});
    let node = select(vec![all], &site, conditions);
    json!({"type": "SUBQUERY", "alias": alias, "subquery": {"node": node}})
}

/// What a param gets its value from.
enum Binding {
    /// An expression over the left side, equated with it by the query.
    Given(Value),
    /// A column of the same name, yet to be equated.
    Named(Value),
    None,
}

/// Collects the names under which the tables of a FROM clause are known, from left to right.
fn collect_aliases(table: &Value, aliases: &mut Vec<String>) {
    if table["type"] == "JOIN" {
        collect_aliases(&table["left"], aliases);
        collect_aliases(&table["right"], aliases);
        return;
    }
    let name = table["alias"]
        .as_str()
        .or_else(|| table["table_name"].as_str());
    aliases.extend(name.map(str::to_owned));
}
