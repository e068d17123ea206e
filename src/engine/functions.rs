//! The names of DuckDB's functions that a query may not be taken apart around: aggregates, those whose value
//! changes, and those that make several rows of one.
//!
//! The engine knows them too, but its list of all functions takes longer to make than the rest of the start.
//! The names are those of the DuckDB that is linked; a test holds them against it.

use std::collections::HashSet;
use std::sync::LazyLock;

static AGGREGATES: LazyLock<HashSet<String>> =
    LazyLock::new(|| names(include_str!("functions/aggregates.txt")));

static VOLATILE: LazyLock<HashSet<String>> =
    LazyLock::new(|| names(include_str!("functions/volatile.txt")));

fn names(lines: &str) -> HashSet<String> {
    lines.lines().map(str::to_owned).collect()
}

/// Returns the names, in lower case, of all aggregate functions and of the macros that call one.
pub fn aggregates() -> &'static HashSet<String> {
    &AGGREGATES
}

/// The functions, and macros that call one, of which a value in a select list becomes several rows.
pub const MULTIPLYING: [&str; 4] = [
    "unnest",
    "unlist",
    "generate_subscripts",
    "regexp_split_to_table",
];

/// Says whether a function or macro, in lower case, may give another value when it is called again with the
/// same arguments.
pub fn is_volatile(name: &str) -> bool {
    VOLATILE.contains(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Database;

    fn of_engine(sql: &str) -> Vec<Vec<Option<String>>> {
        let database = Database::open(None).unwrap();
        database.session().unwrap().texts(sql, &[]).unwrap()
    }

    /// Says whether an expression, in lower case, has a call of one of the aggregates in it.
    fn calls_aggregate(expression: &str) -> bool {
        let heads = expression.split('(');
        heads
            .map(|head| {
                let start = head.rfind(|c: char| !c.is_alphanumeric() && c != '_');
                &head[start.map_or(0, |at| at + 1)..]
            })
            .any(|name| AGGREGATES.contains(name))
    }

    #[test]
    fn every_aggregate_of_the_engine_is_known() {
        let rows = of_engine(
            "SELECT DISTINCT lower(function_name), lower(macro_definition) FROM duckdb_functions() \
             WHERE function_type IN ('aggregate', 'macro')",
        );
        assert!(rows.len() > 100, "{}", rows.len());
        for row in rows {
            let [Some(name), definition] = row.as_slice() else {
                panic!("a function has a name: {row:?}");
            };
            let aggregates = definition.as_deref().is_none_or(calls_aggregate);
            assert!(!aggregates || AGGREGATES.contains(name), "{name}");
        }
    }

    #[test]
    fn every_macro_of_the_engine_that_makes_several_rows_is_known() {
        let rows = of_engine(
            "SELECT DISTINCT lower(function_name) FROM duckdb_functions() WHERE function_type = 'macro' \
             AND (macro_definition ILIKE '%unnest(%' OR macro_definition ILIKE '%unlist(%')",
        );
        let names: Vec<String> = rows.into_iter().flatten().flatten().collect();
        assert!(!names.is_empty());
        for name in names {
            assert!(MULTIPLYING.contains(&name.as_str()), "{name}");
        }
    }

    #[test]
    fn every_function_of_the_engine_whose_value_changes_is_known() {
        let rows = of_engine(
            "SELECT DISTINCT lower(function_name) FROM duckdb_functions() \
             WHERE stability <> 'CONSISTENT' OR macro_definition LIKE '%current_%' \
             OR macro_definition LIKE '%get_current%' \
             OR macro_definition LIKE '%omlsp.clock%' OR macro_definition LIKE '%random%'",
        );
        assert!(rows.len() > 20, "{}", rows.len());
        let names = rows.into_iter().flatten().flatten();
        let unknown: Vec<String> = names.filter(|name| !is_volatile(name)).collect();
        assert_eq!(unknown, [""; 0]);
    }

    #[test]
    fn what_looks_like_a_column_may_be_volatile_too() {
        for word in [
            "current_date",
            "current_time",
            "localtime",
            "localtimestamp",
        ] {
            assert!(is_volatile(word), "{word}");
        }
        assert!(!is_volatile("lower") && !AGGREGATES.contains("lower"));
    }
}
