//! The body of a request: from `json.*` or from `body`, with the values of `$param`s escaped for it.
//!
//! `json.a.b = …` builds nested objects. A value that reads as JSON stays what it is there (a number,
//! `true`, `null`, an object, a list; `"5"` in double quotes is the text 5), and so does an unquoted `TRUE`,
//! `FALSE` or `NULL` in any case; anything else is a text. A value that is exactly `$param` takes the param
//! with its type. In `body`, a param is written as a JSON value, or as the inside of a JSON string where it
//! stands between double quotes; in a form body it is percent-encoded.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::encoding::percent;
use super::shown::Mask;
use super::template::{Piece, Template, value_text};
use crate::batch::Column;
use crate::diagnostic::{Diagnostic, Span};
use crate::options::{Options, Text};
use crate::secret::Secret;

/// A body as written; rendered once per request.
#[derive(Clone, Debug)]
pub(super) enum Body {
    Json(JsonTemplate),
    Raw { template: Template, escape: Escape },
}

/// What a raw body does to the values in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Escape {
    Json,
    Form,
}

/// A JSON value with params in it.
#[derive(Clone, PartialEq)]
pub(super) enum JsonTemplate {
    Fixed(Value),
    Param(usize),
    Text(Template),
    List(Vec<JsonTemplate>),
    Object(Vec<(String, JsonTemplate)>),
}

/// Shows the shape only: a value may be a secret.
impl std::fmt::Debug for JsonTemplate {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fixed(_) => formatter.write_str("***"),
            Self::Param(index) => write!(formatter, "${index}"),
            Self::Text(template) => template.fmt(formatter),
            Self::List(items) => items.fmt(formatter),
            Self::Object(fields) => formatter
                .debug_map()
                .entries(fields.iter().map(|(k, v)| (k, v)))
                .finish(),
        }
    }
}

impl Body {
    /// Takes `json.*` and `body`; both is a fault. Also returns the key of the first, for messages.
    /// Secrets among them are added to the mask.
    pub fn take(
        options: &mut Options<'_>,
        params: &[Column],
        escape: Escape,
        mask: &mut Mask,
    ) -> Option<(Self, Span)> {
        let fields = options.prefixed("json.");
        let body_key = options.key_span("body");
        let raw = options.text("body");
        let json_key = fields.first().map(|(_, span, _)| *span);
        if let (Some(body), Some(json)) = (body_key, json_key) {
            let fault = Diagnostic::new(body, "`body` and `json.*` are two bodies of one request")
                .also(json, "first given here")
                .help("keep one of them");
            options.fault(fault);
        }
        let texts = fields.iter().map(|(_, _, text)| text).chain(&raw);
        for text in texts.filter(|text| text.secret) {
            mask.hide(Secret::new(text.expose()));
        }
        if let Some(raw) = raw {
            let template = or_faults(Template::of_option(&raw, params), options)?;
            return Some((Self::Raw { template, escape }, body_key?));
        }
        let mut root = JsonTemplate::Object(Vec::new());
        for (path, key, text) in &fields {
            let Some(value) = or_faults(JsonTemplate::of_option(text, params), options) else {
                continue;
            };
            if let Err(message) = root.insert(path, value) {
                let fault = Diagnostic::new(*key, format!("`json.{path}` {message}"));
                let other = fields.iter().find(|(other, place, _)| {
                    place != key && (inside(other, path) || inside(path, other))
                });
                options.fault(match other {
                    Some((_, place, _)) => fault.also(*place, "the other option"),
                    None => fault,
                });
            }
        }
        Some((Self::Json(root), json_key?))
    }

    /// Returns the params used.
    pub fn params(&self) -> Vec<usize> {
        match self {
            Self::Json(template) => template.params(),
            Self::Raw { template, .. } => template.params().collect(),
        }
    }

    /// Returns the bytes to send.
    pub fn render(&self, values: &[Value]) -> Vec<u8> {
        match self {
            Self::Json(template) => template.render(values).to_string().into_bytes(),
            Self::Raw {
                template,
                escape: Escape::Form,
            } => template.render(values, percent).into_bytes(),
            Self::Raw {
                template,
                escape: Escape::Json,
            } => render_json_text(template, values).into_bytes(),
        }
    }

    /// Returns the `Content-Type` of a body whose headers name none.
    pub fn content_type(&self) -> &'static str {
        "application/json"
    }
}

/// Notes the faults, if any.
pub(super) fn or_faults<T>(
    result: Result<T, Vec<Diagnostic>>,
    options: &mut Options<'_>,
) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(faults) => {
            for fault in faults {
                options.fault(fault);
            }
            None
        }
    }
}

/// Returns what `TRUE`, `FALSE` or `NULL` without quotes stands for: SQL has no case there, JSON has.
fn keyword(text: &Text) -> Option<Value> {
    let word = text.expose().to_lowercase();
    let is_keyword = text.is_bare() && ["true", "false", "null"].contains(&word.as_str());
    is_keyword.then(|| serde_json::from_str(&word).ok())?
}

fn is_whole(text: &str) -> bool {
    text.trim()
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'-')
}

