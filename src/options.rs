//! `WITH` options: typed, taken once, leftovers are errors.
//!
//! A connector takes each option it knows by name and type; [`Options::finish`] then turns what was
//! not taken into diagnostics with the nearest known key. Faults are collected, never returned one by
//! one: a `take_…` that meets a wrong value notes a diagnostic and answers as if the option were absent.

mod text;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::diagnostic::{Diagnostic, Span, list_names, nearest};
use crate::secret::Secrets;
use crate::sql::{Ident, OptionEntry, OptionList, OptionValue, OptionValueKind};
pub use text::{Text, replace_variables};

/// The environment variables that `${NAME}` reads; passed in so that nothing reads the process's own.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    variables: BTreeMap<String, String>,
}

impl Environment {
    /// Takes a copy of the process's variables; those that are not Unicode are left out.
    pub fn of_process() -> Self {
        let variables = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        variables.collect()
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }
}

impl FromIterator<(String, String)> for Environment {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(variables: I) -> Self {
        Self {
            variables: variables.into_iter().collect(),
        }
    }
}

/// The options of one statement, while a connector takes them.
pub struct Options<'a> {
    entries: Vec<(OptionEntry, bool)>,
    /// Every key that was asked for, for suggestions; prefixes end with `.`.
    known: Vec<&'static str>,
    span: Span,
    environment: &'a Environment,
    secrets: &'a Secrets,
    faults: Vec<Diagnostic>,
    notes: Vec<String>,
}

impl<'a> Options<'a> {
    pub fn new(list: &OptionList, environment: &'a Environment, secrets: &'a Secrets) -> Self {
        let mut options = Self {
            entries: Vec::new(),
            known: Vec::new(),
            span: list.span,
            environment,
            secrets,
            faults: Vec::new(),
            notes: Vec::new(),
        };
        for entry in &list.entries {
            options.add(entry);
        }
        options
    }

    fn add(&mut self, entry: &OptionEntry) {
        let first = (self.entries.iter()).find(|(other, _)| other.key.name == entry.key.name);
        if let Some((first, _)) = first {
            let message = format!("option `{}` is given twice", entry.key.name);
            let fault = Diagnostic::new(entry.key.span, message)
                .label("given again here")
                .also(first.key.span, "first given here");
            self.faults.push(fault);
            return;
        }
        self.entries.push((entry.clone(), false));
    }

    /// Returns the place that stands for the whole `WITH (…)`, for faults of what is not there: the value of
    /// `connector`, or the opening parenthesis.
    pub fn span(&self) -> Span {
        self.value_span("connector")
            .unwrap_or_else(|| self.span.part(0, 1))
    }

    /// As [`Options::key_span`], compared without regard to case, as the names of headers are.
    pub fn key_span_any_case(&self, key: &str) -> Option<Span> {
        let mut keys = self.entries.iter().map(|(entry, _)| &entry.key);
        let found = keys.find(|known| known.name.eq_ignore_ascii_case(key))?;
        Some(found.span)
    }

    /// Returns the place of an option's value, if it was given, without taking it.
    pub fn value_span(&self, key: &str) -> Option<Span> {
        let (entry, _) = self
            .entries
            .iter()
            .find(|(entry, _)| entry.key.name == key)?;
        Some(entry.value.span)
    }

    /// Says whether the connector has asked for this option, given or not.
    pub fn knows(&self, key: &str) -> bool {
        self.known.contains(&key)
    }

    /// Notes a fault that the connector found itself.
    pub fn fault(&mut self, fault: Diagnostic) {
        self.faults.push(fault);
    }

