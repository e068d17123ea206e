//! Partitions during one batch: those it touches are evaluated again, and compared with what was kept.

use super::change::{Changes, Rows};
use crate::engine::candidates;
use crate::plan::{Partition, TOUCHED};
use crate::sql::quote_ident;

impl Changes<'_> {
    pub(super) fn partition_stage(
        &mut self,
        (index, state): (usize, &str),
        stage: &Partition,
    ) -> anyhow::Result<()> {
        let list = self.column_list(self.maintainer.program.output_of(index));
        let content = format!("SELECT {list} FROM {state}");
        let (rows, old, next) = (
            format!("_rows{index}"),
            format!("_old{index}"),
            format!("_next{index}"),
        );
        let (plus, minus) = self.evaluate(&stage.keys, &rows)?;
        if plus + minus == 0 {
            self.add(Rows::default(), content);
            return Ok(());
        }
        let columns = key_columns(&stage.key_types);
        let keys: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
        let keys = keys.join(", ");
        self.touched(&[format!("SELECT {keys} FROM temp.{rows}")])?;
        let again = self.over_contents(&stage.keys, &stage.touched_sql);
        let candidates = candidates(self.session, state, (TOUCHED, &columns))?;
        let same_keys = same_keys(columns.len(), "old", TOUCHED);
        self.session.execute_batch(&format!(
            "CREATE OR REPLACE TEMP TABLE {old} AS SELECT * FROM {} AS old \
             SEMI JOIN temp.{TOUCHED} ON {same_keys};\n\
             CREATE OR REPLACE TEMP TABLE {next} AS SELECT * FROM ({again}\n) AS _rows({list}, {keys});\n\
             {};\n\
             INSERT INTO {state} SELECT * FROM temp.{next}",
            candidates.query(),
            candidates.delete_sql(&old)
        ))?;
        let rows = self.kept_difference(index, &list, (&old, &next))?;
        self.add(rows, content);
        Ok(())
    }

    /// Evaluates what came and what went between two temporary tables into others, so that it is not
    /// evaluated again by every reader.
    pub(super) fn kept_difference(
        &self,
        index: usize,
        list: &str,
        (old, next): (&str, &str),
    ) -> anyhow::Result<Rows> {
        let side = |name: &str, (left, right): (&str, &str)| -> anyhow::Result<Option<String>> {
            let table = format!("_{name}{index}");
            self.session.execute_batch(&format!(
                "CREATE OR REPLACE TEMP TABLE {table} AS \
                 SELECT {list} FROM temp.{left} EXCEPT ALL SELECT {list} FROM temp.{right}"
            ))?;
            let count = self
                .session
                .number(&format!("SELECT count(*) FROM temp.{table}"), &[])?;
            Ok((count.unwrap_or(0) > 0).then(|| format!("SELECT * FROM temp.{table}")))
        };
        Ok(Rows {
            plus: side("plus", (next, old))?,
            minus: side("minus", (old, next))?,
        })
    }
}

/// Returns the key columns with their types.
pub(super) fn key_columns(key_types: &[String]) -> Vec<(String, String)> {
    let types = key_types.iter().enumerate();
    types
        .map(|(key, sql_type)| (format!("_k{key}"), sql_type.clone()))
        .collect()
}

/// Returns the condition that two tables agree in their key columns, NULL taken as a key.
pub(super) fn same_keys(count: usize, left: &str, right: &str) -> String {
    let (left, right) = (quote_ident(left), quote_ident(right));
    let pairs: Vec<String> = (0..count)
        .map(|key| format!("{left}._k{key} IS NOT DISTINCT FROM {right}._k{key}"))
        .collect();
    pairs.join(" AND ")
}
