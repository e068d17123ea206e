//! What has changed in each relation of a program, and the queries over changes and contents that a block
//! is evaluated by.
//!
//! A product changes by its parts one after the other: what is new in one, together with the new content
//! of those before it and the old content of those after it. Old content is new content without what came
//! and with what went; in a query that is linear it may be taken apart into these three.

use crate::engine::{Layout, Ledger, Session, Stored};
use crate::plan::{Block, TOUCHED, Touch};
use crate::sql::quote_ident;

use super::{Maintainer, Range};

/// Queries of the rows that came and went; `None` where there are none.
#[derive(Clone, Debug, Default)]
pub(super) struct Rows {
    pub plus: Option<String>,
    pub minus: Option<String>,
}

impl Rows {
    fn is_empty(&self) -> bool {
        self.plus.is_none() && self.minus.is_none()
    }

    fn signed(&self) -> Vec<(i8, &str)> {
        let plus = self.plus.iter().map(|rows| (1, rows.as_str()));
        plus.chain(self.minus.iter().map(|rows| (-1, rows.as_str())))
            .collect()
    }
}

/// A relation during one batch.
struct Changed {
    rows: Rows,
    /// A query of its content after the batch.
    content: String,
    /// A query of its content before, where there is a better one than taking it apart.
    before: Option<String>,
    columns: String,
}

/// The relations of a program during one batch.
pub(super) struct Changes<'a> {
    pub maintainer: &'a Maintainer<'a>,
    pub session: &'a Session,
    relations: Vec<Changed>,
    /// Nothing has been taken before: all old contents are empty.
    pub first: bool,
}

/// Returns how many mentions' old contents are taken apart while another one changes, of so many that change:
/// each makes three queries of one. What is beyond is found by its difference to the new content, which is read
/// whole for it. A block is followed by sixty queries at most.
fn corrected_max(changed: usize) -> usize {
    match changed {
        0..=3 => 2,
        4..=8 => 1,
        _ => 0,
    }
}

impl<'a> Changes<'a> {
    pub fn new(
        maintainer: &'a Maintainer<'a>,
        session: &'a Session,
        ranges: &[Range],
    ) -> anyhow::Result<Self> {
        let mut relations = Vec::new();
        for (input, range) in maintainer.inputs.iter().zip(ranges) {
            relations.push(changed_input(session, input, *range)?);
        }
        Ok(Self {
            maintainer,
            session,
            relations,
            first: ranges.iter().all(|range| range.from.is_none()),
        })
    }

    /// Returns what has changed in the last relation.
    pub fn last_rows(&mut self) -> Rows {
        self.relations
            .pop()
            .map(|changed| changed.rows)
            .unwrap_or_default()
    }

    pub fn rows_of(&self, relation: usize) -> &Rows {
        &self.relations[relation].rows
    }

    pub fn content_of(&self, relation: usize) -> &str {
        &self.relations[relation].content
    }

    /// Adds the relation of a stage.
    pub fn add(&mut self, rows: Rows, content: String) {
        let number = self.relations.len();
        let columns = &self.maintainer.program.relations[number].columns;
        let columns: Vec<String> = columns.iter().map(|(name, _)| quote_ident(name)).collect();
        self.relations.push(Changed {
            rows,
            content,
            before: None,
            columns: columns.join(", "),
        });
    }

    pub fn column_list(&self, relation: usize) -> String {
        let columns = &self.maintainer.program.relations[relation].columns;
        let columns: Vec<String> = columns.iter().map(|(name, _)| quote_ident(name)).collect();
        columns.join(", ")
    }

    /// Returns a query of the content of a block's relation, or of `sql`, which reads the same mentions.
    pub fn over_contents(&self, block: &Block, sql: &str) -> String {
        let contents: Vec<String> = (block.mentions.iter())
            .map(|mention| self.relations[mention.relation].content.clone())
            .collect();
        over(block, sql, &contents)
    }

    pub fn block_stage(&mut self, index: usize, block: &Block) -> anyhow::Result<()> {
        let table = format!("_delta{index}");
        let counts = self.evaluate(block, &table)?;
        let list = self.column_list(self.relations.len());
        let content = self.over_contents(block, &block.sql);
        let content = format!("SELECT * FROM ({content}\n) AS _rows({list})");
        let before = (self.contents_before(block))
            .map(|contents| over(block, &block.sql, &contents))
            .map(|before| format!("SELECT * FROM ({before}\n) AS _rows({list})"));
        self.add(signed_rows(&table, &list, counts), content);
        if let Some(changed) = self.relations.last_mut() {
            changed.before = before;
        }
        Ok(())
    }