    /// Notes how an option is carried out, for those who ask how an entity works.
    pub fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    /// Returns what was noted, and forgets it.
    pub fn take_notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }

    /// Gives the option whose key is near to this one its name, if none has it, and returns the fault that this is: what
    /// depends on the option can be checked all the same.
    pub fn respell(&mut self, key: &'static str) -> Option<Diagnostic> {
        if self.key_span(key).is_some() {
            return None;
        }
        let near = |wrote: &str| nearest(wrote, [key]).is_some();
        let mut entries = self.entries.iter_mut().map(|(entry, _)| &mut entry.key);
        let found = entries.find(|found| near(&found.name))?;
        let wrote = std::mem::replace(&mut found.name, key.to_owned());
        let fault = Diagnostic::new(found.span, format!("unknown option `{wrote}`"));
        Some(fault.suggest(&wrote, [key]))
    }

    fn take(&mut self, key: &'static str) -> Option<OptionEntry> {
        if !self.known.contains(&key) {
            self.known.push(key);
        }
        let (entry, taken) = self
            .entries
            .iter_mut()
            .find(|(entry, _)| entry.key.name == key)?;
        *taken = true;
        Some(entry.clone())
    }

    /// Returns the place of an option's key, if it was given, without taking it.
    pub fn key_span(&self, key: &str) -> Option<Span> {
        let (entry, _) = self
            .entries
            .iter()
            .find(|(entry, _)| entry.key.name == key)?;
        Some(entry.key.span)
    }

    /// Returns a text, or `None` if the option is absent or its `${…}` or secret cannot be resolved.
    pub fn text(&mut self, key: &'static str) -> Option<Text> {
        let entry = self.take(key)?;
        self.resolve(&entry.value)
    }

    /// Returns a text under the first of several names for one option; two of them given is a fault.
    pub fn text_of(&mut self, keys: &[&'static str]) -> Option<Text> {
        let given: Vec<OptionEntry> = keys.iter().filter_map(|key| self.take(key)).collect();
        if let [first, second, ..] = given.as_slice() {
            let message = format!(
                "`{}` and `{}` are two names of one option",
                first.key.name, second.key.name
            );
            let fault = Diagnostic::new(second.key.span, message)
                .also(first.key.span, "first given here")
                .help("keep one of them");
            self.faults.push(fault);
        }
        let entry = given.into_iter().next()?;
        self.resolve(&entry.value)
    }

    /// Returns a text; its absence is a fault.
    pub fn required_text(&mut self, key: &'static str) -> Option<Text> {
        if self.key_span(key).is_none() {
            self.take(key);
            self.missing(key);
            return None;
        }
        self.text(key)
    }

    /// Notes that a required option is absent.
    pub fn missing(&mut self, key: &str) {
        let message = format!("option `{key}` is missing");
        // What decided that it is needed: `auth.type` for `auth.token`, the connector for the rest.
        let deciding = key
            .split_once('.')
            .map(|(group, _)| format!("{group}.type"));
        let span = deciding.and_then(|deciding| self.value_span(&deciding));
        let fault = Diagnostic::new(span.unwrap_or_else(|| self.span()), message);
        self.faults.push(match (span, self.key_span("connector")) {
            (None, None) => fault.help(format!("add `{key} = '…'`")),
            _ => fault
                .label("needed by this")
                .help(format!("add `{key} = '…'`")),
        });
    }

    /// Returns all options whose key starts with `prefix` (which ends with `.`), the prefix cut off,
    /// with the span of each key, in the order written.
    pub fn prefixed(&mut self, prefix: &'static str) -> Vec<(String, Span, Text)> {
        self.known.push(prefix);
        let mut found = Vec::new();
        for (entry, taken) in &mut self.entries {
            if let Some(rest) = entry.key.name.strip_prefix(prefix) {
                // A bare prefix has no name after the dot and stays a leftover.
                if !rest.is_empty() && !*taken {
                    *taken = true;
                    found.push((rest.to_owned(), entry.clone()));
                }
            }
        }
        found
            .into_iter()
            .filter_map(|(name, entry)| Some((name, entry.key.span, self.resolve(&entry.value)?)))
            .collect()
    }

    /// Takes an option and parses it; a text the parser refuses is a fault that says what was expected.
    pub fn parsed<T>(
        &mut self,
        key: &'static str,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.text(key)?;
        let value = parse(text.expose().trim());
        if value.is_none() {
            let message = format!("`{key}` is not {expected}: `{}`", text.shown());
            self.faults.push(Diagnostic::new(text.span, message));
        }
        value
    }

    /// Returns a duration such as `'500ms'`, `'5s'`, `'1m'`, `'1h'`.
    pub fn duration(&mut self, key: &'static str) -> Option<Duration> {
        self.parsed(
            key,
            "a duration such as '500ms', '5s', '1m' or '1h'",
            parse_duration,
        )
    }

    /// Returns a duration above zero.
    pub fn duration_above_zero(&mut self, key: &'static str) -> Option<Duration> {
        self.parsed(
            key,
            "a duration above zero such as '500ms' or '30s'",
            |text| parse_duration(text).filter(|duration| !duration.is_zero()),
        )
    }

    /// Returns a number of bytes, at least 1, such as `'64MiB'`.
    pub fn size(&mut self, key: &'static str) -> Option<u64> {
        self.parsed(
            key,
            "a size above zero such as '64MiB', '10kB' or '4096'",
            |text| parse_size(text).filter(|bytes| *bytes > 0),
        )
    }

    pub fn integer(&mut self, key: &'static str) -> Option<i64> {
        self.parsed(key, "a whole number", |text| text.parse().ok())
    }

    /// Returns a whole number of at least 1.
    pub fn count(&mut self, key: &'static str) -> Option<u64> {
        self.parsed(key, "a whole number of 1 or more", |text| {
            text.parse().ok().filter(|count| *count > 0)
        })
    }

    pub fn boolean(&mut self, key: &'static str) -> Option<bool> {
        self.parsed(key, "`true` or `false`", |text| {
            match text.to_lowercase().as_str() {
                "true" => Some(true),
                "false" => Some(false),
                _ => None,
            }
        })
    }

    /// Returns the value of one of several words, compared without regard to case.
    pub fn one_of<T: Clone>(
        &mut self,
        key: &'static str,
        choices: &[(&'static str, T)],
    ) -> Option<T> {
        let text = self.text(key)?;
        let wrote = text.expose().trim().to_lowercase();
        if let Some((_, value)) = choices.iter().find(|(name, _)| *name == wrote) {
            return Some(value.clone());
        }
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        let message = format!("`{key}` cannot be `{}`", text.shown());
        let one_of = if names.len() == 1 { "" } else { "one of " };
        let known = list_names(names.iter().copied());
        let fault = Diagnostic::new(text.span, message)
            .label(format!("expected {one_of}{known}"))
            .suggest(&wrote, names);
        self.faults.push(fault);
        None
    }

    /// Says whether the value of an option is a secret that is not known here. The faults of such options tell
    /// nothing: they may be those of its placeholder.
    pub fn has_unknown(&self) -> bool {
        self.entries
            .iter()
            .any(|(entry, _)| match &entry.value.kind {
                OptionValueKind::Secret(name) => self.secrets.is_unknown(&name.name),
                _ => false,
            })
    }

    /// Returns the faults found, those of the options that nobody took included.
    pub fn finish(mut self) -> Vec<Diagnostic> {
        let leftovers: Vec<&OptionEntry> = (self.entries.iter())
            .filter(|(_, taken)| !taken)
            .map(|(entry, _)| entry)
            .collect();
        let faults: Vec<Diagnostic> = leftovers
            .into_iter()
            .map(|entry| self.unknown(&entry.key))
            .collect();
        self.faults.extend(faults);
        self.faults
    }

    fn unknown(&self, key: &Ident) -> Diagnostic {
        if self.known.contains(&key.name.as_str()) {
            let message = format!("option `{}` has no name after the dot", key.name);
            return Diagnostic::new(key.span, message)
                .help(format!("write `{}name = '…'`", key.name));
        }
        let fault = Diagnostic::new(key.span, format!("unknown option `{}`", key.name));
        match self.suggestion(&key.name) {
            Some(near) => fault.help(format!("did you mean `{near}`?")),
            None => fault.help(format!("the options here are {}", self.known_names())),
        }
    }

    /// Lists every key that was asked for, those of one group as `group.*`.
    fn known_names(&self) -> String {
        let mut names: Vec<String> = Vec::new();
        for key in self.known.iter().filter(|key| **key != "connector") {
            let group = key.split_once('.').map(|(group, _)| group);
            let several = group.is_some_and(|group| {
                let in_group =
                    |other: &&&str| other.split_once('.').is_some_and(|(head, _)| head == group);
                key.ends_with('.') || self.known.iter().filter(in_group).count() > 1
            });
            let name = match group {
                Some(group) if several => format!("{group}.*"),
                _ => (*key).to_owned(),
            };
            if !names.contains(&name) {
                names.push(name);
            }
        }
        list_names(names.iter().map(String::as_str))
    }

    fn suggestion(&self, wrote: &str) -> Option<String> {
        // `header.Accept` is near to the prefix `headers.`, not to any whole key.
        if let Some((head, rest)) = wrote.split_once('.') {
            let prefixes = self.known.iter().filter_map(|key| key.strip_suffix('.'));
            if let Some(prefix) = nearest(head, prefixes) {
                return Some(format!("{prefix}.{rest}"));
            }
        }
        nearest(wrote, self.known.iter().copied()).map(str::to_owned)
    }

    fn resolve(&mut self, value: &OptionValue) -> Option<Text> {
        match &value.kind {
            OptionValueKind::Secret(name) => {
                let Some(secret) = self.secrets.get(&name.name) else {
                    let message = format!("secret `{}` does not exist", name.name);
                    let fault = Diagnostic::new(name.span, message)
                        .suggest(&name.name, self.secrets.names());
                    self.faults.push(fault);
                    return None;
                };
                Some(Text::of_secret(secret.clone(), value.span))
            }
            OptionValueKind::Bare(text) => Some(Text::of_bare(text, value.span)),
            OptionValueKind::Text(text) => {
                let replaced = Text::of_quoted(text, value.span, self.environment);
                replaced.map_err(|fault| self.faults.push(*fault)).ok()
            }
        }
    }
}

/// Parses `500ms`, `5s`, `1m`, `1h`, `1d`, also `1.5s`; `None` for anything else.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = split_unit(text)?;
    let unit_seconds = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        "d" => 86400.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number * unit_seconds).ok()
}

/// Parses `4096`, `10kB`, `64MiB`, `1GiB` into bytes; `None` for anything else.
pub fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = split_unit(text)?;
    let unit_bytes: f64 = match unit.to_lowercase().as_str() {
        "" | "b" => 1.0,
        "kb" => 1e3,
        "mb" => 1e6,
        "gb" => 1e9,
        "kib" => 1024.0,
        "mib" => 1024.0 * 1024.0,
        "gib" => 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    let bytes = number * unit_bytes;
    // Above 2^53 a float no longer holds every integer, and no size is that large.
    (bytes.fract() == 0.0 && bytes <= 9e15).then_some(bytes as u64)
}

/// Splits `1.5s` into its number and its unit, spaces between them allowed.
fn split_unit(text: &str) -> Option<(f64, &str)> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit.trim()))
}
