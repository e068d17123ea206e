//! The tokenizer and the small functions beside it.

use super::super::{TokenKind, ends_statement, quote_ident, quote_text, tokens};

fn texts(sql: &str) -> Vec<&str> {
    tokens(sql).iter().map(|token| token.text(sql)).collect()
}

#[test]
fn tokens_are_cut_like_duckdb_cuts_them() {
    let cases: &[(&str, &[&str])] = &[
        ("TRIGGER_TIME ( )", &["TRIGGER_TIME", "(", ")"]),
        ("a.b.\"c d\"", &["a", ".", "b", ".", "\"c d\""]),
        ("'it''s' 'b'", &["'it''s'", "'b'"]),
        ("E'a\\'b' e'''' x'ff'", &["E'a\\'b'", "e''''", "x'ff'"]),
        (
            "$$a'b$$ $t$ $$ $t$ $p $1",
            &["$$a'b$$", "$t$ $$ $t$", "$p", "$1"],
        ),
        (
            "1.5e-3 .5 1e 0xff 1_000 5s 1.",
            &["1.5e-3", ".5", "1", "e", "0xff", "1_000", "5", "s", "1."],
        ),
        ("a--b\nc/*d/*e*/f*/g", &["a", "c", "g"]),
        ("é\u{a0}ü \u{feff}ß‘x’", &["é", "ü", "ß", "‘", "x", "’"]),
        ("a::INT[]", &["a", ":", ":", "INT", "[", "]"]),
        ("'open", &["'open"]),
        ("a /* open", &["a", "/* open"]),
        ("$", &["$"]),
        ("$a$ open", &["$a$ open"]),
        ("\"a\"\"b\"", &["\"a\"\"b\""]),
        ("", &[]),
    ];
    for (sql, expected) in cases {
        assert_eq!(texts(sql), *expected, "{sql}");
    }
}

#[test]
fn names_lose_their_quotes_and_texts_theirs() {
    let sql = "a \"b\"\"c\" 'd''e' $$f$$ $t$g$t$ $h 1";
    let cut = tokens(sql);
    let names: Vec<_> = cut.iter().map(|token| token.name(sql)).collect();
    let contents: Vec<_> = cut.iter().map(|token| token.content(sql)).collect();
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(
        names,
        [some("a"), some("b\"c"), None, None, None, None, None]
    );
    assert_eq!(
        contents,
        [None, None, some("d'e"), some("f"), some("g"), None, None]
    );
    assert_eq!(cut[5].param(sql), Some("h"));
    assert_eq!(cut[6].kind, TokenKind::Number);
    assert!(cut[0].is_word(sql, "A") && !cut[1].is_word(sql, "b\"c"));
}

#[test]
fn quoting_is_undone_by_reading() {
    for name in ["", "a", "A b", "\"", "a\"\"b", "é'"] {
        let ident = quote_ident(name);
        let text = quote_text(name);
        assert_eq!(tokens(&ident)[0].name(&ident).as_deref(), Some(name));
        assert_eq!(tokens(&text)[0].content(&text).as_deref(), Some(name));
    }
    assert_eq!(quote_ident("a\"b"), "\"a\"\"b\"");
    assert_eq!(quote_text("a'b"), "'a''b'");
}

#[test]
fn a_statement_ends_at_its_semicolon() {
    let complete = [
        "SELECT 1;",
        ";",
        "SELECT ';' ; -- why; \n",
        "SELECT (1; /* x */",
        "a; b;",
    ];
    let open = [
        "",
        "SELECT 1",
        "SELECT ';",
        "SELECT 1; SELECT",
        "SELECT 1 --;",
        "SELECT 1; /* ",
        "SELECT $$;",
        "SELECT \";",
        "E'\\';",
    ];
    for sql in complete {
        assert!(ends_statement(sql), "{sql}");
    }
    for sql in open {
        assert!(!ends_statement(sql), "{sql}");
    }
}
