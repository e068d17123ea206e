//! Which path is what, and the answers as HTTP.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::http::request::Parts;
use hyper::http::{HeaderValue, Method, StatusCode, header};
use hyper::{Request, Response};
use serde::Deserialize;
use serde_json::json;
use smol::lock::Semaphore;

use super::guard::{Guard, Refused, Trust};
use super::page::Page;
use super::{api, metrics};
use crate::runtime::State;
use crate::server::Control;
use crate::server::protocol::Reach;
use crate::server::service::Service;

/// The bytes of a request's body: a script of many statements.
const BODY_BYTES_MAX: usize = 1 << 20;

/// How long a body may take to come.
const BODY_MAX: Duration = Duration::from_secs(10);

/// Questions to the engine at once; more wait for their turn.
const QUESTIONS_MAX: usize = 8;

/// How long they wait.
const TURN_MAX: Duration = Duration::from_secs(10);

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";

/// Answers requests.
pub struct Router {
    service: Arc<Service>,
    guard: Guard,
    page: Page,
    turns: Semaphore,
}

type Answer = Result<Response<Full<Bytes>>, Refused>;

#[derive(Deserialize)]
struct SqlRequest {
    sql: String,
}

impl Router {
    pub fn new(service: Arc<Service>, guard: Guard) -> Self {
        Self {
            service,
            guard,
            page: Page::new(),
            turns: Semaphore::new(QUESTIONS_MAX),
        }
    }

    /// Answers one request.
    pub async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let answered = match self.guard.check(&head) {
            Ok(()) => self.route(&head, body).await,
            Err(refused) => Err(refused),
        };
        let mut response = answered.unwrap_or_else(|refused| {
            let mut response = respond(refused.status, JSON, error_json(&refused.message));
            if refused.status == StatusCode::UNAUTHORIZED {
                let scheme = HeaderValue::from_static("Bearer");
                response
                    .headers_mut()
                    .insert(header::WWW_AUTHENTICATE, scheme);
            }
            response
        });
        for (name, value) in [
            (header::CACHE_CONTROL, "no-store"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::REFERRER_POLICY, "no-referrer"),
            (header::X_FRAME_OPTIONS, "DENY"),
        ] {
            response
                .headers_mut()
                .insert(name, HeaderValue::from_static(value));
        }
        response
    }

    async fn route(&self, head: &Parts, body: Incoming) -> Answer {
        let path = head.uri.path();
        if path == "/api/sql" {
            allow(head, &[Method::POST])?;
            return self.sql(head, body).await;
        }
        let entity = path.strip_prefix("/api/entities/");
        let known = [
            "/",
            "/metrics",
            "/health",
            "/ready",
            "/api/entities",
            "/api/graph",
        ];
        if entity.is_none() && !known.contains(&path) {
            return Err(Refused::new(StatusCode::NOT_FOUND, "there is nothing here"));
        }
        allow(head, &[Method::GET, Method::HEAD])?;
        match path {
            "/" => return Ok(self.page.respond()),
            "/metrics" => {
                let text = metrics::render(&self.service);
                let text = text.map_err(|error| internal(&error))?;
                return Ok(respond(StatusCode::OK, metrics::CONTENT_TYPE, text));
            }
            "/health" => return Ok(respond(StatusCode::OK, TEXT, "ok\n".to_owned())),
            "/ready" => return Ok(self.ready()),
            _ => {}
        }
        self.guard.authorize(head)?;
        match (entity, path) {
            (Some(name), _) => {
                let name = percent_encoding::percent_decode_str(name).decode_utf8_lossy();
                let (service, name) = (Arc::clone(&self.service), name.into_owned());
                let found = self.ask(move |control| api::entity(&service, &name, control));
                match found.await? {
                    Some(entity) => Ok(respond(StatusCode::OK, JSON, entity.to_string())),
                    None => Err(Refused::new(
                        StatusCode::NOT_FOUND,
                        "there is no such entity",
                    )),
                }
            }
            (None, "/api/graph") => {
                let service = Arc::clone(&self.service);
                let graph = self.ask(move |_| service.graph()).await?;
                Ok(respond(StatusCode::OK, JSON, graph.to_string()))
            }
            (None, _) => {
                let status = self.service.status(&self.service.pipeline());
                Ok(respond(StatusCode::OK, JSON, status.to_string()))
            }
        }
    }

    /// Says whether every node has been started and none has given up, and how many are in which state. One that
    /// tries again is at work, and one that has finished has done its own.
    fn ready(&self) -> Response<Full<Bytes>> {
        let runtime = self.service.runtime.as_ref();
        let stopping = runtime.is_none_or(|runtime| runtime.is_stopping());
        let status = self.service.status(&self.service.pipeline());
        let mut states: BTreeMap<&str, u64> = BTreeMap::new();
        let entities = status["entities"].as_array().into_iter().flatten();
        for state in entities.filter_map(|entity| entity["state"].as_str()) {
            *states.entry(state).or_default() += 1;
        }
        let some = |state: State| states.contains_key(state.word());
        let ready = !stopping && !some(State::Starting) && !some(State::Failed);
        let code = match ready {
            true => StatusCode::OK,
            false => StatusCode::SERVICE_UNAVAILABLE,
        };
        let body = json!({"ready": ready, "stopping": stopping, "entities": states});
        respond(code, JSON, format!("{body}\n"))
    }

    async fn sql(&self, head: &Parts, body: Incoming) -> Answer {
        let trust = self.guard.authorize(head)?;
        let content_type = head.headers.get(header::CONTENT_TYPE);
        let is_json =
            content_type.is_some_and(|value| value.as_bytes().starts_with(JSON.as_bytes()));
        if !is_json {
            // Forms of other pages can be sent without asking, JSON cannot.
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return Err(Refused::new(
                status,
                "send JSON, with `Content-Type: application/json`: {\"sql\": \"SELECT …\"}",
            ));
        }
        let body = receive(body).await?;
        let request: SqlRequest = serde_json::from_slice(&body).map_err(|error| {
            let message =
                format!("the body is not understood ({error}): send {{\"sql\": \"SELECT …\"}}");
            Refused::new(StatusCode::BAD_REQUEST, message)
        })?;
        let reach = match trust {
            Trust::Open => Reach::Read,
            Trust::Token => Reach::Change,
        };
        let service = Arc::clone(&self.service);
        let answer = self.ask(move |control| api::sql(&service, request.sql, reach, control));
        Ok(respond(StatusCode::OK, JSON, answer.await?.to_string()))
    }

    /// Runs a blocking question on a thread, when it is its turn. It is cancelled with the future: whoever
    /// asked is gone.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Control) -> T + Send + 'static,
    ) -> Result<T, Refused> {
        let turn = async { Some(self.turns.acquire().await) };
        let turn = smol::future::or(turn, async {
            smol::Timer::after(TURN_MAX).await;
            None
        });
        let Some(_turn) = turn.await else {
            let message = "too many questions at once; try again later";
            return Err(Refused::new(StatusCode::SERVICE_UNAVAILABLE, message));
        };
        let control = Arc::new(Control::default());
        let _cancel = Cancel(Arc::clone(&control));
        let answered = smol::unblock(move || {
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| question(&control)))
        });
        (answered.await).map_err(|_| internal(&anyhow::anyhow!("answering a request panicked")))
    }
}

