//! The first rows in an order during one batch: a buffer holds more of them than are asked for, so that
//! rows may go before the relation under it is read again.

use super::change::{Changes, Rows};
use crate::plan::Top;

/// Rows that the buffer holds beyond those asked for, at most, when it is filled.
const SPARE_ROWS: u64 = 256;

impl Changes<'_> {
    pub(super) fn top_stage(
        &mut self,
        (index, state): (usize, &str),
        stage: &Top,
    ) -> anyhow::Result<()> {
        let list = self.column_list(self.maintainer.program.output_of(index));
        let all = self.column_list(stage.of);
        let order = total_order(stage, &all);
        let first = format!(
            "ORDER BY {order} LIMIT {} OFFSET {}",
            stage.limit, stage.offset
        );
        let content = format!("SELECT {list} FROM (SELECT {all} FROM {state} {first})");
        let changed = self.rows_of(stage.of).clone();
        if changed.plus.is_none() && changed.minus.is_none() {
            self.add(Rows::default(), content);
            return Ok(());
        }
        let (old, next) = (format!("_old{index}"), format!("_next{index}"));
        self.session
            .execute_batch(&format!("CREATE OR REPLACE TEMP TABLE {old} AS {content}"))?;
        self.refill((state, &all), stage, &changed)?;
        self.session
            .execute_batch(&format!("CREATE OR REPLACE TEMP TABLE {next} AS {content}"))?;
        let rows = self.kept_difference(index, &list, (&old, &next))?;
        self.add(rows, content);
        Ok(())
    }

    /// Brings the buffer to what it has to hold after the batch.
    fn refill(
        &self,
        (state, all): (&str, &str),
        stage: &Top,
        changed: &Rows,
    ) -> anyhow::Result<()> {
        let needed = stage.limit.saturating_add(stage.offset);
        let full = needed
            .saturating_add(needed.min(SPARE_ROWS))
            .saturating_add(1);
        let session = self.session;
        let order = total_order(stage, all);
        let count = |sql: &str| -> anyhow::Result<u64> {
            Ok(u64::try_from(session.number(sql, &[])?.unwrap_or(0))?)
        };
        let incomplete = count(&format!("SELECT count(*) FROM {state} WHERE NOT _complete"))? > 0;
        if self.first {
            return self.refill_from_content((state, all), stage, full);
        }
        let plus = changed.plus.as_deref().map_or_else(String::new, |plus| {
            format!(" UNION ALL SELECT *, 1 AS _new FROM ({plus}\n)")
        });
        session.execute_batch(&format!(
            "CREATE OR REPLACE TEMP TABLE _ranked AS SELECT *, row_number() OVER (ORDER BY {order}, _new) AS _rank \
             FROM (SELECT {all}, 0 AS _new FROM {state}{plus})"
        ))?;
        if incomplete {
            // What comes after the last row of the buffer may come after others that are not in it.
            session.execute_batch(
                "DELETE FROM temp._ranked WHERE _rank > (SELECT max(_rank) FROM temp._ranked WHERE _new = 0)",
            )?;
        }
        let minus = changed.minus.as_deref().map_or_else(String::new, |minus| {
            format!(" EXCEPT ALL SELECT * FROM ({minus}\n)")
        });
        session.execute_batch(&format!(
            "CREATE OR REPLACE TEMP TABLE _first AS SELECT {all} FROM temp._ranked{minus}"
        ))?;
        let held = count("SELECT count(*) FROM temp._first")?;
        if incomplete && held < needed {
            return self.refill_from_content((state, all), stage, full);
        }
        let too_many = held > full.saturating_mul(2);
        let limit = if too_many {
            format!(" ORDER BY {order} LIMIT {full}")
        } else {
            String::new()
        };
        session.execute_batch(&format!(
            "DELETE FROM {state};\nINSERT INTO {state} SELECT {all}, {} FROM temp._first{limit}",
            !(incomplete || too_many)
        ))
    }

    fn refill_from_content(
        &self,
        (state, all): (&str, &str),
        stage: &Top,
        full: u64,
    ) -> anyhow::Result<()> {
        let content = self.content_of(stage.of);
        let order = total_order(stage, all);
        self.session.execute_batch(&format!(
            "DELETE FROM {state};\n\
             INSERT INTO {state} SELECT {all}, false FROM ({content}\n) ORDER BY {order} LIMIT {full};\n\
             UPDATE {state} SET _complete = true WHERE (SELECT count(*) FROM {state}) < {full}"
        ))
    }
}

/// Returns the order with rows that are equal in it ordered too: which of them are the first must not change
/// from batch to batch.
fn total_order(stage: &Top, all: &str) -> String {
    format!("{}, {all}", stage.order)
}