    /// Returns queries of the old contents of what a block mentions, if there is one for each. So there is for
    /// all that only grows: nothing is taken apart then, and nothing goes.
    fn contents_before(&self, block: &Block) -> Option<Vec<String>> {
        let before = |relation: usize| {
            let changed = &self.relations[relation];
            if changed.rows.is_empty() {
                return Some(changed.content.clone());
            }
            changed.before.clone()
        };
        (block.mentions.iter())
            .map(|mention| before(mention.relation))
            .collect()
    }

    /// Evaluates what has changed in a block into a temporary table with the sign `_w`; returns how many rows
    /// came and went.
    pub fn evaluate(&self, block: &Block, table: &str) -> anyhow::Result<(i64, i64)> {
        let columns: Vec<String> = (block.columns.iter())
            .map(|(name, sql_type)| format!("{} {sql_type}", quote_ident(name)))
            .collect();
        let table = format!("temp.{}", quote_ident(table));
        let is_changed = |index: usize| {
            !self.relations[block.mentions[index].relation]
                .rows
                .is_empty()
        };
        let (looked_up, linear): (Vec<usize>, Vec<usize>) = (0..block.mentions.len())
            .filter(|index| is_changed(*index))
            .partition(|index| block.mentions[*index].touch.is_some());
        let order: Vec<usize> = looked_up.iter().chain(&linear).copied().collect();
        let terms: Vec<(i8, String)> = (linear.iter())
            .flat_map(|index| self.linear_terms(block, *index, &order))
            .collect();
        let query = union(&terms);
        match (&query, looked_up.is_empty()) {
            (Some(query), true) => {
                self.session
                    .execute_batch(&format!("CREATE OR REPLACE TEMP TABLE {table} AS {query}"))?;
            }
            _ => {
                let columns = columns.join(", ");
                self.session.execute_batch(&format!(
                    "CREATE OR REPLACE TEMP TABLE {table} ({columns}, _w TINYINT)"
                ))?;
                if let Some(query) = &query {
                    self.session
                        .execute_batch(&format!("INSERT INTO {table} {query}"))?;
                }
            }
        }
        let mut first = query.is_none();
        for index in looked_up {
            self.look_up(block, index, (&order, &table, first))?;
            first = false;
        }
        self.counts(&table)
    }

    /// Counts the rows of either sign.
    fn counts(&self, table: &str) -> anyhow::Result<(i64, i64)> {
        let plus = self
            .session
            .number(&format!("SELECT count(*) FROM {table} WHERE _w > 0"), &[])?;
        let minus = self
            .session
            .number(&format!("SELECT count(*) FROM {table} WHERE _w < 0"), &[])?;
        Ok((plus.unwrap_or(0), minus.unwrap_or(0)))
    }

    /// Returns the terms by which a block follows a mention in which it is linear.
    fn linear_terms(&self, block: &Block, index: usize, order: &[usize]) -> Vec<(i8, String)> {
        let rows = &self.relations[block.mentions[index].relation].rows;
        let mut terms = Vec::new();
        for (sign, rows) in rows.signed() {
            for (other, contents) in self.contents(block, index, order) {
                let mut contents = contents;
                contents[index] = rows.to_owned();
                terms.push((sign * other, over(block, &block.sql, &contents)));
            }
        }
        terms
    }

