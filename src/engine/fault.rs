//! What DuckDB says is wrong with a piece of SQL, taken apart from its JSON form.

use serde_json::Value;

/// A fault in SQL text, its place counted in bytes from the start of what DuckDB was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlFault {
    /// In our form: lower case, one line, no candidates.
    pub message: String,
    /// Offset and length of the culprit.
    pub place: Option<(usize, usize)>,
    /// The name DuckDB did not find.
    pub name: Option<Box<str>>,
    /// What to do about it, where that follows from the kind of fault.
    pub help: Option<Box<str>>,
    /// Near names, best first.
    pub candidates: Box<[String]>,
    /// True if the text is no SQL at all, as opposed to naming something that does not exist.
    pub syntax: bool,
    /// DuckDB's class of the error, such as `Conversion` or `IO`; empty where it told none.
    pub class: Box<str>,
}

impl std::fmt::Display for SqlFault {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for SqlFault {}

/// What is wrong with a parameter, and what to do about it.
const PARAMETER: (&str, &str) = (
    "found a parameter, expected a value",
    "a query takes no parameters: write the value",
);

/// What to do about a tree that DuckDB does not go down.
const TOO_DEEP: &str =
    "give a part of it a view of its own, or parentheses to a long chain: `(a + b) + (c + d)`";

impl SqlFault {
    /// Returns the fault of a query that has a parameter.
    pub fn of_parameter() -> Self {
        Self {
            help: Some(PARAMETER.1.into()),
            ..Self::of(PARAMETER.0)
        }
    }

    /// Takes apart the text of a DuckDB error, in JSON (`errors_as_json`) or plain.
    pub fn of(text: &str) -> Self {
        let parsed = text
            .find('{')
            .and_then(|at| serde_json::from_str::<Value>(&text[at..]).ok());
        match parsed {
            Some(object) => Self::of_json(&object),
            None => Self {
                message: tidy(text),
                help: None,
                place: None,
                name: None,
                candidates: Box::default(),
                syntax: false,
                class: text
                    .split_once(" Error: ")
                    .map_or_else(Box::default, |(class, _)| class.into()),
            },
        }
    }

    /// Reads the fields of an error object, as `errors_as_json` and `json_serialize_sql` give them.
    pub fn of_json(object: &Value) -> Self {
        let field = |name: &str| object.get(name).and_then(Value::as_str);
        let message = field("exception_message").or_else(|| field("error_message"));
        let place = field("location").and_then(|text| {
            let (start, length) = text.trim_matches(['[', ']']).split_once(',')?;
            Some((start.trim().parse().ok()?, length.trim().parse().ok()?))
        });
        let place = place.or_else(|| Some((field("position")?.parse().ok()?, 1)));
        let candidates = field("candidates").map_or_else(Box::default, |text| {
            // Candidates of a wrong argument list are signatures, not names.
            text.split(',')
                .map(|name| name.trim().trim_matches('"').to_owned())
                .filter(|name| !name.is_empty() && !name.contains('('))
                .collect()
        });
        let (message, help) = reword(object, message.unwrap_or("unknown error"));
        Self {
            message,
            help: help.map(String::into_boxed_str),
            place,
            name: field("name").map(Into::into),
            candidates,
            syntax: field("error_subtype") == Some("SYNTAX_ERROR"),
            class: field("exception_type").unwrap_or("").into(),
        }
    }

    /// Says whether the values of some row are at fault, so that other rows may still go through.
    pub fn is_of_rows(&self) -> bool {
        matches!(
            &*self.class,
            "Conversion"
                | "Invalid Input"
                | "Out of Range"
                | "Constraint"
                | "Mismatch Type"
                | "Invalid"
        )
    }

    /// Says whether the text is at fault, whatever the rows are.
    pub fn is_of_query(&self) -> bool {
        self.syntax || matches!(&*self.class, "Parser" | "Binder" | "Catalog")
    }

