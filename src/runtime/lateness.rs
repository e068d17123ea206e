//! Late rows: what comes before the watermark of its relation is set aside, with its row.
//!
//! A row is late if its time is earlier than the watermark as the batch before left it. So the watermark of a
//! relation never has to be taken back, and which rows are late does not depend on who reads them.

use super::tide::UNKNOWN;
use crate::engine::{Ledger, Param, SEQ, Session, Stored};
use crate::plan::Watermark;
use crate::sql::quote_ident;

/// The watermark of one relation, with the statements around it.
pub struct Lateness {
    name: String,
    /// Microseconds since the epoch, as the last commit left it.
    watermark: i64,
    /// True for a row that is in time; the watermark is the parameter `$4`.
    in_time: String,
    late_sql: String,
    of_batch_sql: String,
    of_next_sql: String,
    /// Whether the log has been told that rows come late: it is told once.
    told: bool,
}

impl Lateness {
    /// Reads the committed watermark.
    ///
    /// # Errors
    /// DuckDB's own.
    pub fn new(
        session: &Session,
        stored: &Stored,
        watermark: &Watermark,
        rows_sql: &str,
    ) -> anyhow::Result<Self> {
        let time = format!(
            "epoch_us(CAST({} AS TIMESTAMP))",
            quote_ident(&watermark.column)
        );
        let largest = format!("SELECT max(epoch_us({}))", watermark.expression);
        let (name, data) = (quote_ident(&stored.name), stored.data());
        Ok(Self {
            watermark: Ledger::new(session)
                .watermark(&stored.name)?
                .unwrap_or(UNKNOWN),
            in_time: format!("coalesce({time} >= $4::BIGINT, true)"),
            late_sql: format!(
                "CREATE OR REPLACE TEMP TABLE late AS SELECT to_json(_row)::VARCHAR AS row \
                 FROM (SELECT * FROM ({rows_sql}) WHERE {time} < $3::BIGINT) AS _row"
            ),
            of_batch_sql: format!("{largest} FROM {data} AS {name} WHERE {SEQ} = $1::BIGINT"),
            of_next_sql: format!("{largest} FROM temp.next AS {name}"),
            name: stored.name.clone(),
            told: false,
        })
    }

    /// Returns the rows of a query that are in time; the watermark is the parameter `$4`.
    pub fn in_time_sql(&self, rows_sql: &str) -> String {
        format!("SELECT * FROM ({rows_sql}) WHERE {}", self.in_time)
    }

    /// Returns the watermark as the last commit left it.
    pub fn watermark(&self) -> i64 {
        self.watermark
    }

    /// Takes the late rows out of `temp.next`, and returns the rows taken out, as JSON.
    ///
    /// # Errors
    /// DuckDB's own.
    pub fn take_from_next(&self, session: &Session, watermark: i64) -> anyhow::Result<Vec<String>> {
        let late = self.in_time.replace("$4", "$1");
        let sql = format!(
            "SELECT to_json(_row)::VARCHAR FROM (SELECT * FROM temp.next WHERE NOT {late}) AS _row"
        );
        let rows = texts(session, &sql, &[&watermark])?;
        if !rows.is_empty() {
            let sql = format!("DELETE FROM temp.next WHERE NOT {late}");
            session.execute(&sql, &[&watermark])?;
        }
        Ok(rows)
    }

    /// Returns the late ones of the rows that a batch came with, as JSON.
    ///
    /// # Errors
    /// DuckDB's own.
    pub fn late_rows(
        &self,
        session: &Session,
        rows: &crate::batch::RecordBatch,
        (trigger_us, watermark): (i64, i64),
    ) -> anyhow::Result<Vec<String>> {
        session.execute_over(&self.late_sql, rows, &[&trigger_us, &watermark])?;
        texts(session, "SELECT row FROM temp.late", &[])
    }

    /// Returns the watermark after the rows of a batch, before which it was `before`, and notes it in the caller's transaction if it has
    /// moved. `seq` is the batch's number, or `None` for the rows of `temp.next`.
    ///
    /// # Errors
    /// DuckDB's own.
    pub fn advance(&self, session: &Session, seq: Option<u64>, before: i64) -> anyhow::Result<i64> {
        let largest = match seq {
            Some(seq) => session.number(&self.of_batch_sql, &[&i64::try_from(seq)?])?,
            None => session.number(&self.of_next_sql, &[])?,
        };
        let watermark = largest.unwrap_or(UNKNOWN).max(before);
        if watermark > before {
            Ledger::new(session).set_watermark(&self.name, watermark)?;
        }
        Ok(watermark)
    }

    /// Notes that a transaction is committed: the watermark after it, if it has one, and how many rows of it
    /// were late.
    pub fn committed(&mut self, watermark: Option<i64>, late: u64) {
        self.watermark = watermark.unwrap_or(self.watermark);
        if late == 0 {
            return;
        }
        let entity = &self.name;
        if std::mem::replace(&mut self.told, true) {
            tracing::debug!(%entity, rows = late, "rows came late");
        } else {
            tracing::warn!(%entity, rows = late, "rows came late, as more may do; see omlsp_errors");
        }
    }
}

fn texts(session: &Session, sql: &str, params: &[&dyn Param]) -> anyhow::Result<Vec<String>> {
    let rows = session.texts(sql, params)?;
    Ok(rows
        .into_iter()
        .filter_map(|row| row.into_iter().next().flatten())
        .collect())
}
