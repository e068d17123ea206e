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
    let plain = unquoted(sql_type);
    NONE.into_iter().find(|part| has_part(&plain, part))
}

/// Says whether a type, as the user wrote it, is or holds a time with a zone: Arrow's times have none.
pub fn has_zoned_time(sql_type: &str) -> bool {
    let words: Vec<String> = (unquoted(sql_type).split_whitespace())
        .map(str::to_uppercase)
        .collect();
    let plain = words.join(" ").replace(" )", ")").replace(" ,", ",");
    let names = ["TIMETZ", "TIME WITH TIME ZONE"];
    names.iter().any(|name| has_part(&plain, name))
}

/// Returns a type without what stands in quotes: names of fields and values of enumerations are no types.
fn unquoted(sql_type: &str) -> String {
    let mut quote = None;
    (sql_type.chars())
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
        .collect()
}

/// Says whether a type is that one, or has it as the type of a part.
fn has_part(plain: &str, part: &str) -> bool {
    let stands_as_type = |at: usize| {
        let before = plain[..at].chars().next_back();
        let after = plain[at + part.len()..].chars().next();
        before.is_none_or(|before| matches!(before, ' ' | '('))
            && after.is_none_or(|after| matches!(after, '(' | ')' | '[' | ','))
    };
    let mut matches = plain.match_indices(part);
    matches.any(|(at, _)| stands_as_type(at))
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

    #[test]
    fn times_with_a_zone_are_found_however_they_are_written() {
        for sql_type in ["timetz", "Time  with\nTIME zone", "STRUCT(a TIMETZ )[]"] {
            assert!(has_zoned_time(sql_type), "{sql_type}");
        }
        for sql_type in [
            "TIME",
            "TIMESTAMPTZ",
            "STRUCT(timetz INT, \"a TIMETZ\" INT)",
        ] {
            assert!(!has_zoned_time(sql_type), "{sql_type}");
        }
    }
}