    /// Returns the ways in which the other mentions are read while one changes, each with a sign.
    ///
    /// The old content of a mention is its content without what came and with what went. Each of the three
    /// is a way of its own; while a mention is read as one of the latter two, those apart from it have no
    /// part, since what they add is in the first way already.
    fn contents(&self, block: &Block, index: usize, order: &[usize]) -> Vec<(i8, Vec<String>)> {
        let place = |index: usize| order.iter().position(|other| *other == index);
        let is_later = |other: usize| place(other).is_some_and(|at| place(index) < Some(at));
        let mut base: Vec<Option<String>> = Vec::new();
        let mut corrected = Vec::new();
        for (other, mention) in block.mentions.iter().enumerate() {
            let relation = mention.relation;
            let changed = &self.relations[relation];
            base.push(if other == index {
                Some(String::new())
            } else if block.mentions[index].apart.contains(&other) {
                Some(self.nothing(relation))
            } else if !is_later(other) {
                None
            } else if self.first
                || changed.before.is_some()
                || mention.touch.is_some()
                || corrected.len() == corrected_max(order.len())
            {
                Some(self.before(relation))
            } else {
                corrected.push(other);
                None
            });
        }
        let mut ways: Vec<(i8, Vec<(usize, &str)>)> = vec![(1, Vec::new())];
        for other in corrected {
            let apart = &block.mentions[other].apart;
            let rows = self.relations[block.mentions[other].relation].rows.signed();
            for way in 0..ways.len() {
                let (sign, chosen) = ways[way].clone();
                if chosen.iter().any(|(before, _)| apart.contains(before)) {
                    continue;
                }
                for (row_sign, rows) in &rows {
                    let mut chosen = chosen.clone();
                    chosen.push((other, *rows));
                    ways.push((-sign * row_sign, chosen));
                }
            }
        }
        let read = |chosen: &[(usize, &str)], other: usize| -> String {
            let relation = block.mentions[other].relation;
            if let Some((_, rows)) = chosen.iter().find(|(corrected, _)| *corrected == other) {
                return (*rows).to_owned();
            }
            let excluded =
                |(corrected, _): &(usize, &str)| block.mentions[*corrected].apart.contains(&other);
            match &base[other] {
                _ if other != index && chosen.iter().any(excluded) => self.nothing(relation),
                Some(base) => base.clone(),
                None => self.relations[relation].content.clone(),
            }
        };
        let all = 0..block.mentions.len();
        (ways.iter())
            .map(|(sign, chosen)| {
                (
                    *sign,
                    all.clone().map(|other| read(chosen, other)).collect(),
                )
            })
            .collect()
    }

    fn nothing(&self, relation: usize) -> String {
        let changed = &self.relations[relation];
        format!(
            "SELECT {} FROM ({}\n) WHERE false",
            changed.columns, changed.content
        )
    }

    /// Returns the old content of a relation as one query.
    fn before(&self, relation: usize) -> String {
        let changed = &self.relations[relation];
        if self.first {
            return self.nothing(relation);
        }
        if let Some(before) = &changed.before {
            return before.clone();
        }
        undone(&changed.content, &changed.rows)
    }

    /// Adds what comes and goes in a block because of keys that a mention touches, `first` into its table or not.
    fn look_up(
        &self,
        block: &Block,
        index: usize,
        (order, table, first): (&[usize], &str, bool),
    ) -> anyhow::Result<()> {
        let mention = &block.mentions[index];
        let Some(touch) = &mention.touch else {
            return Ok(());
        };
        let changed = &self.relations[mention.relation];
        let keys: Vec<String> = (changed.rows.signed().into_iter())
            .map(|(_, rows)| with(&mention.name, rows, &touch.keys_sql))
            .collect();
        self.touched(&keys)?;
        let after = own(touch, &mention.name, &changed.content);
        let before = if self.first {
            self.nothing(mention.relation)
        } else if let Some(before) = &changed.before {
            own(touch, &mention.name, before)
        } else {
            undone(&after, &changed.rows)
        };
        let mut ways = self.contents(block, index, order);
        self.keep_outer(block, touch, &mut ways)?;
        let mut terms = Vec::new();
        for (sign, rows) in [(1, after), (-1, before)] {
            for (other, mut contents) in ways.clone() {
                contents[index].clone_from(&rows);
                terms.push((sign * other, over(block, &touch.block_sql, &contents)));
            }
        }
        if let Some(query) = union(&terms) {
            let sql = format!("INSERT INTO {table} {query}");
            if first {
                self.session.execute_batch(&sql)?;
            } else {
                self.session.insert_more(&sql, &[])?;
            }
        }
        Ok(())
    }

    /// Finds the rows of the other side that a touched key concerns once, for before and after, where both read the
    /// same. With the first batch they are all of them.
    fn keep_outer(
        &self,
        block: &Block,
        touch: &Touch,
        ways: &mut [(i8, Vec<String>)],
    ) -> anyhow::Result<()> {
        let Some(outer) = touch.outer.as_ref().filter(|_| !self.first) else {
            return Ok(());
        };
        let contents: Vec<&String> = (ways.iter())
            .map(|(_, contents)| &contents[outer.mention])
            .collect();
        let [content, others @ ..] = contents.as_slice() else {
            return Ok(());
        };
        if others.iter().any(|other| other != content) {
            return Ok(());
        }
        let rows = with(&block.mentions[outer.mention].name, content, &outer.own_sql);
        self.session
            .execute_batch(&format!("CREATE OR REPLACE TEMP TABLE _outer AS {rows}"))?;
        for (_, contents) in ways {
            contents[outer.mention] = "SELECT * FROM temp._outer".to_owned();
        }
        Ok(())
    }

