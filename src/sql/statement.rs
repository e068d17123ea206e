//! The statements of the dialect as typed: names, spans and raw pieces of text, nothing resolved.
//!
//! Made by [`super::parse_file`]; read by the catalog and the command line.

use crate::diagnostic::Span;

/// A name as the user wrote it, without its quotes. Names compare case-insensitively: use
/// [`Ident::key`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ident {
    pub name: String,
    pub span: Span,
}

impl Ident {
    /// Returns the name in the form that compares: lower case.
    pub fn key(&self) -> String {
        self.name.to_lowercase()
    }
}

/// A piece of SQL as written, `span` covering exactly `text`, or with parts of it replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlText {
    pub text: String,
    pub span: Span,
    /// Where the parts of `text` come from, in order and without a gap; empty if it is as written.
    pub parts: Vec<Part>,
}

impl SqlText {
    /// Takes a text that stands in the source as it is.
    pub fn new(text: String, span: Span) -> Self {
        Self {
            text,
            span,
            parts: Vec::new(),
        }
    }
}

/// A part of a text in which something was replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Where it starts in the new text.
    pub start: usize,
    /// The bytes of the text as written that it repeats, or that it stands for.
    pub written: std::ops::Range<usize>,
    /// Whether it repeats them.
    pub verbatim: bool,
}

/// One statement, `span` covering it without its semicolon.
#[derive(Clone, Debug)]
pub struct Statement {
    pub span: Span,
    pub kind: StatementKind,
}

#[derive(Clone, Debug)]
pub enum StatementKind {
    Create(Box<Create>),
    Drop(DropEntity),
    Show {
        what: ShowWhat,
        span: Span,
    },
    ShowCreate {
        kind: Option<EntityKind>,
        name: Ident,
    },
    Describe(Ident),
    Explain(SqlText),
    /// Any query DuckDB can run (`SELECT`, `WITH`, `FROM`, `VALUES`, …).
    Query(SqlText),
    Set {
        name: Ident,
        value: OptionValue,
    },
}

#[derive(Clone, Debug)]
pub struct Create {
    pub name: Ident,
    pub or_replace: bool,
    pub if_not_exists: bool,
    pub definition: Definition,
}

#[derive(Clone, Debug)]
pub enum Definition {
    Table(Relation),
    Source(Relation),
    /// `CREATE TEMP TABLE`: a lookup.
    Lookup(Relation),
    View {
        query: SqlText,
    },
    MaterializedView {
        query: SqlText,
        emit_on_window_close: Option<Span>,
    },
    Sink {
        input: SinkInput,
        options: OptionList,
        emit_on_window_close: Option<Span>,
    },
    Secret {
        options: OptionList,
        value: OptionValue,
    },
}

/// What an entity is; also what `DROP` and `SHOW CREATE` name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EntityKind {
    Table,
    Source,
    Lookup,
    View,
    MaterializedView,
    Sink,
    Secret,
}

impl EntityKind {
    /// Returns the words of SQL for this kind, in upper case.
    pub fn words(self) -> &'static str {
        match self {
            Self::Table => "TABLE",
            Self::Source => "SOURCE",
            Self::Lookup => "TEMPORARY TABLE",
            Self::View => "VIEW",
            Self::MaterializedView => "MATERIALIZED VIEW",
            Self::Sink => "SINK",
            Self::Secret => "SECRET",
        }
    }
}

impl Definition {
    pub fn kind(&self) -> EntityKind {
        match self {
            Self::Table(_) => EntityKind::Table,
            Self::Source(_) => EntityKind::Source,
            Self::Lookup(_) => EntityKind::Lookup,
            Self::View { .. } => EntityKind::View,
            Self::MaterializedView { .. } => EntityKind::MaterializedView,
            Self::Sink { .. } => EntityKind::Sink,
            Self::Secret { .. } => EntityKind::Secret,
        }
    }
}

/// The column list and options of a TABLE, SOURCE or lookup.
#[derive(Clone, Debug)]
pub struct Relation {
    /// `$param TYPE` of a lookup, without the `$`, in order.
    pub params: Vec<Param>,
    pub columns: Vec<Column>,
    /// The key columns and the span of the whole clause; from `PRIMARY KEY (…)` or `c TYPE PRIMARY KEY`.
    pub primary_key: Option<PrimaryKey>,
    pub watermark: Option<Watermark>,
    /// `INCLUDE key|partition|offset|timestamp|header 'h' [AS name]`, between column list and WITH: the
    /// columns after those of the list.
    pub includes: Vec<Include>,
    pub options: OptionList,
    /// The parenthesised column list.
    pub columns_span: Span,
}

#[derive(Clone, Debug)]
pub struct Param {
    pub name: Ident,
    pub sql_type: SqlText,
}

#[derive(Clone, Debug)]
pub struct Column {
    pub name: Ident,
    pub sql_type: SqlText,
    /// The expression inside `AS (…)`, without the parentheses.
    pub generated: Option<SqlText>,
    pub not_null: bool,
}

#[derive(Clone, Debug)]
pub struct PrimaryKey {
    pub columns: Vec<Ident>,
    pub span: Span,
}

/// `WATERMARK FOR column AS expression` (RisingWave's words).
#[derive(Clone, Debug)]
pub struct Watermark {
    pub column: Ident,
    pub expression: SqlText,
}

/// A column made of what a message carries beside its rows.
#[derive(Clone, Debug)]
pub struct Include {
    pub what: IncludeWhat,
    /// As given with `AS`, or `kafka_` and the part's name, which then has the place of the clause.
    pub name: Ident,
    /// The type that the part has; `VARCHAR` or `BLOB` for bytes.
    pub sql_type: SqlText,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IncludeWhat {
    Key,
    Partition,
    Offset,
    Timestamp,
    Header(String),
}

#[derive(Clone, Debug)]
pub enum SinkInput {
    Relation(Ident),
    Query(SqlText),
}

/// `WITH ( … )`; `span` covers the parentheses, or is empty at the place where `WITH` is missing.
#[derive(Clone, Debug)]
pub struct OptionList {
    pub entries: Vec<OptionEntry>,
    pub span: Span,
    /// False where the statement had no `WITH` at all.
    pub present: bool,
}

#[derive(Clone, Debug)]
pub struct OptionEntry {
    /// The key without quotes, its case kept (`headers.Accept`).
    pub key: Ident,
    pub value: OptionValue,
}

#[derive(Clone, Debug)]
pub struct OptionValue {
    pub kind: OptionValueKind,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OptionValueKind {
    /// A quoted text, its quotes removed and `''` made `'`; `${NAME}` not yet replaced.
    Text(String),
    /// A bare word or number: `true`, `10`, `latest`.
    Bare(String),
    /// `SECRET name`, bare, or as the whole of a quoted text.
    Secret(Ident),
}

#[derive(Clone, Debug)]
pub struct DropEntity {
    pub kind: EntityKind,
    pub name: Ident,
    pub if_exists: bool,
    pub cascade: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShowWhat {
    Tables,
    Sources,
    Views,
    MaterializedViews,
    Sinks,
    Secrets,
    Lookups,
    Errors,
}
