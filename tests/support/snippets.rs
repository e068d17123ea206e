//! The snippets of the README and of `docs/`, with what their fences say: a language, and for `sh` how the snippet
//! is run (a word that a reader of the rendered page does not see).
//!
//! Nothing that looks like a snippet may escape: fences stand at the start of a line, and a language that nobody
//! checks is refused where these are used.

use std::path::{Path, PathBuf};

/// One fence.
#[derive(Clone, Debug)]
pub struct Snippet {
    /// File and line.
    pub place: String,
    pub language: String,
    /// What stands after the language.
    pub how: String,
    pub text: String,
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns the README and all pages of `docs/` but the manual, which is made of what the tests of the dialect validate.
pub fn documents() -> Vec<PathBuf> {
    let folder = std::fs::read_dir(root().join("docs")).expect("the folder can be read");
    let pages = folder.map(|entry| entry.expect("it stays readable").path());
    let mut pages: Vec<PathBuf> = pages
        .filter(|path| {
            path.extension().is_some_and(|end| end == "md") && !path.ends_with("manual.md")
        })
        .collect();
    pages.push(root().join("README.md"));
    pages.sort();
    pages
}

/// Returns all snippets, and the text outside of them.
///
/// # Panics
/// Where a fence is not closed or does not begin its line, with the place.
pub fn read() -> (Vec<Snippet>, String) {
    let (mut snippets, mut prose) = (Vec::new(), String::new());
    for path in documents() {
        let text = std::fs::read_to_string(&path).expect("it is a text");
        let mut open: Option<Snippet> = None;
        for (number, line) in text.lines().enumerate() {
            let place = format!("{}:{}", path.display(), number + 1);
            let is_fence = line.starts_with("```");
            let escapes = line.contains("```")
                || line.trim_start().starts_with("~~~")
                || line.contains("<pre");
            assert!(
                is_fence || !escapes,
                "{place}: a fence begins its line with ```"
            );
            match (is_fence, &mut open) {
                (true, Some(_)) => snippets.extend(open.take()),
                (true, None) => open = Some(opened(place, line)),
                (false, Some(snippet)) => snippet.text.extend([line, "\n"]),
                (false, None) => prose.extend([line, "\n"]),
            }
        }
        assert!(open.is_none(), "{}: a fence is not closed", path.display());
    }
    (snippets, prose)
}

fn opened(place: String, line: &str) -> Snippet {
    let info = line.trim_start_matches('`');
    let (language, how) = info.split_once(' ').unwrap_or((info, ""));
    Snippet {
        place,
        language: language.to_owned(),
        how: how.to_owned(),
        text: String::new(),
    }
}

/// Returns the snippets of a language.
pub fn of(language: &str) -> Vec<Snippet> {
    let all = read().0.into_iter();
    all.filter(|snippet| snippet.language == language).collect()
}

/// Returns the words in backticks outside of fences.
pub fn spans(prose: &str) -> Vec<String> {
    let inside = prose.split('`').skip(1).step_by(2);
    inside.map(str::to_owned).collect()
}
