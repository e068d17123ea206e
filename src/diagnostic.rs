//! Source files, spans and diagnostics: everything the user sees when the SQL is wrong.
//!
//! Knows nothing of SQL. Every stage that reads user text makes [`Diagnostic`]s; the command line
//! prints them with [`SourceMap::render`] or [`SourceMap::render_json`].

use std::fmt::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

/// The number of a file in its [`SourceMap`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId(u32);

/// A range of bytes in one file, `start` included and `end` not; both lie on character boundaries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    pub file: FileId,
    pub start: usize,
    pub end: usize,
}

impl Span {
    /// Returns the span from `self`'s start to `other`'s end, both in the same file.
    pub fn to(self, other: Self) -> Self {
        Self {
            file: self.file,
            start: self.start,
            end: other.end.max(self.start),
        }
    }

    /// Returns the part of this span from `start` to `end`, both counted in bytes from its own start
    /// and cut to its length.
    pub fn part(self, start: usize, end: usize) -> Self {
        let clamp = |offset: usize| (self.start + offset).min(self.end);
        Self {
            file: self.file,
            start: clamp(start),
            end: clamp(end.max(start)),
        }
    }
}

/// The texts that spans point into.
#[derive(Clone, Debug, Default)]
pub struct SourceMap {
    files: Vec<Source>,
}

#[derive(Clone, Debug)]
struct Source {
    path: PathBuf,
    text: String,
    /// What snippets show: the text with what is hidden in it masked, every byte at its place.
    shown: Option<String>,
}

impl SourceMap {
    /// Adds a text under the path it is shown with, and returns its number.
    pub fn add(&mut self, path: impl Into<PathBuf>, text: impl Into<String>) -> FileId {
        let id = u32::try_from(self.files.len()).expect("fewer than 2^32 files fit into memory");
        self.files.push(Source {
            path: path.into(),
            text: text.into(),
            shown: None,
        });
        FileId(id)
    }

    /// Keeps ranges of a file out of every snippet that is rendered.
    pub fn hide(&mut self, file: FileId, ranges: impl IntoIterator<Item = Range<usize>>) {
        let source = &mut self.files[file.0 as usize];
        for range in ranges {
            let shown = source.shown.get_or_insert_with(|| source.text.clone());
            // Asked of the text itself: ranges may overlap.
            if let Some(secret) = source.text.get(range.clone()) {
                shown.replace_range(range, &masked(secret));
            }
        }
    }

    /// Puts another text in the place of one that nothing points into any more.
    pub fn replace(&mut self, file: FileId, path: impl Into<PathBuf>, text: impl Into<String>) {
        self.files[file.0 as usize] = Source {
            path: path.into(),
            text: text.into(),
            shown: None,
        };
    }

    /// Returns the same map with every text changed by `change`, which keeps each byte's place.
    #[must_use]
    pub fn with_texts(&self, change: impl Fn(&str) -> String) -> Self {
        let files = self.files.iter();
        Self {
            files: files
                .map(|source| Source {
                    path: source.path.clone(),
                    text: change(&source.text),
                    shown: source.shown.as_deref().map(&change),
                })
                .collect(),
        }
    }

    /// Returns every file's number, in the order they were added.
    pub fn files(&self) -> impl Iterator<Item = FileId> + use<> {
        let count = u32::try_from(self.files.len()).expect("`add` keeps the count below 2^32");
        (0..count).map(FileId)
    }

    pub fn path(&self, file: FileId) -> &Path {
        &self.files[file.0 as usize].path
    }

    pub fn text(&self, file: FileId) -> &str {
        &self.files[file.0 as usize].text
    }

    /// Returns a text as snippets show it: what is hidden in it masked.
    pub fn shown(&self, file: FileId) -> &str {
        let source = &self.files[file.0 as usize];
        source.shown.as_deref().unwrap_or(&source.text)
    }

    /// Returns the text a span covers.
    pub fn slice(&self, span: Span) -> &str {
        &self.text(span.file)[span.start..span.end]
    }

    /// Returns line and column of a span's start, both counted from 1, the column in characters.
    pub fn line_column(&self, span: Span) -> (usize, usize) {
        let before = &self.text(span.file)[..span.start];
        let line = before.matches('\n').count() + 1;
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        (line, before[line_start..].chars().count() + 1)
    }

    /// Returns `path:line:column` of a span's start.
    pub fn place(&self, span: Span) -> String {
        let (line, column) = self.line_column(span);
        format!("{}:{line}:{column}", self.path(span.file).display())
    }

    /// Renders diagnostics for people: message, source line, caret, second labels, help.
    pub fn render(&self, diagnostics: &[Diagnostic]) -> String {
        let renderer = Renderer::plain();
        let mut rendered = String::new();
        for diagnostic in diagnostics {
            rendered.push_str(&self.render_one(diagnostic, &renderer));
            rendered.push_str("\n\n");
        }
        rendered
    }

