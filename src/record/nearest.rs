//! Says what a record has instead of a request that it lacks.
//!
//! Pure text; called by the player.

use std::fmt::Write as _;

use url::Url;

/// What a request is found by; secrets are masked in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// In lower case.
    pub entity: String,
    pub method: String,
    pub url: String,
    pub body: Option<Vec<u8>>,
}

impl Key {
    fn body_text(&self) -> String {
        String::from_utf8_lossy(self.body.as_deref().unwrap_or_default()).into_owned()
    }
}

/// Requests that are compared; in a record of more, the others are about the same.
const COMPARED_MAX: usize = 10_000;

/// Of a body, so many characters are shown.
const BODY_SHOWN_MAX: usize = 200;

/// Returns the whole message: the request, the nearest one of the record, and where they differ. `known`
/// are the requests of the record with the numbers of their lines.
pub fn message(wanted: &Key, known: &[(Key, usize)]) -> String {
    let mut text = format!(
        "the record lacks a request of `{}`:\n  {} {}",
        wanted.entity, wanted.method, wanted.url
    );
    let same = known.iter().filter(|(key, _)| key == wanted).count();
    if same > 0 {
        let times = if same == 1 { "once" } else { "several times" };
        write!(
            text,
            "\nit was recorded {times} ({same}), and is now asked for once more"
        )
        .expect("writing to a string cannot fail");
        return text;
    }
    let of_entity: Vec<&(Key, usize)> = (known.iter())
        .filter(|(key, _)| key.entity == wanted.entity)
        .collect();
    let candidates = match of_entity.is_empty() {
        true => known.iter().collect(),
        false => of_entity,
    };
    let scored = (candidates.into_iter().take(COMPARED_MAX))
        .map(|(key, line)| (similarity(wanted, key), key, line));
    let nearest = scored.max_by(|left, right| left.0.total_cmp(&right.0));
    match nearest {
        None => text.push_str("\nthe record has no request at all"),
        Some((_, key, line)) => {
            write!(
                text,
                "\nthe nearest one is that of `{}` in line {line}:\n  {} {}",
                key.entity, key.method, key.url
            )
            .expect("writing to a string cannot fail");
            for difference in differences(wanted, key) {
                write!(text, "\n  {difference}").expect("writing to a string cannot fail");
            }
        }
    }
    text
}

fn similarity(left: &Key, right: &Key) -> f64 {
    let method = if left.method == right.method {
        0.1
    } else {
        0.0
    };
    let body =
        strsim::normalized_levenshtein(&short(&left.body_text()), &short(&right.body_text()));
    method + strsim::normalized_levenshtein(&left.url, &right.url) + body / 2.0
}

/// Returns one line per part that differs: what is wanted, and what was recorded.
fn differences(wanted: &Key, recorded: &Key) -> Vec<String> {
    let mut lines = Vec::new();
    let mut compare = |what: &str, wanted: &str, recorded: &str| {
        if wanted != recorded {
            lines.push(format!("{what} is `{wanted}`, recorded was `{recorded}`"));
        }
    };
    compare("the entity", &wanted.entity, &recorded.entity);
    compare("the method", &wanted.method, &recorded.method);
    match (Url::parse(&wanted.url), Url::parse(&recorded.url)) {
        (Ok(left), Ok(right)) => {
            let origin = |url: &Url| url.origin().ascii_serialization();
            compare("the server", &origin(&left), &origin(&right));
            compare("the path", left.path(), right.path());
            compare_query(&left, &right, &mut compare);
        }
        _ => compare("the URL", &wanted.url, &recorded.url),
    }
    let (left, right) = (short(&wanted.body_text()), short(&recorded.body_text()));
    compare("the body", &left, &right);
    if lines.is_empty() {
        lines.push(
            "they differ in the end of their bodies, or in the order of their parameters"
                .to_owned(),
        );
    }
    lines
}

fn compare_query(wanted: &Url, recorded: &Url, compare: &mut impl FnMut(&str, &str, &str)) {
    let value = |url: &Url, name: &str| {
        let mut pairs = url.query_pairs();
        pairs
            .find(|(known, _)| known == name)
            .map_or_else(|| "(absent)".to_owned(), |(_, value)| value.into_owned())
    };
    let mut names: Vec<String> = Vec::new();
    for (name, _) in wanted.query_pairs().chain(recorded.query_pairs()) {
        if !names.iter().any(|known| *known == name) {
            names.push(name.into_owned());
        }
    }
    for name in names {
        let what = format!("the parameter `{name}`");
        compare(&what, &value(wanted, &name), &value(recorded, &name));
    }
}

fn short(text: &str) -> String {
    text.chars().take(BODY_SHOWN_MAX).collect()
}
