//! From one page to the next: the `pagination.*` options, and what follows a page.
//!
//! | type | the next page | the poll ends |
//! |---|---|---|
//! | `page-based` | `page_param` = `start`, then `step` more each | at an empty page, or one that repeats the last |
//! | `cursor-based` | `cursor_param` = field `cursor_id` of the last row | at an empty page, or when the cursor stays |
//! | `header-based` | `cursor_param` = response header `next_header` | when the header is missing, empty, or stays |
//! | `body_link-based` | what `body_link_path` gives: a URL, or a token for `cursor_param` | when it gives nothing, or what was just used |
//! | `link-header` | the `Link` header's `rel="next"` (RFC 8288) | when there is none |
//!
//! Only a `cursor-based` poll goes on where the last one ended (`pagination.resume`, default `true`); the
//! others start anew. Its cursor must be unique and ascending: a page whose last row has the very cursor
//! that was asked for holds nothing new and is dropped. Pure: it neither sends nor decodes.
//!
//! A page is empty if there was nothing on it, not if the filter left nothing of it: see [`Page::is_empty`].
//!
//! [`Page::is_empty`]: crate::format::Page::is_empty

use serde::{Deserialize, Serialize};
use ureq::http::{HeaderMap, HeaderName, header};
use url::Url;

use super::link_header::next_target;
use super::request::{Request, RequestTemplate, remove_params};
use crate::diagnostic::{Diagnostic, list_names};
use crate::format::Filter;
use crate::options::Options;

/// Pages per poll where `pagination.max_pages` does not say otherwise.
const PAGES_MAX: u64 = 1000;

/// How pages follow each other.
pub(super) enum Kind {
    Single,
    Page {
        param: String,
        start: i64,
        step: i64,
    },
    Cursor {
        param: String,
        field: String,
        resume: bool,
    },
    Header {
        header: HeaderName,
        param: String,
    },
    BodyLink {
        filter: Filter,
        param: Option<String>,
    },
    LinkHeader,
}

/// The `pagination.*` options, checked.
pub(super) struct Pagination {
    pub kind: Kind,
    /// The parameter that asks for a page size, and the size.
    size: Option<(String, u64)>,
    pub pages_max: u64,
}

/// The page a poll has to ask for; kept in the state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Next {
    First,
    Page(i64),
    Cursor(String),
    Url(String),
}

/// What a received page says about the next one.
pub(super) struct Received<'a> {
    /// Rows that the filter gave.
    pub row_count: usize,
    /// True if there was nothing that the filter could have left out either.
    pub is_empty: bool,
    /// The field `cursor_id` of the last row.
    pub last_cursor: Option<&'a str>,
    /// What `body_link_path` gave.
    pub link: Option<&'a str>,
    pub headers: &'a HeaderMap,
    pub url: &'a Url,
    /// True if the body is the very one of the page before.
    pub repeats: bool,
}

/// What follows a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Next(Next),
    End,
    /// The poll ends for a reason that is worth a line in the log.
    Warn(String),
    /// As `End`, and the rows of this page were delivered before.
    Seen,
    /// As `Seen`, with a line in the log.
    Repeated,
    /// As `End`: the filter left no row of a page that holds the next cursor.
    NoRows,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    Page,
    Cursor,
    Header,
    BodyLink,
    LinkHeader,
}

const TYPES: &[(&str, Type)] = &[
    ("page-based", Type::Page),
    ("cursor-based", Type::Cursor),
    ("header-based", Type::Header),
    ("body_link-based", Type::BodyLink),
    ("link-header", Type::LinkHeader),
];

const ALL: &[Type] = &[
    Type::Page,
    Type::Cursor,
    Type::Header,
    Type::BodyLink,
    Type::LinkHeader,
];

