//! A session: one connection with its own transactions, and the only calls that run SQL.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use duckdb::vtab::arrow::ArrowBatchRegistration;
use duckdb::{Connection, InterruptHandle, ToSql};

use super::fault::SqlFault;
use crate::batch::{RecordBatch, Schema};

/// Prepared statements kept per session: a node has fewer than ten of its own.
const STATEMENTS_KEPT: usize = 32;

/// A connection to a [`super::Database`]. One thread at a time.
pub struct Session {
    connection: Connection,
    /// Of all sessions of the database.
    commits: Arc<AtomicU64>,
}

/// Interrupts what a session runs, from another thread.
#[derive(Clone)]
pub struct Interrupt(Arc<InterruptHandle>);

impl Interrupt {
    pub fn interrupt(&self) {
        self.0.interrupt();
    }
}

impl Session {
    /// Makes a session that counts its transactions in `commits`.
    pub(super) fn new(connection: Connection, commits: &Arc<AtomicU64>) -> Self {
        connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
        Self {
            connection,
            commits: Arc::clone(commits),
        }
    }

    pub fn interrupt_handle(&self) -> Interrupt {
        Interrupt(self.connection.interrupt_handle())
    }

    /// Runs several statements without parameters, in order, up to the first fault.
    ///
    /// # Errors
    /// The fault as DuckDB says it, a [`SqlFault`] inside.
    pub fn execute_batch(&self, sql: &str) -> anyhow::Result<()> {
        Ok(self.connection.execute_batch(sql).map_err(fault)?)
    }

    /// Makes a statement ready that runs later.
    ///
    /// # Errors
    /// As [`Session::execute_batch`].
    pub fn prepare(&self, sql: &str) -> anyhow::Result<()> {
        Ok(self
            .connection
            .prepare_cached(sql)
            .map(drop)
            .map_err(fault)?)
    }

    /// Runs one statement and returns the number of rows it changed.
    ///
    /// # Errors
    /// As [`Session::execute_batch`].
    pub fn execute(&self, sql: &str, params: &[&dyn ToSql]) -> anyhow::Result<usize> {
        let mut statement = self.connection.prepare_cached(sql).map_err(fault)?;
        Ok(statement.execute(params).map_err(fault)?)
    }

    /// Runs an INSERT that may not be the first into its table in this transaction and returns the number of rows it
    /// added.
    ///
    /// Where the first had no rows, DuckDB 2.0.0 keeps an empty row group for it. Another one of 122,880 rows and more
    /// is then moved over as whole row groups and leaves the table with wrong statistics: filters, joins and groups
    /// miss its rows until the database is opened again. Rows that are returned are not moved over like this.
    ///
    /// # Errors
    /// As [`Session::execute_batch`].
    pub fn insert_more(&self, sql: &str, params: &[&dyn ToSql]) -> anyhow::Result<usize> {
        let mut count = 0;
        self.stream(&format!("{sql} RETURNING 1"), params, &mut |piece| {
            count += piece.num_rows();
            Ok(())
        })?;
        Ok(count)
    }

    /// Runs one statement over `rows`, which its first parameter, inside `arrow(?)`, stands for.
    ///
    /// # Errors
    /// As [`Session::execute_batch`].
    pub fn execute_over(
        &self,
        sql: &str,
        rows: &RecordBatch,
        params: &[&dyn ToSql],
    ) -> anyhow::Result<usize> {
        let registration = ArrowBatchRegistration::new(rows.clone());
        let token = &registration;
        let mut all: Vec<&dyn ToSql> = vec![&token];
        all.extend_from_slice(params);
        self.execute(sql, &all)
    }

    /// Runs a query and hands each piece of the result, 2,048 rows at most, to `each`.
    ///
    /// # Errors
    /// As [`Session::execute_batch`], and whatever `each` returns.
    pub fn stream(
        &self,
        sql: &str,
        params: &[&dyn ToSql],
        each: &mut dyn FnMut(RecordBatch) -> anyhow::Result<()>,
    ) -> anyhow::Result<Schema> {
        let mut statement = self.connection.prepare_cached(sql).map_err(fault)?;
        let stream = statement.stream_arrow(params).map_err(fault)?;
        let schema = stream.get_schema();
        for piece in stream {
            each(piece.map_err(fault)?)?;
        }
        Ok(schema)
    }

    /// Runs a query and returns its whole result as one batch; only for results known to be small.
    ///
    /// # Errors
    /// As [`Session::execute_batch`].
    pub fn query(&self, sql: &str, params: &[&dyn ToSql]) -> anyhow::Result<RecordBatch> {
        let mut pieces = Vec::new();
        let schema = self.stream(sql, params, &mut |piece| {
            pieces.push(piece);
            Ok(())
        })?;
        Ok(crate::batch::compute::concat_batches(&schema, &pieces)?)
    }

    /// Returns a query's single number; NULL and no rows are `None`.
    ///
    /// # Errors
    /// As [`Session::execute_batch`].
    pub fn number(&self, sql: &str, params: &[&dyn ToSql]) -> anyhow::Result<Option<i64>> {
        let mut statement = self.connection.prepare_cached(sql).map_err(fault)?;
        let mut rows = statement.query(params).map_err(fault)?;
        match rows.next().map_err(fault)? {
            Some(row) => Ok(row.get(0)?),
            None => Ok(None),
        }
    }

    /// Returns a query's single text; NULL and no rows are `None`.
    ///
    /// # Errors
    /// As [`Session::texts`].
    pub fn text(&self, sql: &str, params: &[&dyn ToSql]) -> anyhow::Result<Option<String>> {
        let rows = self.texts(sql, params)?;
        Ok(rows.into_iter().flatten().next().flatten())
    }