    /// Renders one diagnostic with the given renderer (plain, or styled for a terminal).
    pub fn render_one(&self, diagnostic: &Diagnostic, renderer: &Renderer) -> String {
        let mut files: Vec<FileId> = vec![diagnostic.span.file];
        for label in &diagnostic.labels {
            if !files.contains(&label.span.file) {
                files.push(label.span.file);
            }
        }
        let paths: Vec<String> = files
            .iter()
            .map(|file| self.path(*file).display().to_string())
            .collect();
        let mut group =
            annotate_snippets::Group::with_title(Level::ERROR.primary_title(&diagnostic.message));
        for (file, path) in files.iter().zip(&paths) {
            let mut snippet = Snippet::source(self.shown(*file)).path(path.as_str());
            if diagnostic.span.file == *file {
                let mut annotation =
                    AnnotationKind::Primary.span(diagnostic.span.start..diagnostic.span.end);
                if let Some(label) = &diagnostic.label {
                    annotation = annotation.label(label.as_str());
                }
                snippet = snippet.annotation(annotation);
            }
            for label in diagnostic.labels.iter().filter(|l| l.span.file == *file) {
                snippet = snippet.annotation(
                    AnnotationKind::Context
                        .span(label.span.start..label.span.end)
                        .label(label.text.as_str()),
                );
            }
            group = group.element(snippet);
        }
        if let Some(help) = &diagnostic.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        renderer.render(&[group])
    }

    /// Renders diagnostics for editors: a JSON array of objects with `file`, `line`, `column`,
    /// `end_line`, `end_column` (all from 1, columns in characters), `message`, `label`, `help` and
    /// `related` (the second labels, with places of the same form).
    pub fn render_json(&self, diagnostics: &[Diagnostic]) -> String {
        let place = |span: Span| {
            let (line, column) = self.line_column(span);
            let end = Span {
                start: span.end,
                ..span
            };
            let (end_line, end_column) = self.line_column(end);
            serde_json::json!({
                "file": self.path(span.file).display().to_string(),
                "line": line, "column": column, "end_line": end_line, "end_column": end_column,
            })
        };
        let with = |mut object: serde_json::Value, fields: serde_json::Value| {
            if let (Some(object), serde_json::Value::Object(fields)) =
                (object.as_object_mut(), fields)
            {
                object.extend(fields);
            }
            object
        };
        let all: Vec<serde_json::Value> = diagnostics
            .iter()
            .map(|diagnostic| {
                let related: Vec<serde_json::Value> = diagnostic
                    .labels
                    .iter()
                    .map(|label| {
                        with(
                            place(label.span),
                            serde_json::json!({"message": label.text}),
                        )
                    })
                    .collect();
                with(
                    place(diagnostic.span),
                    serde_json::json!({
                        "severity": "error",
                        "message": diagnostic.message,
                        "label": diagnostic.label,
                        "help": diagnostic.help,
                        "related": related,
                    }),
                )
            })
            .collect();
        let mut text = serde_json::to_string_pretty(&all).expect("strings and numbers serialize");
        text.push('\n');
        text
    }
}

/// Returns as many signs as there are characters, each as long in UTF-8 as the one it stands for, so that
/// columns and byte offsets stay true; line breaks stay.
fn masked(secret: &str) -> String {
    let sign = |c: char| match (c, c.len_utf8()) {
        ('\n' | '\r', _) => c,
        (_, 1) => '*',
        (_, 2) => '·',
        (_, 3) => '•',
        _ => '\u{1f7b6}',
    };
    secret.chars().map(sign).collect()
}

/// A second place that helps to understand a fault, such as the first definition of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    pub span: Span,
    pub text: String,
}

/// One fault in the user's text: what was found, where, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    pub message: String,
    /// The smallest culprit; it gets the caret.
    pub span: Span,
    /// Words beside the caret.
    pub label: Option<String>,
    /// Second places.
    pub labels: Vec<Label>,
    pub help: Option<String>,
}

impl Diagnostic {
    /// Makes a diagnostic at `span`. The message is lower case, without a full stop.
    pub fn new(span: Span, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            span,
            label: None,
            labels: Vec::new(),
            help: None,
        }
    }

    /// Adds words beside the caret.
    #[must_use]
    pub fn label(mut self, text: impl Into<String>) -> Self {
        self.label = Some(text.into());
        self
    }

    /// Adds a second place.
    #[must_use]
    pub fn also(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push(Label {
            span,
            text: text.into(),
        });
        self
    }

    /// Adds a line that says what to do.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help = Some(text.into());
        self
    }

    /// Adds `did you mean …?` if one of the candidates is near to what was written.
    #[must_use]
    pub fn suggest<'a>(self, wrote: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        match nearest(wrote, known) {
            Some(name) => {
                let text = format!("did you mean `{name}`?");
                self.help(text)
            }
            None => self,
        }
    }
}

/// Returns the candidate nearest to what was written, if it is near enough to be meant.
pub fn nearest<'a>(wrote: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wrote = wrote.to_lowercase();
    // A third of the letters may be wrong: more than that is another word.
    let distance_max = (wrote.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|name| {
            let distance = strsim::damerau_levenshtein(&wrote, &name.to_lowercase());
            (distance, name)
        })
        .filter(|(distance, _)| *distance <= distance_max)
        .min()
        .map(|(_, name)| name)
}

/// Joins names for a message: `a`, `b` and `c`, each in backticks.
pub fn list_names<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    let mut text = String::new();
    for (index, name) in names.iter().enumerate() {
        let separator = match index {
            0 => "",
            _ if index + 1 == names.len() => " and ",
            _ => ", ",
        };
        write!(text, "{separator}`{name}`").expect("writing to a string cannot fail");
    }
    text
}
