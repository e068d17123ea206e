//! File names from the option `path`.
//!
//! Touches no file, but looks at directories to tell whether two paths are one. Called when options are
//! read, and by the writer for each file.

use std::path::{Component, Path, PathBuf};

/// The placeholder for the number of a file.
const NUMBER: &str = "{n}";

/// The names of a sink's files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileNames {
    /// Without the file name; empty for the working directory.
    directory: PathBuf,
    before: String,
    after: String,
}

/// A fault in a path; `start..end` are bytes of the text that was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NameFault {
    pub start: usize,
    pub end: usize,
    pub message: String,
    pub help: &'static str,
}

impl FileNames {
    /// Parses a path with at most one `{n}`, in its last part.
    ///
    /// # Errors
    /// No file name, another placeholder, or `{n}` twice or in a directory.
    pub(super) fn parse(path: &str) -> Result<Self, NameFault> {
        let fault = |start: usize, end: usize, message: String, help: &'static str| NameFault {
            start,
            end,
            message,
            help,
        };
        let name_start = path.rfind('/').map_or(0, |slash| slash + 1);
        let name = &path[name_start..];
        if matches!(name, "" | "." | "..") || path.contains('\0') {
            let message = format!("`{path}` does not end with a file name");
            return Err(fault(
                0,
                path.len(),
                message,
                "write for example `out/trades.json`",
            ));
        }
        let mut numbers = 0;
        for (start, _) in path.match_indices('{') {
            let end = path[start..]
                .find('}')
                .map_or(path.len(), |length| start + length + 1);
            let placeholder = &path[start..end];
            let help = "the only placeholder is `{n}`, once, in the file name: the file's number";
            if placeholder != NUMBER {
                return Err(fault(
                    start,
                    end,
                    format!("unknown placeholder `{placeholder}`"),
                    help,
                ));
            }
            numbers += 1;
            if start < name_start || numbers > 1 {
                let place = if numbers > 1 {
                    "twice"
                } else {
                    "in a directory"
                };
                return Err(fault(start, end, format!("`{{n}}` is {place}"), help));
            }
        }
        let (before, after) = match name.split_once(NUMBER) {
            Some((before, after)) => (before.to_owned(), after.to_owned()),
            // A dot at the start makes a hidden file, not an extension.
            None => match name.rfind('.').filter(|dot| *dot > 0) {
                Some(dot) => (format!("{}-", &name[..dot]), name[dot..].to_owned()),
                None => (format!("{name}-"), String::new()),
            },
        };
        Ok(Self {
            directory: PathBuf::from(&path[..name_start]),
            before,
            after,
        })
    }

    /// Returns the extension without its dot, empty if there is none.
    pub(super) fn extension(&self) -> &str {
        self.after
            .rsplit_once('.')
            .map_or("", |(_, extension)| extension)
    }

    /// Returns the directory of the files, as it can be opened.
    pub(super) fn directory(&self) -> &Path {
        if self.directory.as_os_str().is_empty() {
            Path::new(".")
        } else {
            &self.directory
        }
    }

    /// Returns the path of a finished file.
    pub(super) fn finished(&self, number: u64) -> PathBuf {
        self.directory
            .join(format!("{}{number:06}{}", self.before, self.after))
    }

    /// Returns the path with the number's placeholder, the same for all ways to write one path. Links are followed as
    /// far as there are directories.
    pub(super) fn pattern(&self) -> String {
        let absolute = std::path::absolute(self.directory());
        let absolute = absolute.as_deref().unwrap_or(&self.directory);
        let real = |known: &Path| {
            Some((
                known.canonicalize().ok()?,
                absolute.strip_prefix(known).ok()?.to_owned(),
            ))
        };
        let known = absolute.ancestors().find_map(real);
        let (mut directory, rest) = known.unwrap_or_else(|| (PathBuf::new(), absolute.to_owned()));
        for part in rest.components() {
            match part {
                Component::ParentDir => drop(directory.pop()),
                part => directory.push(part),
            }
        }
        let name = format!("{}{NUMBER}{}", self.before, self.after);
        directory.join(name).display().to_string()
    }

    /// Returns the number of a finished file; `None` if the name is not one of these.
    pub(super) fn number_of(&self, name: &str) -> Option<u64> {
        let number = name.strip_prefix(self.before.as_str())?;
        let number = number.strip_suffix(self.after.as_str())?;
        let is_number = number.len() >= 6 && number.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| number.parse().ok())?
    }

    /// Returns the path of a file that is being written.
    pub(super) fn temporary(&self, number: u64) -> PathBuf {
        self.directory
            .join(format!(".{}{number:06}{}.tmp", self.before, self.after))
    }
}
