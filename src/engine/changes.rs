//! Changing a stored relation: by key, by difference, by rows that come and go.
//!
//! Every function runs inside the caller's transaction, works through the session's temporary tables
//! `next`, `gone` and `come`, and leaves the change behind in `gone` and `come`.

use duckdb::ToSql;

use super::{Session, Stored};
use crate::sql::quote_ident;

/// How many rows a change took away and brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    pub deleted: usize,
    pub inserted: usize,
}

impl Change {
    pub fn is_empty(self) -> bool {
        self.deleted == 0 && self.inserted == 0
    }
}

/// Rows to take away from a relation are not in it: what is held to have gone is not what had come.
#[derive(Debug)]
pub struct RowsMissing {
    relation: String,
    count: i64,
}

impl std::fmt::Display for RowsMissing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { relation, count } = self;
        write!(
            f,
            "{count} rows to take away from `{relation}` are not in it"
        )
    }
}

impl std::error::Error for RowsMissing {}

/// The number and trigger that a change is logged under.
#[derive(Clone, Copy, Debug)]
pub struct Stamp {
    pub seq: u64,
    /// Microseconds since the epoch, UTC.
    pub trigger_us: i64,
}

/// A row's number, in a form that the engine does not look up while it scans: in a table with deleted rows DuckDB
/// 2.0.0 then writes beyond a buffer (`RowIdColumnData::Filter` takes the number of visible rows for that of all).
const ROW_ID: &str = "xor(rowid, 0)";

/// Brings a keyed relation up to the rows of `temp.next`: the last row per key wins, a row equal to the
/// one already there is no change. NULL is a key like any other.
///
/// # Errors
/// DuckDB's own; the caller rolls back.
pub fn upsert(
    session: &Session,
    stored: &Stored,
    key: &[String],
    stamp: Stamp,
) -> anyhow::Result<Change> {
    let list = stored.column_list();
    let data = stored.data();
    let keys: Vec<String> = key.iter().map(|name| quote_ident(name)).collect();
    session.execute_batch(&format!(
        "CREATE OR REPLACE TEMP TABLE latest AS SELECT {list} FROM temp.next \
         WHERE {ROW_ID} IN (SELECT max(rowid) FROM temp.next GROUP BY {}) ORDER BY rowid",
        keys.join(", ")
    ))?;
    let of_key = |column: &&(String, String)| {
        let mut names = key.iter();
        names.any(|name| name.eq_ignore_ascii_case(&column.0))
    };
    let key: Vec<(String, String)> = stored.columns.iter().filter(of_key).cloned().collect();
    let candidates = candidates(session, &data, ("latest", &key))?;
    let same_key = same(&names(&key), "old", "new");
    let mut same_row = same(&names(&stored.columns), "old", "new");
    let intervals = stored
        .columns
        .iter()
        .filter(|(_, of)| of.contains("INTERVAL"));
    for name in intervals.map(|(name, _)| quote_ident(name)) {
        // 30 days are equal to a month, and another row all the same.
        same_row.push_str(&format!(
            " AND old.{name}::VARCHAR IS NOT DISTINCT FROM new.{name}::VARCHAR"
        ));
    }
    session.execute_batch(&format!(
        "CREATE OR REPLACE TEMP TABLE matched AS SELECT * FROM {} AS old \
         SEMI JOIN temp.latest AS new ON {same_key};\n\
         CREATE OR REPLACE TEMP TABLE gone AS SELECT old.* FROM temp.matched AS old \
         ANTI JOIN temp.latest AS new ON {same_row};\n\
         CREATE OR REPLACE TEMP TABLE come AS SELECT new.* FROM temp.latest AS new \
         ANTI JOIN temp.matched AS old ON {same_row};\n",
        candidates.query()
    ))?;
    apply(session, (stored, &candidates), stamp)
}

/// Brings a relation to exactly the rows of `temp.next`, as a bag.
///
/// # Errors
/// DuckDB's own; the caller rolls back.
pub fn replace_all(session: &Session, stored: &Stored, stamp: Stamp) -> anyhow::Result<Change> {
    let list = stored.column_list();
    let data = stored.data();
    session.execute_batch(&format!(
        "CREATE OR REPLACE TEMP TABLE come AS SELECT {list} FROM temp.next EXCEPT ALL SELECT {list} FROM {data};\n\
         CREATE OR REPLACE TEMP TABLE excess AS SELECT {list} FROM {data} EXCEPT ALL SELECT {list} FROM temp.next;\n"
    ))?;
    let candidates = find_rows(session, stored)?;
    apply(session, (stored, &candidates), stamp)
}

