//! A client of a schema registry.
//!
//! Source: Confluent Schema Registry, "API Reference": `GET /schemas/ids/{id}`,
//! `GET /subjects/{subject}/versions/latest`, `POST /subjects/{subject}/versions`; and "Wire format" for what
//! stands in front of a message.

use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::Deserialize;
use url::Url;

use super::tape;
use crate::connector::Context;
use crate::connector::agents::{AgentLimits, Agents};
use crate::format::write_base64;
use crate::options::Text;
use crate::secret::Secret;

/// A registry answers from memory: what takes longer than these is away.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(15);

/// A schema of more bytes is none.
const BODY_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// The first byte of a framed message.
const MAGIC: u8 = 0;

/// Bytes of the frame: the magic one, and the schema's number with its big end first.
const FRAME_BYTES: usize = 5;

/// A registry's address, with its connections.
pub(super) struct Registry {
    agents: Agents,
    base: Url,
    authorization: Option<Secret>,
}

/// A schema with its number.
pub(super) struct Registered {
    pub id: u32,
    pub schema: String,
}

#[derive(Deserialize)]
struct SchemaAnswer {
    id: Option<u32>,
    schema: String,
    #[serde(default, rename = "schemaType")]
    schema_type: Option<String>,
    #[serde(default)]
    references: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct IdAnswer {
    id: u32,
}

#[derive(Deserialize)]
struct FaultAnswer {
    message: String,
}

impl Registry {
    /// Makes a client; nothing is sent. Credentials in the address become basic authentication.
    ///
    /// # Errors
    /// The text is no URL, which validation excludes.
    pub(super) fn new(address: &Text) -> anyhow::Result<Self> {
        let mut base = Url::parse(address.expose()).context("`registry` is not a URL")?;
        let authorization = authorization_of(&base);
        // Both fail only for URLs that cannot have credentials, and those have none to remove.
        base.set_username("").ok();
        base.set_password(None).ok();
        let limits = AgentLimits {
            connect_timeout: CONNECT_TIMEOUT,
            timeout: TIMEOUT,
            idle_connections: 1,
        };
        Ok(Self {
            agents: Agents::new(&base, limits, Vec::new()),
            base,
            authorization,
        })
    }

    /// Returns the text of a schema; `None` if there is none of that number.
    ///
    /// # Errors
    /// The registry is away or refuses, or the schema is none of Avro.
    pub(super) fn schema(&self, id: u32, context: &Context) -> anyhow::Result<Option<String>> {
        let url = self.url(&["schemas", "ids", &id.to_string()]);
        let (status, body) = tape::exchange(&url, context, || self.fetch(&url))?;
        let answer: Option<SchemaAnswer> = interpreted(&url, status, &body)?;
        let answer = answer.map(|answer| avro_of(answer).map(|answer| answer.schema));
        answer.transpose().with_context(|| format!("schema {id}"))
    }

    /// Returns the newest schema of a subject; `None` if it has none.
    ///
    /// # Errors
    /// As for [`Registry::schema`].
    pub(super) fn latest(&self, subject: &str) -> anyhow::Result<Option<Registered>> {
        let answer: Option<SchemaAnswer> =
            self.get(&["subjects", subject, "versions", "latest"])?;
        let Some(answer) = answer else {
            return Ok(None);
        };
        let answer = avro_of(answer).with_context(|| format!("subject `{subject}`"))?;
        let id = answer.id.context("the registry's answer has no `id`")?;
        let schema = answer.schema;
        Ok(Some(Registered { id, schema }))
    }

    /// Registers a schema, and returns its number.
    ///
    /// # Errors
    /// As for [`Registry::schema`]; also that the schema is not compatible with the subject's others.
    pub(super) fn register(&self, subject: &str, schema: &str) -> anyhow::Result<u32> {
        let url = self.url(&["subjects", subject, "versions"]);
        let body = serde_json::json!({"schema": schema}).to_string();
        let request = self.agents.of(&url).post(url.as_str());
        let request = self
            .authorized(request)
            .content_type("application/vnd.schemaregistry.v1+json");
        let response = request.send(body.as_bytes());
        let (status, body) = self.answer(&url, response)?;
        if status != 200 {
            return Err(refusal(&url, status, &body));
        }
        let answer: IdAnswer = parsed(&url, &body)?;
        Ok(answer.id)
    }

