//! How the rows of an entity lie in the database: the tables behind a name, and the SQL over them.
//!
//! The schema `main` has what users name: tables, and views without the hidden columns. `data` has the
//! rows, `changes` the log of relations whose rows also go away.

use crate::sql::quote_ident;

/// The hidden columns, at the end of every table that is its own log.
pub const SEQ: &str = "_seq";
pub const TRIGGER: &str = "_trigger";
const SIGN: &str = "_sign";

/// Says whether a name, whatever its case, is one that the engine needs for itself beside the columns of a relation.
pub fn is_own_column(name: &str) -> bool {
    // The last two: the number of a row in DuckDB, and that of one to be deleted.
    [SEQ, TRIGGER, SIGN, "rowid", "_row"]
        .iter()
        .any(|own| own.eq_ignore_ascii_case(name))
}

/// What is kept of a relation's rows, and how consumers read what is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Rows only ever come: the table is its own log.
    Append,
    /// As [`Layout::Append`], but rows that every consumer has taken are deleted, the latest batch aside.
    Passing,
    /// Rows come and go: the table holds the content, a second one the changes not yet consumed.
    Changing,
}

/// A relation with rows in the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    pub name: String,
    /// Name and DuckDB type of each visible column.
    pub columns: Vec<(String, String)>,
    pub layout: Layout,
    /// False for relations that users cannot name: the result behind a sink, a view with lookups.
    pub visible: bool,
}

impl Stored {
    /// Returns the table that holds the rows.
    pub fn data(&self) -> String {
        format!("data.{}", quote_ident(&self.name))
    }

    /// Returns the table that holds the changes of a [`Layout::Changing`] relation.
    pub fn changes(&self) -> String {
        format!("changes.{}", quote_ident(&self.name))
    }

    /// Returns the visible columns, quoted and joined by commas.
    pub fn column_list(&self) -> String {
        let names: Vec<String> = self
            .columns
            .iter()
            .map(|(name, _)| quote_ident(name))
            .collect();
        names.join(", ")
    }

    /// Returns the statements that make the tables, and the name that users read.
    pub fn create_sql(&self) -> String {
        let mut sql = self.tables_sql();
        if self.visible {
            sql.push_str(&self.view_sql());
        }
        sql
    }

    fn tables_sql(&self) -> String {
        let data = self.data();
        let columns: Vec<String> = (self.columns.iter())
            .map(|(name, sql_type)| format!("{} {sql_type}", quote_ident(name)))
            .collect();
        let columns = columns.join(", ");
        match self.layout {
            Layout::Append | Layout::Passing => {
                format!("CREATE TABLE {data} ({columns}, {SEQ} BIGINT, {TRIGGER} TIMESTAMP);\n")
            }
            Layout::Changing => format!(
                "CREATE TABLE {data} ({});\n\
                 CREATE TABLE {} ({columns}, {SEQ} BIGINT, {TRIGGER} TIMESTAMP, {SIGN} TINYINT);\n",
                changing_columns(&self.columns),
                self.changes()
            ),
        }
    }

    fn view_sql(&self) -> String {
        let (data, list) = (self.data(), self.column_list());
        let latest = match self.layout {
            Layout::Passing => format!(" WHERE {SEQ} = (SELECT max({SEQ}) FROM {data})"),
            _ => String::new(),
        };
        let name = quote_ident(&self.name);
        format!("CREATE VIEW main.{name} AS SELECT {list} FROM {data}{latest};\n")
    }

    /// Returns the statements that remove what [`Stored::create_sql`] made.
    pub fn drop_sql(&self) -> String {
        format!(
            "DROP VIEW IF EXISTS main.{};\nDROP TABLE IF EXISTS {};\nDROP TABLE IF EXISTS {};\n",
            quote_ident(&self.name),
            self.data(),
            self.changes()
        )
    }

    /// Returns a query of everything the relation has delivered and not taken back.
    pub fn all_sql(&self) -> String {
        format!("SELECT {} FROM {}", self.column_list(), self.data())
    }

    /// Returns a query of the rows inserted by the batches after the one whose number the parameter
    /// `$from` holds, up to that of `$from + 1`.
    pub fn inserted_sql(&self, from: usize) -> String {
        self.logged_sql(from, 1)
    }

    /// Returns a query as [`Stored::inserted_sql`], of the rows deleted; none where rows never go away.
    pub fn deleted_sql(&self, from: usize) -> String {
        self.logged_sql(from, -1)
    }