/// Every `pagination.` option and the types it belongs to.
const KEYS: &[(&str, &[Type])] = &[
    ("pagination.page_param", &[Type::Page]),
    ("pagination.start", &[Type::Page]),
    ("pagination.step", &[Type::Page]),
    (
        "pagination.cursor_param",
        &[Type::Cursor, Type::Header, Type::BodyLink],
    ),
    ("pagination.cursor_id", &[Type::Cursor]),
    ("pagination.resume", &[Type::Cursor]),
    ("pagination.next_header", &[Type::Header]),
    ("pagination.body_link_path", &[Type::BodyLink]),
    ("pagination.size_param", ALL),
    ("pagination.size", ALL),
    ("pagination.max_pages", ALL),
];

impl Pagination {
    /// Takes `pagination.type` and the options of that type; those of another type are faults.
    pub fn take(options: &mut Options<'_>) -> Option<Self> {
        let type_given = options.key_span("pagination.type").is_some();
        let kind = options.one_of("pagination.type", TYPES);
        refuse_foreign(options, kind, type_given);
        let Some(kind) = kind else {
            return Some(Self {
                kind: Kind::Single,
                size: None,
                pages_max: 1,
            });
        };
        let size = take_size(options);
        let pages_max = options.count("pagination.max_pages").unwrap_or(PAGES_MAX);
        Some(Self {
            kind: take_kind(options, kind)?,
            size,
            pages_max,
        })
    }

    /// Refuses a `pagination.size_param` that every request has already: its own number would be sent, not
    /// `pagination.size`.
    pub fn refuse_size_of(&self, template: &RequestTemplate, options: &mut Options<'_>) {
        let Some((param, _)) = &self.size else { return };
        let Some(span) = options.key_span("pagination.size_param") else {
            return;
        };
        if self.moving_param() == Some(param) {
            let message = format!("`{param}` is the parameter of the page or cursor already");
            let fault = Diagnostic::new(span, message);
            options.fault(fault.help("one of them has another name: see what the server calls it"));
        } else if (template.bind(&[])).is_ok_and(|request| request.has_param(param)) {
            let message =
                format!("`{param}` is in every request already, so `pagination.size` is not sent");
            let fault = Diagnostic::new(span, message);
            options.fault(fault.help("leave it out of `url` and `params.*`"));
        }
    }

    /// Refuses a `params.*` that the number of the page would replace. That of a cursor is sent with the first page.
    pub fn refuse_params_of(&self, template: &RequestTemplate, options: &mut Options<'_>) {
        if let Kind::Page { param, .. } = &self.kind {
            let keys = ("pagination.page_param", "pagination.type");
            let help = "leave it out: `pagination.start` is the first page";
            template.refuse_param(options, param, keys, help);
        }
    }

    /// Returns the parameter that differs from page to page.
    fn moving_param(&self) -> Option<&str> {
        match &self.kind {
            Kind::Page { param, .. } => Some(param),
            _ => self.cursor_param(),
        }
    }

    /// Returns true if polls go on from the cursor of the last one.
    pub fn resumes(&self) -> bool {
        matches!(self.kind, Kind::Cursor { resume: true, .. })
    }

    /// Returns true if an unchanged first page means that nothing changed: on the only page, or on the
    /// one after the last known cursor.
    pub fn first_page_tells(&self) -> bool {
        matches!(self.kind, Kind::Single) || self.resumes()
    }

    /// Returns the field of the last row that is the cursor.
    pub fn cursor_field(&self) -> Option<&str> {
        match &self.kind {
            Kind::Cursor { field, .. } => Some(field),
            _ => None,
        }
    }

    /// Returns the filter that finds the next link in a body.
    pub fn link_filter(&self) -> Option<&Filter> {
        match &self.kind {
            Kind::BodyLink { filter, .. } => Some(filter),
            _ => None,
        }
    }

    /// Returns where a new poll begins; `cursor` is that of the last one.
    pub fn start(&self, cursor: Option<&str>) -> Next {
        match &self.kind {
            Kind::Page { start, .. } => Next::Page(*start),
            Kind::Cursor { resume: true, .. } => {
                cursor.map_or(Next::First, |cursor| Next::Cursor(cursor.to_owned()))
            }
            _ => Next::First,
        }
    }

