//! What time it is for SQL: `now()` and its kin.
//!
//! DuckDB from its crate has no ICU extension, so `now()` and its kin, which give a time zone's time,
//! cannot be cast. Macros shadow them with their UTC meaning. In a repeatable run they also shadow the
//! clock itself: the instant then comes from a table, which whoever drives the run sets.

use chrono::{DateTime, Utc};

use super::Session;

/// Whose clock queries see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Time {
    System,
    /// The instant last given to [`Session::set_clock`].
    Given,
}

/// The macros over the clock.
const MACROS: &[&str] = &[
    "now() AS get_current_timestamp()::TIMESTAMP",
    "transaction_timestamp() AS get_current_timestamp()::TIMESTAMP",
    "current_localtimestamp() AS get_current_timestamp()::TIMESTAMP",
    "today() AS get_current_timestamp()::TIMESTAMP::DATE",
    "current_date() AS get_current_timestamp()::TIMESTAMP::DATE",
    "timezone(zone, instant) AS CASE WHEN lower(zone) IN ('utc', 'gmt', 'z', 'etc/utc') \
     THEN instant ELSE error('only the time zone UTC is available, not ' || zone) END",
];

/// Macros that a state keeps from a repeatable run besides [`MACROS`], and what they stand for.
const GIVEN_MACROS: &[&str] = &[
    "get_current_timestamp() AS (SELECT instant FROM omlsp.clock)",
    "get_current_time() AS (SELECT instant::TIMESTAMP::TIME FROM omlsp.clock)",
    "current_localtime() AS (SELECT instant::TIMESTAMP::TIME FROM omlsp.clock)",
];

/// Says whether a text of a pipeline may use one of the macros: false only if it certainly does not, not even by the
/// keywords that stand for them, or by what the environment or a secret puts into it.
pub fn asks_for_time(text: &str) -> bool {
    const PARTS: &[&str] = &[
        "now",
        "transaction_timestamp",
        "localtimestamp",
        "today",
        "current_date",
        "zone",
        "${",
        "secret",
    ];
    let text = text.to_ascii_lowercase();
    PARTS.iter().any(|part| text.contains(part))
}

/// Makes the macros, inside the caller's transaction. A `new` database has nothing in it.
///
/// # Errors
/// DuckDB's own.
pub(super) fn prepare(session: &Session, time: Time, new: bool) -> anyhow::Result<()> {
    let mut sql = String::new();
    match time {
        Time::Given => {
            sql.push_str(
                "CREATE SCHEMA IF NOT EXISTS omlsp;\n\
                 CREATE TABLE IF NOT EXISTS omlsp.clock (instant TIMESTAMPTZ);\n\
                 INSERT INTO omlsp.clock SELECT 'epoch'::TIMESTAMPTZ WHERE NOT EXISTS (FROM omlsp.clock);\n",
            );
            for definition in GIVEN_MACROS {
                sql.push_str(&format!("CREATE OR REPLACE MACRO {definition};\n"));
            }
        }
        Time::System if new => {}
        // A state that a repeatable run has left gets the system's clock again.
        Time::System => {
            // Without its database, the name would be that of the engine's own function.
            let name = session.text("SELECT current_database()", &[])?;
            let database = crate::sql::quote_ident(&name.unwrap_or_default());
            for definition in GIVEN_MACROS {
                let name = definition.split('(').next().unwrap_or_default();
                sql.push_str(&format!("DROP MACRO IF EXISTS {database}.main.{name};\n"));
            }
            sql.push_str("DROP TABLE IF EXISTS omlsp.clock;\n");
        }
    }
    for definition in MACROS {
        sql.push_str(&format!("CREATE MACRO IF NOT EXISTS {definition};\n"));
    }
    session.execute_batch(&sql)
}

impl Session {
    /// Sets what time it is for the queries of a database opened by [`super::Database::open_repeatable`].
    ///
    /// # Errors
    /// DuckDB's own.
    pub fn set_clock(&self, instant: DateTime<Utc>) -> anyhow::Result<()> {
        self.execute(
            "UPDATE omlsp.clock SET instant = make_timestamp($1::BIGINT)::TIMESTAMPTZ",
            &[&instant.timestamp_micros()],
        )?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_uses_a_macro_asks_for_time() {
        for definition in MACROS {
            let name = definition.split('(').next().unwrap();
            assert!(asks_for_time(&format!("SELECT {name}()")), "{name}");
        }
        for text in [
            "SELECT CURRENT_DATE",
            "SELECT LocalTimestamp",
            "SELECT t AT TIME\nZONE 'UTC'",
            "on_start_query = '${QUERY}'",
            "on_start_query = SECRET query",
        ] {
            assert!(asks_for_time(text), "{text}");
        }
        assert!(!asks_for_time(
            "CREATE VIEW v AS SELECT a::TIMESTAMP FROM t"
        ));
    }
}