    fn logged_sql(&self, from: usize, sign: i8) -> String {
        let (list, to) = (self.column_list(), from + 1);
        let of_sign = match self.layout {
            Layout::Changing => format!(" AND {SIGN} = {sign}"),
            _ if sign < 0 => " AND false".to_owned(),
            _ => String::new(),
        };
        format!(
            "SELECT {list} FROM {} WHERE {SEQ} > ${from}::BIGINT AND {SEQ} <= ${to}::BIGINT{of_sign}",
            self.log()
        )
    }

    /// Returns the statement that adds the rows of the query `rows`, which gives the visible columns in
    /// order. The parameter `$seq` holds the batch's number, `$trigger` its trigger in microseconds.
    pub fn append_sql(&self, rows: &str, seq: usize, trigger: usize) -> String {
        self.numbered_sql(rows, &format!("${seq}::BIGINT"), trigger)
    }

    /// Returns a statement as [`Stored::append_sql`] that makes several batches of the rows, in their order:
    /// `$seq` holds the number of the first, `$seq + 1` how many rows each but the last one has.
    pub fn append_batches_sql(&self, rows: &str, seq: usize, trigger: usize) -> String {
        let number = format!(
            "${seq}::BIGINT + (row_number() OVER () - 1) // ${}::BIGINT",
            seq + 1
        );
        self.numbered_sql(rows, &number, trigger)
    }

    fn numbered_sql(&self, rows: &str, number: &str, trigger: usize) -> String {
        format!(
            "INSERT INTO {} SELECT *, {number}, make_timestamp(${trigger}::BIGINT) FROM ({rows})",
            self.data()
        )
    }

    /// Returns the table in which batches are numbered.
    fn log(&self) -> String {
        match self.layout {
            Layout::Changing => self.changes(),
            Layout::Append | Layout::Passing => self.data(),
        }
    }

    /// Returns the statement that deletes the batches up to `$1` from the log.
    pub fn trim_sql(&self) -> String {
        format!("DELETE FROM {} WHERE {SEQ} <= $1::BIGINT", self.log())
    }

    /// Returns the statement that keeps the batches after `seq` alone, in a table of their own: of rows that are
    /// deleted, the columns are written once more when the state is closed.
    pub fn rewrite_sql(&self, seq: u64) -> String {
        let log = self.log();
        format!("CREATE OR REPLACE TABLE {log} AS FROM {log} WHERE {SEQ} > {seq}")
    }

    /// Returns the query that counts the logged rows after batch `$1`.
    pub fn pending_sql(&self) -> String {
        format!(
            "SELECT count(*) FROM {} WHERE {SEQ} > $1::BIGINT",
            self.log()
        )
    }

    /// Returns the query that gives the number of rows in each logged batch after `$1`, by number:
    /// batch, rows, trigger.
    pub fn batches_sql(&self) -> String {
        format!(
            "SELECT {SEQ}::VARCHAR, count(*)::VARCHAR, epoch_us(max({TRIGGER}))::VARCHAR FROM {} \
             WHERE {SEQ} > $1::BIGINT GROUP BY {SEQ} ORDER BY {SEQ} LIMIT 1024",
            self.log()
        )
    }
}

/// Returns the column list of a table in which some rows are looked up for each batch.
///
/// Numbers of 128 bits are kept as they are: to unpack a vector of them takes ten times as long as to read it.
pub fn changing_columns(columns: &[(String, String)]) -> String {
    let columns: Vec<String> = (columns.iter())
        .map(|(name, sql_type)| {
            let name = quote_ident(name);
            match is_wide(sql_type) {
                true => format!("{name} {sql_type} USING COMPRESSION uncompressed"),
                false => format!("{name} {sql_type}"),
            }
        })
        .collect();
    columns.join(", ")
}

/// Says whether a type is a number of 128 bits.
fn is_wide(sql_type: &str) -> bool {
    /// The digits of a DECIMAL that 64 bits hold.
    const DIGITS_MAX: u32 = 18;
    let sql_type = sql_type.to_ascii_uppercase();
    let digits = sql_type.strip_prefix("DECIMAL(").and_then(|rest| {
        let digits = rest.strip_suffix(')')?.split(',').next()?;
        digits.trim().parse::<u32>().ok()
    });
    matches!(sql_type.as_str(), "HUGEINT" | "UHUGEINT")
        || digits.is_some_and(|digits| digits > DIGITS_MAX)
}