    /// Says whether DuckDB will do nothing more with this database in this process: a checkpoint failed
    /// half-way, as on a full disk. What was committed is safe, and is there once the file is opened anew.
    pub fn is_fatal(&self) -> bool {
        self.class.eq_ignore_ascii_case("fatal")
            || self.message.contains("FATAL Error")
            || self.message.contains("database has been invalidated")
    }

    /// Moves the place from a longer text to a part of it that starts at `offset`; a place before the
    /// part is dropped.
    #[must_use]
    pub fn moved(mut self, offset: usize) -> Self {
        self.place = self
            .place
            .and_then(|(start, length)| Some((start.checked_sub(offset)?, length)));
        self
    }
}

/// Says in our words what DuckDB found, and what to do about it where that is known.
fn reword(object: &Value, message: &str) -> (String, Option<String>) {
    let field = |name: &str| object.get(name).and_then(Value::as_str);
    let name = field("name").unwrap_or("");
    let quoted = |prefix: &str| {
        let rest = message.strip_prefix(prefix)?;
        rest.get(1..)?.split(&rest[..1]).next()
    };
    match field("error_subtype") {
        Some("MISSING_ENTRY") => {
            let kind = match field("type").unwrap_or("") {
                "Table" => "relation".to_owned(),
                "Scalar Function" | "Aggregate Function" => "function".to_owned(),
                other => other.to_lowercase(),
            };
            return (format!("{kind} `{name}` does not exist"), None);
        }
        Some("COLUMN_NOT_FOUND") => return (format!("column `{name}` does not exist"), None),
        _ => {}
    }
    if let Some((_, rest)) = message.split_once("xpression depth limit of ") {
        let levels = rest.split(' ').next().unwrap_or_default();
        let message = format!("an expression of more than {levels} levels");
        return (message, Some(TOO_DEEP.to_owned()));
    }
    let casts = || Some("convert an argument: `CAST(x AS TYPE)` or `x::TYPE`".to_owned());
    if let Some(call) = quoted("No function matches the given name and argument types ") {
        return (format!("no function matches `{call}`"), casts());
    }
    if let Some(call) = quoted("Could not choose a best candidate function for the function call ")
    {
        return (format!("several functions match `{call}`"), casts());
    }
    if let Some(column) = quoted("Ambiguous reference to column name ") {
        let names = message.split_once("(use: ").map(|(_, names)| {
            let names = names
                .trim_end_matches(')')
                .replace('"', "")
                .replace('\'', "`");
            format!("write {names}")
        });
        return (format!("column `{column}` is ambiguous"), names);
    }
    if message.contains("must appear in the GROUP BY clause")
        && let Some(column) = quoted("column ")
    {
        let help = format!("add it to GROUP BY, or write `any_value({column})`");
        return (
            format!("column `{column}` is neither grouped nor aggregated"),
            Some(help),
        );
    }
    if let Some(path) = quoted("Cannot access file ") {
        let help = "only connectors reach files and the network".to_owned();
        return (format!("`{path}` cannot be read by SQL"), Some(help));
    }
    if message.starts_with("Values were not provided for the following parameters") {
        return (PARAMETER.0.to_owned(), Some(PARAMETER.1.to_owned()));
    }
    (tidy(message), None)
}

/// Brings DuckDB's wording into ours: first line only, lower case first letter, no full stop.
fn tidy(message: &str) -> String {
    let classes = [
        "Invalid Input Error: ",
        "TransactionContext Error: ",
        "IO Error: ",
    ];
    let message = (classes.iter())
        .find_map(|class| message.strip_prefix(class))
        .unwrap_or(message);
    let line = message.lines().next().unwrap_or("").trim();
    let line = line.trim_end_matches(['.', '!']);
    let mut letters = line.chars();
    match letters.next() {
        // A word in capitals (`JOIN`) or a quoted name stays as it is.
        Some(first) if letters.clone().next().is_some_and(char::is_lowercase) => {
            first.to_lowercase().chain(letters).collect()
        }
        _ => line.to_owned(),
    }
}