/// Takes the rows of `temp.excess` away and adds those of `temp.come`, as bags.
///
/// # Errors
/// DuckDB's own; the caller rolls back. Rows to take away that are not there are an error: the result
/// would no longer be what its query says.
pub fn apply_changes(session: &Session, stored: &Stored, stamp: Stamp) -> anyhow::Result<Change> {
    let candidates = find_rows(session, stored)?;
    let missing = session.number(
        "SELECT (SELECT count(*) FROM temp.excess) - (SELECT count(*) FROM temp.gone)",
        &[],
    )?;
    if missing != Some(0) {
        return Err(anyhow::Error::new(RowsMissing {
            relation: stored.name.clone(),
            count: missing.unwrap_or_default(),
        }));
    }
    apply(session, (stored, &candidates), stamp)
}

/// Finds one stored row for each row of `temp.excess`, duplicates counted, into `temp.gone`. The rows that are equal
/// to one are put into a table first: DuckDB would join the whole relation with the counts otherwise.
fn find_rows(session: &Session, stored: &Stored) -> anyhow::Result<Candidates> {
    let all = names(&stored.columns);
    let list = all.join(", ");
    let candidates = candidates(session, &stored.data(), ("excess", &stored.columns))?;
    let same_row = same(&all, "old", "doomed");
    session.execute_batch(&format!(
        "CREATE OR REPLACE TEMP TABLE matched AS SELECT * FROM {} AS old \
         SEMI JOIN temp.excess AS doomed ON {same_row};\n\
         CREATE OR REPLACE TEMP TABLE gone AS \
         WITH doomed AS (SELECT {list}, count(*) AS _count FROM temp.excess GROUP BY ALL) \
         SELECT old.* FROM temp.matched AS old JOIN doomed ON {same_row} \
         QUALIFY row_number() OVER (PARTITION BY {own}) <= any_value(doomed._count) OVER (PARTITION BY {own});\n",
        candidates.query(),
        own = prefixed(&all, "old"),
    ))?;
    Ok(candidates)
}

/// Deletes `temp.gone`, inserts `temp.come`, and logs both. Nothing is inserted where there is nothing: it may not be
/// the last change of its transaction ([`Session::insert_more`]).
fn apply(
    session: &Session,
    (stored, candidates): (&Stored, &Candidates),
    stamp: Stamp,
) -> anyhow::Result<Change> {
    let (list, data, changes) = (stored.column_list(), stored.data(), stored.changes());
    let seq = i64::try_from(stamp.seq)?;
    let params: [&dyn ToSql; 2] = [&seq, &stamp.trigger_us];
    let count = |table: &str| session.number(&format!("SELECT count(*) FROM temp.{table}"), &[]);
    let log = |table: &str, sign: i8| {
        let sql = format!(
            "INSERT INTO {changes} SELECT {list}, $1, make_timestamp($2), {sign} FROM temp.{table}"
        );
        session.execute(&sql, &params)
    };
    let mut change = Change::default();
    if count("gone")? > Some(0) {
        change.deleted = log("gone", -1)?;
        session.execute(&candidates.delete_sql("gone"), &[])?;
    }
    if count("come")? > Some(0) {
        change.inserted = log("come", 1)?;
        let sql = format!("INSERT INTO {data} SELECT {list} FROM temp.come");
        session.execute(&sql, &[])?;
    }
    Ok(change)
}

fn names(columns: &[(String, String)]) -> Vec<String> {
    columns.iter().map(|(name, _)| quote_ident(name)).collect()
}

/// The rows of a table that may agree with some others: those with one of their values in one column.
pub struct Candidates {
    table: String,
    /// The temporary table of the others.
    few: String,
    /// `None` where no column will do: then it may be any row.
    column: Option<String>,
}

impl Candidates {
    /// Returns a reference to the rows, each with its number as `_row`.
    pub fn query(&self) -> String {
        let Self { table, few, column } = self;
        match column {
            Some(column) => format!(
                "(SELECT old.rowid AS _row, old.* FROM {table} AS old \
                 SEMI JOIN temp.{few} AS few ON old.{column} = few.{column})"
            ),
            None => format!("(SELECT rowid AS _row, * FROM {table})"),
        }
    }

    /// Returns the statement that deletes the rows that some of the candidates are, in a temporary table.
    pub fn delete_sql(&self, rows: &str) -> String {
        let Self { table, column, .. } = self;
        let rows = quote_ident(rows);
        let of_column = match column {
            Some(column) => format!("{column} IN (SELECT {column} FROM temp.{rows}) AND "),
            None => String::new(),
        };
        format!("DELETE FROM {table} WHERE {of_column}{ROW_ID} IN (SELECT _row FROM temp.{rows})")
    }
}