    /// Returns true if this kind of pagination could have made that position.
    pub fn understands(&self, next: &Next) -> bool {
        match next {
            Next::First => !matches!(self.kind, Kind::Page { .. }),
            Next::Page(_) => matches!(self.kind, Kind::Page { .. }),
            Next::Cursor(_) => self.cursor_param().is_some(),
            Next::Url(_) => matches!(self.kind, Kind::BodyLink { .. } | Kind::LinkHeader),
        }
    }

    fn cursor_param(&self) -> Option<&str> {
        match &self.kind {
            Kind::Cursor { param, .. } | Kind::Header { param, .. } => Some(param),
            Kind::BodyLink { param, .. } => param.as_deref(),
            Kind::Single | Kind::Page { .. } | Kind::LinkHeader => None,
        }
    }

    /// Makes the request for a page.
    ///
    /// # Errors
    /// A next link that is no URL, or does not fit this kind of pagination.
    pub fn request(&self, template: &RequestTemplate, next: &Next) -> anyhow::Result<Request> {
        let mut request = match next {
            Next::Url(url) => template.bind_to(Url::parse(url)?, &[])?,
            _ => template.bind(&[])?,
        };
        if let Some((param, size)) = &self.size {
            request.add_param(param, &size.to_string());
        }
        match (next, &self.kind) {
            (Next::Page(page), Kind::Page { param, .. }) => {
                request.set_param(param, &page.to_string())
            }
            (Next::Cursor(cursor), _) => {
                let param = self.cursor_param();
                let param =
                    param.ok_or_else(|| anyhow::anyhow!("there is no parameter for a cursor"))?;
                request.set_param(param, cursor);
            }
            _ => {}
        }
        Ok(request)
    }

    /// Returns what follows a page that was asked for by `at`. `hidden` are parameters that are left out
    /// of a next link, since they are added to every request and must not reach the state.
    pub fn step(&self, at: &Next, page: &Received<'_>, hidden: &[String]) -> Step {
        let sent = match at {
            Next::Cursor(cursor) => Some(cursor.as_str()),
            _ => None,
        };
        match &self.kind {
            Kind::Single => Step::End,
            Kind::Page { .. } | Kind::Cursor { .. } if page.is_empty => Step::End,
            Kind::Page { .. } if page.repeats && page.row_count == 0 => Step::End,
            Kind::Page { .. } if page.repeats => Step::Repeated,
            Kind::Page { start, step, .. } => {
                let page = if let Next::Page(page) = at {
                    *page
                } else {
                    *start
                };
                page.checked_add(*step)
                    .map_or(Step::End, |next| Step::Next(Next::Page(next)))
            }
            Kind::Cursor { .. } if page.row_count == 0 => Step::NoRows,
            Kind::Cursor { field, .. } => match page.last_cursor {
                None => Step::Warn(format!(
                    "the last row has no field `{field}`: there is no next cursor"
                )),
                Some(cursor) if sent == Some(cursor) => Step::Seen,
                Some(cursor) => Step::Next(Next::Cursor(cursor.to_owned())),
            },
            Kind::Header { header, .. } => {
                let value = page
                    .headers
                    .get(header)
                    .and_then(|value| value.to_str().ok());
                match value
                    .map(str::trim)
                    .filter(|value| !value.is_empty() && sent != Some(value))
                {
                    Some(value) => Step::Next(Next::Cursor(value.to_owned())),
                    None => Step::End,
                }
            }
            Kind::BodyLink { param, .. } => {
                let link = page.link.map(str::trim).filter(|link| !link.is_empty());
                match (link, param) {
                    (None, _) => Step::End,
                    (Some(link), Some(_)) if !is_absolute(link) => match sent == Some(link) {
                        true => Step::End,
                        false => Step::Next(Next::Cursor(link.to_owned())),
                    },
                    (Some(link), _) => follow(link, page.url, hidden),
                }
            }
            Kind::LinkHeader => {
                let links = page.headers.get_all(header::LINK).iter();
                let target = links
                    .filter_map(|link| link.to_str().ok())
                    .find_map(next_target);
                target.map_or(Step::End, |target| follow(target, page.url, hidden))
            }
        }
    }
}