    /// Returns the rows of a query as texts, NULL as `None`; for the engine's own small tables.
    ///
    /// # Errors
    /// As [`Session::execute_batch`]. Every column must be VARCHAR.
    pub fn texts(
        &self,
        sql: &str,
        params: &[&dyn ToSql],
    ) -> anyhow::Result<Vec<Vec<Option<String>>>> {
        let mut statement = self.connection.prepare_cached(sql).map_err(fault)?;
        let mut rows = statement.query(params).map_err(fault)?;
        let mut texts = Vec::new();
        while let Some(row) = rows.next().map_err(fault)? {
            let width = row.as_ref().column_count();
            let row: Result<Vec<Option<String>>, _> = (0..width).map(|at| row.get(at)).collect();
            texts.push(row?);
        }
        Ok(texts)
    }

    /// As [`Session::texts`], over `rows`, which the only parameter, inside `arrow(?)`, stands for.
    ///
    /// # Errors
    /// As [`Session::texts`].
    pub fn texts_over(
        &self,
        sql: &str,
        rows: RecordBatch,
    ) -> anyhow::Result<Vec<Vec<Option<String>>>> {
        let registration = ArrowBatchRegistration::new(rows);
        self.texts(sql, &[&&registration])
    }

    /// Runs `work` in one transaction: committed if it returns a value, rolled back if an error.
    ///
    /// # Errors
    /// That of `work`, or of the commit: then nothing of it has happened.
    pub fn transaction<T>(
        &self,
        work: impl FnOnce(&Self) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        self.begin()?;
        self.end(work(self))
    }

    /// Begins a transaction, for [`Session::end`]; one that is not ended has not happened.
    ///
    /// # Errors
    /// There is one already.
    pub fn begin(&self) -> anyhow::Result<()> {
        self.execute_batch("BEGIN")
    }

    /// Ends the transaction: it is committed if what was done in it gave a value, rolled back if an error.
    ///
    /// # Errors
    /// As [`Session::transaction`].
    pub fn end<T>(&self, worked: anyhow::Result<T>) -> anyhow::Result<T> {
        self.commits.fetch_add(1, Ordering::Relaxed);
        match worked {
            Ok(value) => match self.execute_batch("COMMIT") {
                Ok(()) => Ok(value),
                Err(error) => {
                    self.roll_back();
                    Err(error)
                }
            },
            Err(error) => {
                self.roll_back();
                Err(error)
            }
        }
    }

    /// Ends a transaction that failed. DuckDB may already have ended it, which is as good.
    fn roll_back(&self) {
        if let Err(error) = self.execute_batch("ROLLBACK") {
            tracing::debug!(%error, "the transaction had already ended");
        }
    }

    /// Returns name and type, in DuckDB's words, of each column a query gives.
    ///
    /// # Errors
    /// The fault of the query, its place counted from the start of `query`.
    pub fn describe(&self, query: &str) -> Result<Vec<(String, String)>, SqlFault> {
        const HEAD: &str = "DESCRIBE ";
        let sql = format!("{HEAD}{query}");
        let rows = self
            .texts_uncached(&sql)
            .map_err(|fault| fault.moved(HEAD.len()))?;
        Ok(rows
            .into_iter()
            .map(|mut row| {
                row.truncate(2);
                let sql_type = row.pop().flatten().unwrap_or_default();
                (row.pop().flatten().unwrap_or_default(), sql_type)
            })
            .collect())
    }

    /// Binds a query without running it: less work than to describe it.
    ///
    /// # Errors
    /// As [`Session::describe`].
    pub fn check(&self, query: &str) -> Result<(), SqlFault> {
        let statement = self.connection.prepare(query).map_err(fault)?;
        match statement.parameter_count() {
            0 => Ok(()),
            _ => Err(SqlFault::of_parameter()),
        }
    }

    /// Runs SQL that is used once, so that it does not push others out of the cache.
    pub(super) fn texts_uncached(&self, sql: &str) -> Result<Vec<Vec<Option<String>>>, SqlFault> {
        let mut statement = self.connection.prepare(sql).map_err(fault)?;
        let mut rows = statement.query([]).map_err(fault)?;
        let mut texts = Vec::new();
        while let Some(row) = rows.next().map_err(fault)? {
            let width = row.as_ref().column_count();
            texts.push((0..width).map(|at| row.get(at).unwrap_or(None)).collect());
        }
        Ok(texts)
    }

    /// Runs one statement without parameters for its effect and tells its fault apart.
    ///
    /// # Errors
    /// The fault, its place counted from the start of `sql`.
    pub fn try_statement(&self, sql: &str) -> Result<(), SqlFault> {
        self.connection.execute_batch(sql).map_err(fault)
    }

    /// Returns the Arrow schema of a query's result, without running it over any row.
    ///
    /// # Errors
    /// As [`Session::execute_batch`].
    pub fn schema(&self, query: &str) -> anyhow::Result<Schema> {
        let sql = format!("SELECT * FROM ({query}\n) LIMIT 0");
        let mut statement = self.connection.prepare(&sql).map_err(fault)?;
        let stream = statement.stream_arrow([]).map_err(fault)?;
        Ok(stream.get_schema())
    }
}

fn fault(error: duckdb::Error) -> SqlFault {
    match error {
        duckdb::Error::DuckDBFailure(_, Some(text)) => SqlFault::of(&text),
        other => SqlFault::of(&other.to_string()),
    }
}
