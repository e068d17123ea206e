//! A schema registry in memory that speaks Confluent's HTTP API, with BACKWARD compatibility for every
//! subject.
//!
//! Source: Confluent Schema Registry, "API Reference". Knows Avro only, through the `apache_avro` crate.

use std::sync::{Arc, Mutex};

use apache_avro::Schema;
use apache_avro::schema_compatibility::SchemaCompatibility;
use serde_json::{Value, json};

use super::http::{Reply, Request, Server};

/// A running registry; it ends with the value.
pub struct Registry {
    server: Server,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// By their number, which is the place counted from 1.
    schemas: Vec<String>,
    /// Subject, version counted from 1, number of the schema.
    versions: Vec<(String, usize, usize)>,
    /// What `Authorization` has to be, if anything.
    authorization: Option<String>,
}

impl Registry {
    /// Starts an empty registry at a port of the system's choice.
    pub fn start() -> Self {
        let server = Server::start();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        server.on("*", "/*", move |request| {
            let mut state = shared.lock().expect("no handler panics");
            state.answer(request)
        });
        Self { server, state }
    }

    pub fn url(&self) -> String {
        self.server.url()
    }

    /// Answers only requests with this `Authorization`.
    pub fn require(&self, authorization: &str) {
        let mut state = self.state.lock().expect("no handler panics");
        state.authorization = Some(authorization.to_owned());
    }

    /// Registers a schema without asking for its compatibility, and returns its number.
    pub fn put(&self, subject: &str, schema: &str) -> usize {
        let mut state = self.state.lock().expect("no handler panics");
        state.add(subject, schema)
    }

    /// Returns the newest schema of a subject.
    pub fn latest(&self, subject: &str) -> Option<String> {
        let state = self.state.lock().expect("no handler panics");
        let (_, id) = state.versions_of(subject).pop()?;
        Some(state.schemas[id - 1].clone())
    }
}

impl State {
    fn answer(&mut self, request: &Request) -> Reply {
        let given = request.header("authorization");
        if self.authorization.is_some() && given != self.authorization.as_deref() {
            return fault(401, 40101, "Unauthorized");
        }
        let path: Vec<&str> = request.path.trim_matches('/').split('/').collect();
        match (request.method.as_str(), path.as_slice()) {
            ("GET", ["subjects"]) => {
                let mut names: Vec<&str> = self
                    .versions
                    .iter()
                    .map(|(name, ..)| name.as_str())
                    .collect();
                names.dedup();
                Reply::value(&json!(names))
            }
            ("GET", ["schemas", "ids", id]) => {
                let id = id.parse::<usize>().unwrap_or(0);
                match id.checked_sub(1).and_then(|place| self.schemas.get(place)) {
                    Some(schema) => Reply::value(&json!({"schema": schema})),
                    None => fault(404, 40403, "Schema not found"),
                }
            }
            ("GET", ["subjects", subject, "versions", version]) => {
                let versions = self.versions_of(subject);
                let found = match version.parse::<usize>() {
                    Ok(wanted) => versions.into_iter().find(|(version, _)| *version == wanted),
                    Err(_) => versions.into_iter().next_back(),
                };
                match found {
                    Some((version, id)) => Reply::value(&self.shown(subject, version, id)),
                    None => fault(404, 40401, &format!("Subject '{subject}' not found.")),
                }
            }
            ("POST", ["subjects", subject, "versions"]) => self.register(subject, request),
            ("POST", ["subjects", subject]) => {
                let schema = schema_of(request);
                let versions = self.versions_of(subject).into_iter();
                let mut same = versions.filter(|(_, id)| self.schemas[id - 1] == schema);
                match same.next() {
                    Some((version, id)) => Reply::value(&self.shown(subject, version, id)),
                    None => fault(404, 40403, "Schema not found"),
                }
            }
            _ => fault(404, 404, "HTTP 404 Not Found"),
        }
    }

    fn register(&mut self, subject: &str, request: &Request) -> Reply {
        let text = schema_of(request);
        let Ok(schema) = Schema::parse_str(&text) else {
            return fault(422, 42201, "Invalid schema");
        };
        if let Some((_, last)) = self.versions_of(subject).pop() {
            let last = Schema::parse_str(&self.schemas[last - 1]).expect("it was checked");
            if let Err(error) = SchemaCompatibility::can_read(&last, &schema) {
                let message = format!(
                    "Schema being registered is incompatible with an earlier schema for subject \"{subject}\": {error}"
                );
                return fault(409, 409, &message);
            }
        }
        let id = self.add(subject, &text);
        Reply::value(&json!({"id": id}))
    }

    fn add(&mut self, subject: &str, schema: &str) -> usize {
        let known = self.schemas.iter().position(|known| known == schema);
        let id = 1 + known.unwrap_or_else(|| {
            self.schemas.push(schema.to_owned());
            self.schemas.len() - 1
        });
        let versions = self.versions_of(subject);
        if !versions.iter().any(|(_, known)| *known == id) {
            self.versions
                .push((subject.to_owned(), versions.len() + 1, id));
        }
        id
    }

    fn versions_of(&self, subject: &str) -> Vec<(usize, usize)> {
        let of_subject = self.versions.iter().filter(|(name, ..)| name == subject);
        of_subject.map(|(_, version, id)| (*version, *id)).collect()
    }

    fn shown(&self, subject: &str, version: usize, id: usize) -> Value {
        let schema = &self.schemas[id - 1];
        json!({"subject": subject, "version": version, "id": id, "schema": schema})
    }
}

fn schema_of(request: &Request) -> String {
    let body = request.body_json();
    body["schema"].as_str().unwrap_or_default().to_owned()
}

fn fault(status: u16, code: u32, message: &str) -> Reply {
    Reply::value(&json!({"error_code": code, "message": message})).with_status(status)
}