fn is_absolute(link: &str) -> bool {
    ["http://", "https://"]
        .iter()
        .any(|scheme| link.starts_with(scheme))
}

fn follow(link: &str, current: &Url, hidden: &[String]) -> Step {
    let (Ok(mut url), mut current) = (current.join(link), current.clone()) else {
        return Step::Warn("the next link is not a URL".to_owned());
    };
    remove_params(&mut url, hidden);
    remove_params(&mut current, hidden);
    match url == current {
        true => Step::Warn("the next link is the page it came from".to_owned()),
        false => Step::Next(Next::Url(url.into())),
    }
}

fn refuse_foreign(options: &mut Options<'_>, chosen: Option<Type>, type_given: bool) {
    for (key, types) in KEYS {
        if chosen.is_some_and(|chosen| types.contains(&chosen)) {
            continue;
        }
        let span = options.key_span(key);
        // Taken in any case, so that it is known and not called unknown as well.
        options.text(key);
        let Some(span) = span else {
            continue;
        };
        let names = list_names(
            TYPES
                .iter()
                .filter(|(_, known)| types.contains(known))
                .map(|(name, _)| *name),
        );
        let fault = match chosen.and_then(|chosen| TYPES.iter().find(|(_, known)| *known == chosen))
        {
            Some((chosen, _)) => {
                let message = format!("`{key}` does not belong to `pagination.type = '{chosen}'`");
                Diagnostic::new(span, message).help(format!("it is an option of {names}"))
            }
            // A wrong `pagination.type` is a fault of its own.
            None if type_given => continue,
            None => Diagnostic::new(span, format!("`{key}` needs a `pagination.type`"))
                .help(format!("add `pagination.type = '…'`: {names}")),
        };
        options.fault(fault);
    }
}

fn take_size(options: &mut Options<'_>) -> Option<(String, u64)> {
    let param_span = options.key_span("pagination.size_param");
    let size_span = options.key_span("pagination.size");
    let param = options.text("pagination.size_param");
    let size = options.count("pagination.size");
    let alone = match (param_span, size_span) {
        (Some(span), None) => Some((span, "pagination.size_param", "pagination.size")),
        (None, Some(span)) => Some((span, "pagination.size", "pagination.size_param")),
        _ => None,
    };
    if let Some((span, given, absent)) = alone {
        let fault = Diagnostic::new(span, format!("`{given}` needs `{absent}`"));
        options
            .fault(fault.help("the one names the parameter, the other gives the number of rows"));
    }
    Some((param?.expose().to_owned(), size?))
}

fn take_kind(options: &mut Options<'_>, kind: Type) -> Option<Kind> {
    let text = |options: &mut Options<'_>, key: &'static str, default: &str| {
        options
            .text(key)
            .map_or_else(|| default.to_owned(), |text| text.expose().to_owned())
    };
    Some(match kind {
        Type::Page => {
            let nonzero = |text: &str| text.parse().ok().filter(|step| *step != 0);
            Kind::Page {
                param: text(options, "pagination.page_param", "page"),
                start: options.integer("pagination.start").unwrap_or(0),
                step: options
                    .parsed("pagination.step", "a whole number other than 0", nonzero)
                    .unwrap_or(1),
            }
        }
        Type::Cursor => Kind::Cursor {
            param: text(options, "pagination.cursor_param", "cursor"),
            field: text(options, "pagination.cursor_id", "id"),
            resume: options.boolean("pagination.resume").unwrap_or(true),
        },
        Type::Header => {
            let param = text(options, "pagination.cursor_param", "cursor");
            if options.key_span("pagination.next_header").is_none() {
                options.missing("pagination.next_header");
            }
            let header = super::auth::take_header_name(options, "pagination.next_header");
            Kind::Header {
                header: header?,
                param,
            }
        }
        Type::BodyLink => {
            let param = options
                .text("pagination.cursor_param")
                .map(|text| text.expose().to_owned());
            let path = options.required_text("pagination.body_link_path")?;
            Kind::BodyLink {
                filter: super::rows::compile(options, &path)?,
                param,
            }
        }
        Type::LinkHeader => Kind::LinkHeader,
    })
}
