//! Golden files: what a program printed, to the letter, beside the input that made it print so.
//!
//! `BLESS=1` in the environment writes them instead of comparing.

use std::path::Path;

use similar::TextDiff;

/// The lines of context around each difference.
const CONTEXT_LINES: usize = 3;

/// Compares `actual` with the file, or writes the file if `BLESS=1` is set.
///
/// # Errors
/// A readable difference, or that the file is not there.
pub fn compare(path: &Path, actual: &str) -> Result<(), String> {
    if std::env::var_os("BLESS").is_some_and(|value| value == "1") {
        return std::fs::write(path, actual)
            .map_err(|error| format!("{}: {error}", path.display()));
    }
    let expected = match std::fs::read_to_string(path) {
        Ok(expected) => expected,
        Err(error) => {
            return Err(format!(
                "{}: {error}\nrun with BLESS=1 to write it; it would hold:\n{actual}",
                path.display()
            ));
        }
    };
    if expected == actual {
        return Ok(());
    }
    let diff = TextDiff::from_lines(expected.as_str(), actual);
    let mut unified = diff.unified_diff();
    unified
        .context_radius(CONTEXT_LINES)
        .header("expected", "actual");
    Err(format!(
        "{} differs (BLESS=1 accepts it):\n{unified}",
        path.display()
    ))
}

/// As [`compare`], for a test that has one golden file.
///
/// # Panics
/// With the difference.
pub fn check(path: &Path, actual: &str) {
    if let Err(difference) = compare(path, actual) {
        panic!("{difference}");
    }
}

/// As [`compare`] for many files, so that one run shows every difference.
///
/// # Panics
/// With all differences, or if there is nothing to compare.
pub fn check_all<'a>(cases: impl IntoIterator<Item = (&'a Path, String)>) {
    let mut count = 0;
    let mut differences = Vec::new();
    for (path, actual) in cases {
        count += 1;
        differences.extend(compare(path, &actual).err());
    }
    assert!(count > 0, "no golden file was compared");
    let failed = differences.len();
    assert!(
        differences.is_empty(),
        "{failed} of {count} differ\n\n{}",
        differences.join("\n")
    );
}

/// Replaces what differs from run to run, such as a port or a temporary folder, by a fixed word.
pub fn settle(text: &str, replacements: &[(&str, &str)]) -> String {
    replacements
        .iter()
        .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

/// Returns the files of a folder with this extension, sorted by name.
///
/// # Panics
/// If the folder cannot be read.
pub fn files(folder: &Path, extension: &str) -> Vec<std::path::PathBuf> {
    let entries =
        std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths = entries.map(|entry| entry.expect("the folder stays readable").path());
    let mut files: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    files.sort();
    files
}
