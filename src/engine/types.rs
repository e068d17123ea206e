//! DuckDB's types by their names.

/// Returns the part of a type that Arrow has no values for, so that it would come out as something else: `BIT`, say.
pub fn without_arrow(sql_type: &str) -> Option<&'static str> {
    const NONE: [&str; 6] = [
        "UNION",
        "BIT",
        "BIGNUM",
        "VARIANT",
        "UHUGEINT",
        "TIME WITH TIME ZONE",
    ];
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let bytes = sql_type.as_bytes();
    let stands_alone = |at: usize, part: &str| {
        let before = at.checked_sub(1).map(|before| bytes[before]);
        let after = bytes.get(at + part.len()).copied();
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    };
    NONE.into_iter().find(|part| {
        let mut matches = sql_type.match_indices(part);
        matches.any(|(at, _)| stands_alone(at, part))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_without_arrow_are_found_wherever_they_are() {
        for (sql_type, part) in [
            ("UNION(a INTEGER, b VARCHAR)", Some("UNION")),
            ("STRUCT(a BIT, b INTEGER)[]", Some("BIT")),
            (
                "MAP(VARCHAR, TIME WITH TIME ZONE)",
                Some("TIME WITH TIME ZONE"),
            ),
            ("TIMESTAMP WITH TIME ZONE", None),
            ("HUGEINT", None),
            ("STRUCT(bit_count INTEGER, \"BITS\" INTEGER)", None),
        ] {
            assert_eq!(without_arrow(sql_type), part, "{sql_type}");
        }
    }
}
