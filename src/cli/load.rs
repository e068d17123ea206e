//! Files and folders to a checked pipeline, for the subcommands that take paths.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use annotate_snippets::Renderer;
use anyhow::{Context as _, anyhow};

use super::say;
use crate::catalog::Catalog;
use crate::diagnostic::{Diagnostic, SourceMap, Span};
use crate::options::Environment;
use crate::plan::{Checked, check};

/// How deep folders may lie: deeper ones are links in a circle, not pipelines.
const DEPTH_MAX: usize = 64;

/// A path that does not exist, a folder without `.sql` files, a file that is not UTF-8.
#[derive(Debug)]
pub struct Unreadable {
    path: PathBuf,
    error: anyhow::Error,
}

impl std::fmt::Display for Unreadable {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{:#}", self.error)
    }
}

impl std::error::Error for Unreadable {}

impl Unreadable {
    fn of(path: &Path) -> impl FnOnce(anyhow::Error) -> Self {
        let path = path.to_owned();
        |error| Self { path, error }
    }

    /// Renders it in the form of [`SourceMap::render_json`], as a fault at the beginning of the file.
    pub fn render_json(&self) -> String {
        let mut sources = SourceMap::default();
        let span = Span {
            file: sources.add(&self.path, ""),
            start: 0,
            end: 0,
        };
        sources.render_json(&[Diagnostic::new(span, self.to_string())])
    }
}

/// The files of the given paths, read.
///
/// # Errors
/// The first that cannot be read.
pub fn read(paths: &[PathBuf]) -> Result<SourceMap, Unreadable> {
    let mut files: Vec<PathBuf> = Vec::new();
    for path in paths {
        let before = files.len();
        collect(path, 0, &mut files).map_err(Unreadable::of(path))?;
        if files.len() == before {
            return Err(Unreadable {
                path: path.to_owned(),
                error: anyhow!("no .sql file under `{}`", path.display()),
            });
        }
    }
    let mut sources = SourceMap::default();
    let mut seen = std::collections::HashSet::new();
    for file in files {
        // One file named twice on the command line is still one file.
        let identity = file.canonicalize().unwrap_or_else(|_| file.clone());
        if !seen.insert(identity) {
            continue;
        }
        let text = text_of(&file).map_err(Unreadable::of(&file))?;
        let text = text
            .strip_prefix('\u{feff}')
            .map(str::to_owned)
            .unwrap_or(text);
        crate::sql::add_source(&mut sources, file, text);
    }
    Ok(sources)
}

fn text_of(file: &Path) -> anyhow::Result<String> {
    let bytes = std::fs::read(file).with_context(|| format!("cannot read `{}`", file.display()))?;
    String::from_utf8(bytes)
        .map_err(|error| anyhow!("`{}` is not UTF-8 text: {error}", file.display()))
}

fn collect(path: &Path, depth: usize, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let metadata =
        std::fs::metadata(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    if !metadata.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    anyhow::ensure!(
        depth < DEPTH_MAX,
        "folders lie too deep at `{}`",
        path.display()
    );
    let entries =
        std::fs::read_dir(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    let mut children: Vec<PathBuf> = Vec::new();
    for entry in entries {
        children.push(entry?.path());
    }
    children.sort();
    for child in children {
        if child.is_dir() {
            collect(&child, depth + 1, files)?;
        } else if child
            .extension()
            .is_some_and(|extension| extension.eq_ignore_ascii_case("sql"))
        {
            files.push(child);
        }
    }
    Ok(())
}

/// A pipeline read from files and checked.
pub struct Loaded {
    pub sources: SourceMap,
    pub catalog: Catalog,
    pub checked: Checked,
}

/// Reads and checks the pipeline of the given paths.
///
/// # Errors
/// [`Unreadable`], which keeps the files from being read, or the engine does not work; faults in them are in the answer.
pub fn load(paths: &[PathBuf]) -> anyhow::Result<Loaded> {
    let sources = read(paths)?;
    let (catalog, faults) = Catalog::of_files(&sources);
    let checked = check(&catalog, &Environment::of_process(), faults)?;
    Ok(Loaded {
        sources,
        catalog,
        checked,
    })
}

/// Prints faults to stderr for people, in colour on a terminal, with a count at the end.
pub fn print_faults(sources: &SourceMap, faults: &[Diagnostic]) {
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let renderer = if colour {
        Renderer::styled()
    } else {
        Renderer::plain()
    };
    for fault in faults {
        say(format_args!("{}\n", sources.render_one(fault, &renderer)));
    }
    match faults.len() {
        0 => {}
        1 => say("1 fault"),
        count => say(format_args!("{count} faults")),
    }
}