/// Ends what runs for a request when it is dropped.
struct Cancel(Arc<Control>);

impl Drop for Cancel {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

fn allow(head: &Parts, methods: &[Method]) -> Result<(), Refused> {
    if methods.contains(&head.method) {
        return Ok(());
    }
    let methods: Vec<&str> = methods.iter().map(Method::as_str).collect();
    let message = format!("only {} can be done here", methods.join(" and "));
    Err(Refused::new(StatusCode::METHOD_NOT_ALLOWED, message))
}

/// Receives a body, bounded in size and time.
async fn receive(body: Incoming) -> Result<Bytes, Refused> {
    let received = async {
        let collected = Limited::new(body, BODY_BYTES_MAX).collect().await;
        collected
            .map(|collected| collected.to_bytes())
            .map_err(|error| {
                if error.is::<LengthLimitError>() {
                    let message = format!("the body has more than {BODY_BYTES_MAX} bytes");
                    Refused::new(StatusCode::PAYLOAD_TOO_LARGE, message)
                } else {
                    Refused::new(StatusCode::BAD_REQUEST, "the body is cut off")
                }
            })
    };
    smol::future::or(received, async {
        smol::Timer::after(BODY_MAX).await;
        Err(Refused::new(
            StatusCode::REQUEST_TIMEOUT,
            "the body took too long",
        ))
    })
    .await
}

fn internal(error: &anyhow::Error) -> Refused {
    tracing::error!("a request cannot be answered: {error:#}");
    Refused::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "the answer failed; the log says why",
    )
}

fn error_json(message: &str) -> String {
    format!("{}\n", json!({ "error": message }))
}

/// Makes a response.
pub fn respond(
    status: StatusCode,
    content_type: &'static str,
    body: String,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let content_type = HeaderValue::from_static(content_type);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    response
}
