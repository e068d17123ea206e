//! Groups and their accumulators during one batch.

use super::change::{Changes, Rows};
use crate::engine::candidates;
use crate::plan::{Aggregate, TOUCHED};
use crate::sql::quote_ident;

/// The names of the tables of one stage.
struct Tables {
    /// The accumulators of all groups, kept.
    state: String,
    /// What came and went, with its sign.
    rows: String,
    /// The accumulators of what came and went, or of all rows of a group (`_again`).
    fresh: String,
    /// The touched groups before.
    old: String,
    /// The touched groups after.
    next: String,
}

impl Changes<'_> {
    pub(super) fn aggregate_stage(
        &mut self,
        (index, state): (usize, &str),
        stage: &Aggregate,
    ) -> anyhow::Result<()> {
        let tables = Tables {
            state: state.to_owned(),
            rows: format!("_rows{index}"),
            fresh: format!("_fresh{index}"),
            old: format!("_old{index}"),
            next: format!("_next{index}"),
        };
        let (plus, minus) = self.evaluate(&stage.rows, &tables.rows)?;
        let values = values(stage);
        let list = self.column_list(self.maintainer.program.output_of(index));
        let of = |table: &str, condition: &str| {
            format!(
                "SELECT * FROM (SELECT {values} FROM {table} WHERE {condition}) AS _groups({list})"
            )
        };
        let content = of(state, "true");
        if plus + minus == 0 && !(self.first && stage.global) {
            self.add(Rows::default(), content);
            return Ok(());
        }
        let again = self.groups_again(stage, &tables, minus)?;
        self.fresh(stage, &tables, again)?;
        let old = self.exchange(stage, &tables)?;
        let rows = Rows {
            plus: Some(of(
                &tables.next,
                if stage.global { "true" } else { "_n > 0" },
            )),
            minus: (old > 0).then(|| of(&tables.old, "true")),
        };
        self.add(rows, content);
        Ok(())
    }

    /// Finds the groups to evaluate again from all their rows; returns their number.
    fn groups_again(&self, stage: &Aggregate, tables: &Tables, minus: i64) -> anyhow::Result<i64> {
        let keys = keys(stage, "gone");
        if stage.always_again {
            return self.touched(&[format!("SELECT {keys} FROM temp.{} AS gone", tables.rows)]);
        }
        let lost: Vec<&str> = (stage.accumulators.iter())
            .filter_map(|column| column.lost.as_deref())
            .collect();
        if minus == 0 || lost.is_empty() {
            return Ok(0);
        }
        self.touched(&[format!(
            "SELECT {keys} FROM temp.{} AS gone LEFT JOIN {} AS old ON {} \
             WHERE gone._w < 0 AND (old._n IS NULL OR ({}))",
            tables.rows,
            tables.state,
            same_keys(stage, "gone", "old"),
            lost.join(") OR ("),
        )])
    }

    /// Makes the accumulators of what came and went, and of the groups to evaluate again.
    fn fresh(&self, stage: &Aggregate, tables: &Tables, again: i64) -> anyhow::Result<()> {
        let partials: Vec<String> = (stage.accumulators.iter())
            .map(|column| {
                format!(
                    "{}::{} AS {}",
                    in_parentheses(&column.partial),
                    column.sql_type,
                    column.name
                )
            })
            .collect();
        let partials: String = partials
            .iter()
            .map(|partial| format!(", {partial}"))
            .collect();
        let key_list = keys(stage, "_rows");
        let (selected, grouped) = if stage.global {
            ("0 AS _k0".to_owned(), String::new())
        } else {
            (key_list.clone(), format!(" GROUP BY {key_list}"))
        };
        let of = |rows: &str, again: bool| {
            format!(
                "SELECT {selected}, coalesce(sum(_w), 0)::BIGINT AS _n{partials}, {again} AS _again \
                 FROM {rows} AS _rows{grouped}"
            )
        };
        let mut queries = Vec::new();
        if again == 0 {
            queries.push(of(&format!("temp.{}", tables.rows), false));
        } else {
            let touched_sql = (stage.touched_sql.as_deref())
                .ok_or_else(|| anyhow::anyhow!("a group that only grows is evaluated again"))?;
            let all = self.over_contents(&stage.rows, touched_sql);
            self.session.execute_batch(&format!(
                "CREATE OR REPLACE TEMP TABLE _again AS SELECT *, 1::TINYINT AS _w FROM ({all}\n)"
            ))?;
            queries.push(of("temp._again", true));
            if !stage.global {
                let rest = format!(
                    "(SELECT _rows.* FROM temp.{} AS _rows ANTI JOIN temp.{TOUCHED} AS _touched ON {})",
                    tables.rows,
                    same_keys(stage, "_rows", TOUCHED)
                );
                queries.push(of(&rest, false));
            }
        }
        let union = queries.join(" UNION ALL ");
        self.session.execute_batch(&format!(
            "CREATE OR REPLACE TEMP TABLE {} AS {union}",
            tables.fresh
        ))?;
        if again > 0 && !stage.global {
            // Groups that have no row left.
            let sql = format!(
                "INSERT INTO temp.{fresh} BY NAME SELECT _touched.*, 0 AS _n, true AS _again FROM temp.{TOUCHED} \
                 AS _touched ANTI JOIN temp.{fresh} AS _fresh ON {}",
                same_keys(stage, TOUCHED, "_fresh"),
                fresh = tables.fresh,
            );
            self.session.insert_more(&sql, &[])?;
        }
        Ok(())
    }

    /// Puts the touched groups after the batch in the place of those before; returns the number of those.
    fn exchange(&self, stage: &Aggregate, tables: &Tables) -> anyhow::Result<i64> {
        let merged: String = (stage.accumulators.iter())
            .map(|column| {
                let name = &column.name;
                format!(
                    ", CASE WHEN new._again OR old._n IS NULL THEN new.{name} ELSE {} END AS {name}",
                    column.merged
                )
            })
            .collect();
        let names: String = stage
            .accumulators
            .iter()
            .map(|column| format!(", {}", column.name))
            .collect();
        let session = self.session;
        let columns = super::partition::key_columns(&stage.key_types);
        let candidates = candidates(session, &tables.state, (&tables.fresh, &columns))?;
        session.execute_batch(&format!(
            "CREATE OR REPLACE TEMP TABLE {old_table} AS SELECT * FROM {candidates} AS old \
             SEMI JOIN temp.{fresh} AS new ON {same};\n\
             CREATE OR REPLACE TEMP TABLE {next} AS SELECT {keys}, \
             CASE WHEN new._again THEN new._n ELSE coalesce(old._n, 0) + new._n END AS _n{merged} \
             FROM temp.{fresh} AS new LEFT JOIN temp.{old_table} AS old ON {same}",
            old_table = tables.old,
            candidates = candidates.query(),
            fresh = tables.fresh,
            next = tables.next,
            keys = keys(stage, "new"),
            same = same_keys(stage, "old", "new"),
        ))?;
        let old = session
            .number(&format!("SELECT count(*) FROM temp.{}", tables.old), &[])?
            .unwrap_or(0);
        if old > 0 {
            session.execute_batch(&candidates.delete_sql(&tables.old))?;
        }
        let kept = if stage.global { "true" } else { "_n > 0" };
        session.execute_batch(&format!(
            "INSERT INTO {} SELECT {}, _n{names} FROM temp.{} AS new WHERE {kept}",
            tables.state,
            keys(stage, "new"),
            tables.next
        ))?;
        Ok(old)
    }
}

/// Returns keys and values of the groups, over their state.
fn values(stage: &Aggregate) -> String {
    let keys = (0..stage.key_types.len()).map(|key| format!("_k{key}"));
    let values: Vec<String> = keys.chain(stage.finals.iter().cloned()).collect();
    values.join(", ")
}

fn keys(stage: &Aggregate, table: &str) -> String {
    let keys: Vec<String> = (0..stage.key_types.len())
        .map(|key| format!("{}._k{key}", quote_ident(table)))
        .collect();
    keys.join(", ")
}

fn same_keys(stage: &Aggregate, left: &str, right: &str) -> String {
    super::partition::same_keys(stage.key_types.len(), left, right)
}

fn in_parentheses(sql: &str) -> String {
    format!("({sql})")
}