    fn get<T: for<'de> Deserialize<'de>>(&self, path: &[&str]) -> anyhow::Result<Option<T>> {
        let url = self.url(path);
        let (status, body) = self.fetch(&url)?;
        interpreted(&url, status, &body)
    }

    fn fetch(&self, url: &Url) -> anyhow::Result<(u16, String)> {
        let response = self
            .authorized(self.agents.of(url).get(url.as_str()))
            .call();
        self.answer(url, response)
    }

    /// Returns the address of a resource. The base may have a path of its own.
    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }

    fn authorized<B>(&self, request: ureq::RequestBuilder<B>) -> ureq::RequestBuilder<B> {
        match &self.authorization {
            Some(value) => request.header("Authorization", value.expose()),
            None => request,
        }
    }

    fn answer(
        &self,
        url: &Url,
        response: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> anyhow::Result<(u16, String)> {
        let mut response =
            response.with_context(|| format!("the schema registry does not answer: {url}"))?;
        let body = response.body_mut().with_config().limit(BODY_BYTES_MAX);
        let body = body
            .read_to_string()
            .with_context(|| format!("the schema registry's answer breaks off: {url}"))?;
        Ok((response.status().as_u16(), body))
    }
}

fn interpreted<T: for<'de> Deserialize<'de>>(
    url: &Url,
    status: u16,
    body: &str,
) -> anyhow::Result<Option<T>> {
    match status {
        200 => parsed(url, body).map(Some),
        404 => Ok(None),
        _ => Err(refusal(url, status, body)),
    }
}

fn parsed<T: for<'de> Deserialize<'de>>(url: &Url, body: &str) -> anyhow::Result<T> {
    serde_json::from_str(body)
        .with_context(|| format!("not the answer of a schema registry: {url}"))
}

fn refusal(url: &Url, status: u16, body: &str) -> anyhow::Error {
    /// Enough to recognise an error page.
    const SHOWN_CHARACTERS_MAX: usize = 200;
    let message = match serde_json::from_str::<FaultAnswer>(body) {
        Ok(fault) => fault.message,
        Err(_) => body.chars().take(SHOWN_CHARACTERS_MAX).collect(),
    };
    anyhow::anyhow!("the schema registry answers {status} to {url}: {message}")
}

fn avro_of(answer: SchemaAnswer) -> anyhow::Result<SchemaAnswer> {
    match answer.schema_type.as_deref() {
        None | Some("AVRO") => {}
        Some(other) => bail!("it is {other}, not Avro"),
    }
    if !answer.references.is_empty() {
        bail!("it refers to other subjects, which is not supported");
    }
    Ok(answer)
}

fn authorization_of(url: &Url) -> Option<Secret> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let decoded = |text: &str| {
        percent_encoding::percent_decode_str(text)
            .decode_utf8_lossy()
            .into_owned()
    };
    let user = decoded(url.username());
    let password = decoded(url.password().unwrap_or_default());
    let mut value = b"Basic ".to_vec();
    write_base64(format!("{user}:{password}").as_bytes(), &mut value);
    let value = String::from_utf8(value).expect("base64 is ASCII");
    Some(Secret::new(value))
}

/// Appends the frame of a message of that schema.
pub(super) fn write_frame(id: u32, out: &mut Vec<u8>) {
    out.push(MAGIC);
    out.extend_from_slice(&id.to_be_bytes());
}

/// Returns the number of a message's schema and its content.
///
/// # Errors
/// The message has no frame.
pub(super) fn unframed(message: &[u8]) -> anyhow::Result<(u32, &[u8])> {
    match message {
        [MAGIC, a, b, c, d, content @ ..] => Ok((u32::from_be_bytes([*a, *b, *c, *d]), content)),
        [MAGIC, ..] | [] => bail!(
            "the message has {} bytes, fewer than the {FRAME_BYTES} of a schema's number",
            message.len()
        ),
        [first, ..] => bail!(
            "the message begins with the byte {first}, not with {MAGIC} and a schema's number"
        ),
    }
}