    /// Puts the different rows of some queries into the table of touched keys; returns their number.
    pub fn touched(&self, keys: &[String]) -> anyhow::Result<i64> {
        let keys: Vec<String> = keys
            .iter()
            .map(|keys| format!("SELECT * FROM ({keys}\n)"))
            .collect();
        self.session.execute_batch(&format!(
            "CREATE OR REPLACE TEMP TABLE {TOUCHED} AS SELECT DISTINCT * FROM ({})",
            keys.join(" UNION ALL ")
        ))?;
        let count = self
            .session
            .number(&format!("SELECT count(*) FROM temp.{TOUCHED}"), &[])?;
        Ok(count.unwrap_or(0))
    }
}

/// Returns the rows of a temporary table with signs as two queries.
pub(super) fn signed_rows(table: &str, list: &str, (plus, minus): (i64, i64)) -> Rows {
    let of = |count: i64, condition: &str| {
        (count > 0).then(|| {
            format!(
                "SELECT {list} FROM temp.{} WHERE {condition}",
                quote_ident(table)
            )
        })
    };
    Rows {
        plus: of(plus, "_w > 0"),
        minus: of(minus, "_w < 0"),
    }
}

/// Returns content without what came and with what went. A row may have done both, so that it is in neither
/// content: what went is added first.
fn undone(content: &str, rows: &Rows) -> String {
    let mut sql = format!("({content}\n)");
    if let Some(minus) = &rows.minus {
        sql = format!("({sql} UNION ALL ({minus}\n))");
    }
    if let Some(plus) = &rows.plus {
        sql = format!("({sql} EXCEPT ALL ({plus}\n))");
    }
    format!("SELECT * FROM ({sql})")
}

/// Returns the mention's rows whose key is touched, of some content.
fn own(touch: &Touch, name: &str, content: &str) -> String {
    with(name, content, &touch.own_sql)
}

fn with(name: &str, rows: &str, sql: &str) -> String {
    format!(
        "WITH {} AS NOT MATERIALIZED ({rows}\n) {sql}",
        quote_ident(name)
    )
}

/// Returns a query over the mentions of a block, each read through one of `contents`.
fn over(block: &Block, sql: &str, contents: &[String]) -> String {
    let ctes: Vec<String> = (block.mentions.iter().zip(contents))
        .map(|(mention, content)| {
            format!(
                "{} AS NOT MATERIALIZED ({content}\n)",
                quote_ident(&mention.name)
            )
        })
        .collect();
    format!("WITH {} SELECT * FROM ({sql}\n)", ctes.join(", "))
}

/// Returns signed queries as one with the sign as its last column, `_w`.
fn union(terms: &[(i8, String)]) -> Option<String> {
    let terms: Vec<String> = (terms.iter())
        .map(|(sign, sql)| format!("SELECT *, ({sign})::TINYINT AS _w FROM ({sql}\n)"))
        .collect();
    (!terms.is_empty()).then(|| terms.join(" UNION ALL "))
}

fn changed_input(session: &Session, input: &Stored, range: Range) -> anyhow::Result<Changed> {
    let (list, data) = (input.column_list(), input.data());
    let (from, to) = (range.from.unwrap_or(0), range.to);
    let columns = list.clone();
    if input.layout != Layout::Changing {
        let up_to = |seq: u64| format!("SELECT {list} FROM {data} WHERE _seq <= {seq}");
        let new = format!("SELECT {list} FROM {data} WHERE _seq > {from} AND _seq <= {to}");
        return Ok(Changed {
            rows: Rows {
                plus: (to > from).then_some(new),
                minus: None,
            },
            content: up_to(to),
            before: Some(up_to(from)),
            columns,
        });
    }
    let content = format!("SELECT {list} FROM {data}");
    let logged = |sign: i8| {
        format!(
            "FROM {} WHERE _seq > {from} AND _seq <= {to} AND _sign = {sign}",
            input.changes()
        )
    };
    let mut rows = Rows::default();
    if range.from.is_none() {
        rows.plus = Some(content.clone());
    } else if to > from {
        for (sign, side) in [(1, &mut rows.plus), (-1, &mut rows.minus)] {
            let count = session.number(&format!("SELECT count(*) {}", logged(sign)), &[])?;
            *side = (count.unwrap_or(0) > 0).then(|| format!("SELECT {list} {}", logged(sign)));
        }
    }
    Ok(Changed {
        rows,
        content,
        before: None,
        columns,
    })
}

/// Returns the number of the last committed batch of an input, as this transaction sees it.
///
/// # Errors
/// DuckDB's own.
pub fn head_of(session: &Session, input: &Stored) -> anyhow::Result<u64> {
    Ok(Ledger::new(session).stream(&input.name)?.head)
}
