//! `docs/manual.md` is made of `tests/dialect/accept`, whose statements the tests of the dialect validate: prose of
//! the comments, statements of the rest. `just manual` writes it anew.

use std::fmt::Write as _;

use crate::support::golden::{check, files};
use crate::support::snippets::root;

const HEAD: &str = "# The manual of the dialect

Made by `just manual` of [`tests/dialect/accept`](../tests/dialect/accept), whose files one `omlsp validate` accepts in
every run of the tests; change those. What one could wonder about is told in [dialect.md](dialect.md), every option stands in
[options.md](options.md), and [`tests/dialect/reject`](../tests/dialect/reject) has the misuses with what is said of each.
";

/// A page as it is written, line by line.
#[derive(Default)]
struct Page {
    text: String,
    in_statement: bool,
    in_fence: bool,
}

impl Page {
    fn prose(&mut self, line: &str) {
        if self.in_fence {
            let end = self.text.trim_end().len();
            self.text.truncate(end);
            self.text.push_str("\n```\n\n");
            self.in_fence = false;
        }
        self.text.push_str(&escaped(line));
        self.text.push('\n');
    }

    fn sql(&mut self, line: &str) {
        if !self.in_fence {
            if line.is_empty() {
                return self.text.push('\n');
            }
            let end = self.text.trim_end().len();
            self.text.truncate(end);
            self.text.push_str("\n\n```sql\n");
            self.in_fence = true;
        }
        self.text.push_str(line);
        self.text.push('\n');
        if !line.is_empty() {
            // A comment after the end is still the end.
            let code = line.split("--").next().unwrap_or("");
            self.in_statement = !code.trim_end().ends_with(';');
        }
    }
}

/// Marks up nothing that was not meant to be: outside of backticks, stars and angle brackets are themselves.
fn escaped(line: &str) -> String {
    let mut text = String::new();
    let mut in_code = line.starts_with("    ");
    for c in line.chars() {
        in_code ^= c == '`';
        if !in_code && matches!(c, '*' | '<') {
            text.push('\\');
        }
        text.push(c);
    }
    text
}

fn page_of(text: &str) -> String {
    let mut lines = text.lines();
    let title = lines.next().and_then(|line| line.strip_prefix("-- "));
    let title = title
        .expect("a page begins with its title")
        .trim_end_matches('.');
    let mut page = Page::default();
    writeln!(page.text, "\n## {title}").expect("writing to a string cannot fail");
    for line in lines {
        match line.strip_prefix("--") {
            Some(comment) if !page.in_statement => {
                page.prose(comment.strip_prefix(' ').unwrap_or(comment));
            }
            _ => page.sql(line),
        }
    }
    if page.in_fence {
        let end = page.text.trim_end().len();
        page.text.truncate(end);
        page.text.push_str("\n```\n");
    }
    page.text
}

#[test]
fn the_manual_is_that_of_the_tests() {
    let mut manual = HEAD.to_owned();
    let mut count = 0;
    for path in files(&root().join("tests/dialect/accept"), "sql") {
        let text = std::fs::read_to_string(&path).expect("it is a text");
        manual.push_str(&page_of(&text));
        count += 1;
    }
    assert!(count > 20, "{count}");
    check(&root().join("docs/manual.md"), &manual);
}
