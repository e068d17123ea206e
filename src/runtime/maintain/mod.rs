//! Runs the program of a kept relation: what has come and gone in its inputs becomes what comes and goes
//! in it, at a cost that follows the change.
//!
//! Every stage keeps its state in a table of the schema `stages`, changed in the transaction of the batch.
//! The stages pass changes on as queries over temporary tables of the session.

mod aggregate;
mod change;
mod partition;
mod top;

use change::Changes;
pub use change::head_of;

use crate::engine::{
    Change, Layout, Ledger, Session, Stamp, Stored, apply_changes, changing_columns, replace_all,
};
use crate::plan::{Program, Stage};
use crate::sql::quote_ident;

/// The batches of one input to take: those after `from`, up to `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// `None` before anything has been taken: then everything the input holds is new.
    pub from: Option<u64>,
    pub to: u64,
}

/// A kept relation with its program.
#[derive(Clone, Copy)]
pub struct Maintainer<'a> {
    pub program: &'a Program,
    /// The kept relation.
    pub stored: &'a Stored,
    /// The inputs, in the order of the program.
    pub inputs: &'a [Stored],
}

impl Maintainer<'_> {
    /// Takes what is new in the inputs, inside the caller's transaction.
    ///
    /// # Errors
    /// DuckDB's own; rows to take away that are not there. The caller rolls back.
    pub fn apply(
        &self,
        session: &Session,
        ranges: &[Range],
        stamp: Stamp,
    ) -> anyhow::Result<Change> {
        let mut changes = self.run(session, ranges)?;
        let rows = changes.last_rows();
        let list = self.stored.column_list();
        if self.stored.layout != Layout::Changing {
            let Some(plus) = rows.plus else {
                return Ok(Change::default());
            };
            anyhow::ensure!(
                rows.minus.is_none(),
                "rows go away from `{}`, whose rows only come",
                self.stored.name
            );
            let plus = format!("SELECT * FROM ({plus}\n) AS _rows({list})");
            let seq = i64::try_from(stamp.seq)?;
            let inserted = session.execute(
                &self.stored.append_sql(&plus, 1, 2),
                &[&seq, &stamp.trigger_us],
            )?;
            return Ok(Change {
                deleted: 0,
                inserted,
            });
        }
        let side = |rows: &Option<String>| match rows {
            Some(rows) => format!("SELECT * FROM ({rows}\n) AS _rows({list})"),
            None => format!("SELECT {list} FROM {} WHERE false", self.stored.data()),
        };
        let (come, gone) = (side(&rows.plus), side(&rows.minus));
        let both = rows.plus.is_some() && rows.minus.is_some();
        for (table, rows, others) in [("come", &come, &gone), ("excess", &gone, &come)] {
            let net = if both {
                format!("{rows} EXCEPT ALL {others}")
            } else {
                rows.clone()
            };
            session.execute_batch(&format!("CREATE OR REPLACE TEMP TABLE {table} AS {net}"))?;
        }
        apply_changes(session, self.stored, stamp)
    }

    /// Begins anew from everything the inputs hold and brings the kept relation to what comes of it.
    ///
    /// # Errors
    /// DuckDB's own; an input keeps no old rows.
    pub fn rebuild(
        &self,
        session: &Session,
        heads: &[u64],
        stamp: Stamp,
    ) -> anyhow::Result<Change> {
        self.create(session)?;
        let ranges: Vec<Range> = (heads.iter())
            .map(|head| Range {
                from: None,
                to: *head,
            })
            .collect();
        let mut changes = self.run(session, &ranges)?;
        let rows = changes.last_rows();
        let list = self.stored.column_list();
        let all = match rows.plus {
            Some(plus) => format!("SELECT * FROM ({plus}\n) AS _rows({list})"),
            None => format!("SELECT {list} FROM {} WHERE false", self.stored.data()),
        };
        session.execute_batch(&format!("CREATE OR REPLACE TEMP TABLE next AS {all}"))?;
        replace_all(session, self.stored, stamp)
    }

    /// Says whether an input whose old rows are gone keeps the relation from being rebuilt.
    pub fn lost_input(&self) -> Option<&str> {
        let passing = (self.inputs.iter().zip(&self.program.rereads))
            .find(|(input, rereads)| input.layout == Layout::Passing && !**rereads);
        passing.map(|(input, _)| input.name.as_str())
    }

    /// Says whether the state has the tables of this program.
    ///
    /// # Errors
    /// DuckDB's own.
    pub fn is_prepared(&self, session: &Session) -> anyhow::Result<bool> {
        Ok(Ledger::new(session).stages(&self.stored.name)? == self.tables())
    }

    /// Makes the tables of the stages, empty, in place of what there was.
    ///
    /// # Errors
    /// DuckDB's own.
    pub fn create(&self, session: &Session) -> anyhow::Result<()> {
        Ledger::new(session).set_stages(&self.stored.name, &self.tables())
    }

    /// Returns name and columns of the table of each stage that has one.
    fn tables(&self) -> Vec<(String, String)> {
        let mut tables = Vec::new();
        for (index, stage) in self.program.stages.iter().enumerate() {
            let mut columns: Vec<(String, String)> = Vec::new();
            let relation = &self.program.relations[self.program.output_of(index)];
            match stage {
                Stage::Block(_) => continue,
                Stage::Aggregate(stage) => {
                    columns.extend(partition::key_columns(&stage.key_types));
                    columns.push(("_n".to_owned(), "BIGINT".to_owned()));
                    let accumulators = stage.accumulators.iter();
                    columns.extend(
                        accumulators.map(|column| (column.name.clone(), column.sql_type.clone())),
                    );
                }
                Stage::Partition(stage) => {
                    columns.extend(relation.columns.iter().cloned());
                    columns.extend(partition::key_columns(&stage.key_types));
                }
                Stage::Top(stage) => {
                    columns.extend(self.program.relations[stage.of].columns.iter().cloned());
                    columns.push(("_complete".to_owned(), "BOOLEAN".to_owned()));
                }
            }
            tables.push((self.table_name(index), changing_columns(&columns)));
        }
        tables
    }

    fn table_name(&self, stage: usize) -> String {
        format!("{} {stage}", self.stored.name)
    }

    fn run<'s>(&'s self, session: &'s Session, ranges: &[Range]) -> anyhow::Result<Changes<'s>> {
        let mut changes = Changes::new(self, session, ranges)?;
        for (index, stage) in self.program.stages.iter().enumerate() {
            let table = format!("stages.{}", quote_ident(&self.table_name(index)));
            match stage {
                Stage::Block(block) => changes.block_stage(index, block)?,
                Stage::Aggregate(stage) => changes.aggregate_stage((index, &table), stage)?,
                Stage::Partition(stage) => changes.partition_stage((index, &table), stage)?,
                Stage::Top(stage) => changes.top_stage((index, &table), stage)?,
            }
        }
        Ok(changes)
    }
}