/// Finds the rows of a table that may agree with one of the temporary table `few` in these columns.
///
/// They are found by the one column with the most values in `few` and no NULL. For the equality of one column alone
/// the engine looks values up while it scans: of the others it then reads little.
///
/// # Errors
/// DuckDB's own.
pub fn candidates(
    session: &Session,
    table: &str,
    (few, columns): (&str, &[(String, String)]),
) -> anyhow::Result<Candidates> {
    /// Of a wide table, some column among the first is good enough.
    const COLUMNS_MAX: usize = 16;
    let plain: Vec<String> = (columns.iter())
        .filter(|(_, sql_type)| !has_parts(sql_type))
        .take(COLUMNS_MAX)
        .map(|(name, _)| quote_ident(name))
        .collect();
    let counts: Vec<String> = (plain.iter())
        .map(|name| {
            format!("CASE WHEN count(*) = count({name}) THEN count(DISTINCT {name}) END::VARCHAR")
        })
        .collect();
    let mut best: Option<(u64, &String)> = None;
    if !counts.is_empty() {
        let sql = format!(
            "SELECT {} FROM temp.{}",
            counts.join(", "),
            quote_ident(few)
        );
        let found = session.texts(&sql, &[])?.into_iter().flatten();
        for (name, count) in plain.iter().zip(found) {
            let count = count.and_then(|count| count.parse().ok()).unwrap_or(0);
            if count > best.map_or(0, |(most, _)| most) {
                best = Some((count, name));
            }
        }
    }
    Ok(Candidates {
        table: table.to_owned(),
        few: quote_ident(few),
        column: best.map(|(_, name)| name.clone()),
    })
}

/// Says whether values of a type have parts, among which may be NULL.
fn has_parts(sql_type: &str) -> bool {
    sql_type.contains(['(', '[']) && !is_decimal(sql_type)
}

fn is_decimal(sql_type: &str) -> bool {
    sql_type.to_ascii_uppercase().starts_with("DECIMAL(")
}

fn same(columns: &[String], left: &str, right: &str) -> String {
    let pairs: Vec<String> = (columns.iter())
        .map(|name| format!("{left}.{name} IS NOT DISTINCT FROM {right}.{name}"))
        .collect();
    pairs.join(" AND ")
}

fn prefixed(columns: &[String], table: &str) -> String {
    let names: Vec<String> = columns
        .iter()
        .map(|name| format!("{table}.{name}"))
        .collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::{Database, Layout};
    use super::*;

    /// More than the 122,880 rows of a row group.
    const MANY: usize = 131_072;

    fn database() -> (tempfile::TempDir, Database) {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(Some(&folder.path().join("state"))).unwrap();
        (folder, database)
    }

    fn found(session: &Session, table: &str) -> Option<i64> {
        let sql = format!("SELECT count(*) FROM (SELECT n FROM {table} WHERE n >= 0 GROUP BY n)");
        session.number(&sql, &[]).unwrap()
    }

    #[test]
    fn many_rows_that_come_after_a_change_of_none_are_found() {
        let (_folder, database) = database();
        let session = database.session().unwrap();
        let stored = Stored {
            name: "keyed".to_owned(),
            columns: vec![("n".to_owned(), "BIGINT".to_owned())],
            layout: Layout::Changing,
            visible: false,
        };
        let schemas = "CREATE SCHEMA data; CREATE SCHEMA changes;";
        session.execute_batch(schemas).unwrap();
        session.execute_batch(&stored.create_sql()).unwrap();
        let bring = |rows: usize, seq: u64| {
            let next = format!("CREATE OR REPLACE TEMP TABLE next AS FROM range({rows}) AS _(n)");
            session.execute_batch(&next)?;
            let trigger_us = 0;
            upsert(
                &session,
                &stored,
                &["n".to_owned()],
                Stamp { seq, trigger_us },
            )
        };
        bring(1, 1).unwrap();
        let changes = session.transaction(|_| Ok([bring(0, 2)?, bring(1, 2)?, bring(MANY, 2)?]));
        assert_eq!(
            changes.unwrap().map(|change| change.inserted),
            [0, 0, MANY - 1]
        );
        let expected = i64::try_from(MANY).ok();
        assert_eq!(found(&session, "data.keyed"), expected);
        assert_eq!(found(&session, "changes.keyed"), expected);
        let logged = "SELECT count(*) FROM changes.keyed WHERE _seq > 1 AND _seq <= 2";
        let logged = session.number(logged, &[]).unwrap();
        assert_eq!(logged, i64::try_from(MANY - 1).ok());
    }

    #[test]
    fn many_rows_inserted_after_none_are_found() {
        let (_folder, database) = database();
        let session = database.session().unwrap();
        let many = format!("CREATE TEMP TABLE many AS FROM range({MANY}) AS _(n)");
        session.execute_batch(&many).unwrap();
        for (kind, table) in [("", "kept"), ("TEMP", "passing")] {
            let more = session.transaction(|session| {
                session.execute_batch(&format!("CREATE {kind} TABLE {table} (n BIGINT)"))?;
                let insert = format!("INSERT INTO {table} FROM temp.many WHERE n < $1::BIGINT");
                session.execute(&insert, &[&0])?;
                session.insert_more(&insert, &[&i64::try_from(MANY)?])
            });
            assert_eq!(more.unwrap(), MANY);
            assert_eq!(found(&session, table), i64::try_from(MANY).ok());
        }
    }
}
