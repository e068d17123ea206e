//! Types between which no value can be converted. The engine binds such a cast, and fails with every row.
//!
//! Called for generated columns and params of lookups; knows nothing of relations.

use std::collections::HashMap;

use super::bind::Binder;
use crate::engine::SqlFault;

/// Texts of which, for every type that a text becomes, some become a value of it.
const SAMPLES: [&str; 7] = [
    "0",
    "2000-01-01",
    "00:00:00",
    "1 day",
    "00000000-0000-0000-0000-000000000000",
    "{}",
    "[0, 2000-01-01, 00:00:00, 1 day, 00000000-0000-0000-0000-000000000000, {}]",
];

const NUMBERS: [&str; 13] = [
    "TINYINT",
    "SMALLINT",
    "INTEGER",
    "INT",
    "BIGINT",
    "HUGEINT",
    "UTINYINT",
    "USMALLINT",
    "UINTEGER",
    "UBIGINT",
    "FLOAT",
    "REAL",
    "DOUBLE",
];

const INSTANTS: [&str; 5] = [
    "DATE",
    "TIMESTAMP",
    "TIMESTAMP_S",
    "TIMESTAMP_MS",
    "TIMESTAMP_NS",
];

const TEXTS: [&str; 3] = ["VARCHAR", "STRING", "TEXT"];

/// Returns the type of each of these expressions over `from`, each with the type it has to become, of which no value
/// does; `None` for the others, and for those of which the engine cannot tell.
pub fn never_of(binder: &Binder, expressions: &[(&str, &str)], from: &str) -> Vec<Option<String>> {
    let items: Vec<String> = (expressions.iter().enumerate())
        .map(|(number, (text, _))| format!("({text}\n) AS c{number}"))
        .collect();
    let query = format!("SELECT {} FROM ({from})", items.join(", "));
    let found = match expressions {
        [] => Vec::new(),
        // Its faults are those of binding the columns.
        _ => binder.session().describe(&query).unwrap_or_default(),
    };
    let mut known: HashMap<(String, &str), bool> = HashMap::new();
    let types = found.into_iter().map(|(_, sql_type)| Some(sql_type));
    (expressions.iter().zip(types.chain(std::iter::repeat(None))))
        .map(|((_, wanted), found)| {
            let found = found?;
            let pair = (found.clone(), *wanted);
            let never = known
                .entry(pair)
                .or_insert_with(|| never(binder, &found, wanted));
            never.then_some(found)
        })
        .collect()
}

/// Says whether no value of one type becomes of another.
pub fn never(binder: &Binder, found: &str, wanted: &str) -> bool {
    !is_usual(found, wanted) && fails(binder, found, wanted)
}

/// Says whether values are converted for certain.
fn is_usual(found: &str, wanted: &str) -> bool {
    let is_any = |names: &[&str], name: &str| names.iter().any(|it| it.eq_ignore_ascii_case(name));
    let is_number = |name: &str| is_any(&NUMBERS, name) || name.starts_with("DECIMAL(");
    found.eq_ignore_ascii_case(wanted)
        || is_any(&TEXTS, found)
        || is_any(&TEXTS, wanted)
        || (is_number(found) && is_number(wanted))
        || (is_any(&INSTANTS, found) && is_any(&INSTANTS, wanted))
}

/// Tries it with a value; one that does not convert says nothing of others.
fn fails(binder: &Binder, found: &str, wanted: &str) -> bool {
    let samples = SAMPLES.map(|text| format!("TRY_CAST('{text}' AS {found})"));
    let sql = format!("SELECT CAST(coalesce({}) AS {wanted})", samples.join(", "));
    let tried = binder.session().try_statement(&sql);
    let never = |fault: SqlFault| (fault.message).contains("unimplemented type for cast");
    tried.err().is_some_and(never)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_becomes_another_type_is_told() {
        let binder = Binder::new().unwrap();
        let from =
            "SELECT 1::BIGINT AS n, 's' AS s, DATE '2000-01-01' AS d, [1] AS l, NULL::JSON AS j";
        for (text, wanted, never) in [
            ("n", "DATE", Some("BIGINT")),
            ("n", "TIMESTAMP", Some("BIGINT")),
            ("n", "UUID", Some("BIGINT")),
            ("n", "BLOB", Some("BIGINT")),
            ("n", "INT[]", Some("BIGINT")),
            ("n", "STRUCT(a INT)", Some("BIGINT")),
            ("n > 1", "DATE", Some("BOOLEAN")),
            ("l", "DATE", Some("INTEGER[]")),
            ("l", "DATE[]", Some("INTEGER[]")),
            ("[d]", "BIGINT[]", Some("DATE[]")),
            ("{'a': n}", "INT", Some("STRUCT(a BIGINT)")),
            ("n", "INT", None),
            ("n", "BOOLEAN", None),
            ("n", "DECIMAL(9,2)", None),
            ("n", "VARCHAR", None),
            ("s", "STRUCT(a INT)", None),
            ("d", "TIMESTAMP", None),
            ("l", "DOUBLE[]", None),
            ("j", "TIMESTAMP", None),
            ("NULL", "DATE", None),
            ("nowhere", "DATE", None),
        ] {
            let found = super::never_of(&binder, &[(text, wanted)], from);
            assert_eq!(found, [never.map(str::to_owned)], "{text} AS {wanted}");
        }
    }
}
