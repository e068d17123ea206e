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
    // Names of fields and values of enumerations are no types.
    let mut quote = None;
    let plain: String = (sql_type.chars())
        .map(|character| match quote {
            Some(open) => {
                quote = quote.filter(|_| character != open);
                ' '
            }
            None => {
                quote = Some(character).filter(|character| matches!(character, '\'' | '"'));
                character
            }
        })
        .collect();
    let stands_as_type = |at: usize, part: &str| {
        let before = plain[..at].chars().next_back();
        let after = plain[at + part.len()..].chars().next();
        before.is_none_or(|before| matches!(before, ' ' | '('))
            && after.is_none_or(|after| matches!(after, '(' | ')' | '[' | ','))
    };
    NONE.into_iter().find(|part| {
        let mut matches = plain.match_indices(part);
        matches.any(|(at, _)| stands_as_type(at, part))
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
            ("STRUCT(BIT INTEGER, \"a BIT\" INTEGER)", None),
            ("ENUM('BIT', 'it''s BIT')", None),
        ] {
            assert_eq!(without_arrow(sql_type), part, "{sql_type}");
        }
    }
}