fn render_json_text(template: &Template, values: &[Value]) -> String {
    let mut text = String::new();
    let mut in_string = false;
    for piece in template.pieces() {
        match piece {
            Piece::Literal(literal) => {
                in_string = ends_in_string(literal, in_string);
                text.push_str(literal);
            }
            Piece::Param(index) if in_string => {
                let quoted = Value::String(value_text(&values[*index])).to_string();
                text.push_str(&quoted[1..quoted.len() - 1]);
            }
            Piece::Param(index) => text.push_str(&values[*index].to_string()),
        }
    }
    text
}

fn ends_in_string(literal: &str, mut in_string: bool) -> bool {
    let mut escaped = false;
    for c in literal.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if in_string => escaped = true,
            '"' => in_string = !in_string,
            _ => {}
        }
    }
    in_string
}

/// Returns a value with one dollar sign for two in the names of its members.
fn names_once(value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(names_once).collect(),
        Value::Object(fields) => (fields.into_iter())
            .map(|(name, value)| (name.replace("$$", "$"), names_once(value)))
            .collect(),
        scalar => scalar,
    }
}

/// Says whether a dotted path is another one or goes on from it.
fn inside(path: &str, outer: &str) -> bool {
    let rest = path.strip_prefix(outer);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

impl JsonTemplate {
    fn of_option(text: &Text, params: &[Column]) -> Result<Self, Vec<Diagnostic>> {
        if let Some(keyword) = keyword(text) {
            return Ok(Self::Fixed(keyword));
        }
        let template = text.as_template();
        let parsed = match serde_json::from_str::<Value>(&template) {
            // A whole number beyond 64 bits would lose digits as a number: it stays a text.
            Ok(Value::Number(number)) if number.is_f64() && is_whole(text.expose()) => {
                return Ok(Self::Fixed(Value::from(text.expose().trim())));
            }
            // What was doubled for the template is none in a name.
            Ok(parsed) if !text.secret && matches!(template, Cow::Owned(_)) => names_once(parsed),
            Ok(parsed) if !text.secret => parsed,
            _ => return Template::of_option(text, params).map(Self::of_template),
        };
        Self::of_value(parsed, params).map_err(|unknown| {
            let message = format!("param `${unknown}` is not declared");
            let help = format!("write `$${unknown}` for a literal dollar sign");
            vec![Diagnostic::new(text.span, message).help(help)]
        })
    }

    fn of_template(template: Template) -> Self {
        let literal = template.params().next().is_none();
        match template.sole_param() {
            Some(index) => Self::Param(index),
            None if literal => Self::Fixed(Value::String(template.render(&[], str::to_owned))),
            None => Self::Text(template),
        }
    }

    fn of_value(value: Value, params: &[Column]) -> Result<Self, String> {
        Ok(match value {
            Value::String(text) => {
                let template = Template::parse(&text, params);
                Self::of_template(template.map_err(|unknown| unknown[0].name.clone())?)
            }
            Value::Array(items) => {
                let items = items.into_iter().map(|item| Self::of_value(item, params));
                Self::List(items.collect::<Result<_, _>>()?)
            }
            Value::Object(fields) => {
                let fields = fields
                    .into_iter()
                    .map(|(name, value)| Ok((name, Self::of_value(value, params)?)));
                Self::Object(fields.collect::<Result<_, String>>()?)
            }
            scalar => Self::Fixed(scalar),
        })
    }

    /// Puts a value at a dotted path, making objects on the way.
    fn insert(&mut self, path: &str, value: Self) -> Result<(), &'static str> {
        let Self::Object(fields) = self else {
            return Err("lies inside a value that is no object");
        };
        let (name, rest) = match path.split_once('.') {
            Some((name, rest)) => (name, Some(rest)),
            None => (path, None),
        };
        if name.is_empty() {
            return Err("has an empty name between its dots");
        }
        let index = fields.iter().position(|(known, _)| known == name);
        let Some(rest) = rest else {
            if index.is_some() {
                return Err("is already part of another `json.` option");
            }
            fields.push((name.to_owned(), value));
            return Ok(());
        };
        let index = index.unwrap_or_else(|| {
            fields.push((name.to_owned(), Self::Object(Vec::new())));
            fields.len() - 1
        });
        fields[index].1.insert(rest, value)
    }

    fn params(&self) -> Vec<usize> {
        match self {
            Self::Fixed(_) => Vec::new(),
            Self::Param(index) => vec![*index],
            Self::Text(template) => template.params().collect(),
            Self::List(items) => items.iter().flat_map(Self::params).collect(),
            Self::Object(fields) => fields
                .iter()
                .flat_map(|(_, value)| value.params())
                .collect(),
        }
    }

    fn render(&self, values: &[Value]) -> Value {
        match self {
            Self::Fixed(value) => value.clone(),
            Self::Param(index) => values[*index].clone(),
            Self::Text(template) => Value::String(template.render(values, str::to_owned)),
            Self::List(items) => items.iter().map(|item| item.render(values)).collect(),
            Self::Object(fields) => {
                let fields = fields
                    .iter()
                    .map(|(name, value)| (name.clone(), value.render(values)));
                Value::Object(fields.collect::<Map<_, _>>())
            }
        }
    }
}
