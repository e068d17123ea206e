//! One connect: names, TCP, TLS, the handshake and the messages that subscribe.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;

use async_tungstenite::WebSocketStream;
use async_tungstenite::smol::{ClientStream, client_async_tls_with_connector_and_config};
use async_tungstenite::tungstenite::client::IntoClientRequest as _;
use async_tungstenite::tungstenite::error::{CapacityError, ProtocolError};
use async_tungstenite::tungstenite::handshake::client::{Request, Response};
use async_tungstenite::tungstenite::http::{HeaderMap, HeaderName, HeaderValue, header};
use async_tungstenite::tungstenite::protocol::WebSocketConfig;
use async_tungstenite::tungstenite::{Error, Message};
use chrono::Utc;
use rustls::ClientConfig;
use smol::lock::Semaphore;
use smol::net::TcpStream;
use url::{Host, Url};

use super::address::Address;
use super::backoff::parse_retry_after;
use super::executor::within;
use super::hearing::{Hearing, LastHeard};
use super::options::WsOptions;
use crate::connector::authorities::tls_fault;

/// Of each of: resolving the name, connecting with the handshakes, subscribing. The other side of the
/// world takes a second.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The system resolves names on a thread each, and hundreds of connections may start at once.
static RESOLVES: Semaphore = Semaphore::new(4);

/// What the read buffers of a source's connections take together.
const READ_BUFFERS_BYTES: usize = 32 * 1024 * 1024;

/// Beyond it, larger reads no longer save time.
const READ_BUFFER_BYTES_MAX: usize = 256 * 1024;

/// Holds the usual message whole.
const READ_BUFFER_BYTES_MIN: usize = 8 * 1024;

/// We send pings and subscriptions only; a peer that lets more than this wait does not read.
const WRITE_BUFFER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Of the body of a refusal, enough to recognise an error page or an error object.
const SNIPPET_CHARACTERS_MAX: usize = 200;

pub(super) type Socket = WebSocketStream<ClientStream<Hearing>>;

/// Why there is no connection.
#[derive(Debug)]
pub(super) struct Refusal {
    pub reason: String,
    /// The server asked for this much patience.
    pub retry_after: Option<Duration>,
}

impl From<String> for Refusal {
    fn from(reason: String) -> Self {
        Self {
            reason,
            retry_after: None,
        }
    }
}

/// What the connections of a source have in common, made once.
pub(super) struct Dialer {
    headers: HeaderMap,
    subscribe: Vec<String>,
    tls: Option<Arc<ClientConfig>>,
    frame_bytes_max: usize,
}

impl Dialer {
    /// # Errors
    /// A header that HTTP does not allow, which the options should have refused.
    pub fn new(options: &WsOptions, tls: Option<Arc<ClientConfig>>) -> anyhow::Result<Self> {
        let mut headers = HeaderMap::new();
        for (name, value) in &options.headers {
            let mut value = HeaderValue::from_bytes(value.expose().as_bytes())?;
            value.set_sensitive(true);
            headers.append(HeaderName::from_bytes(name.as_bytes())?, value);
        }
        let agent = HeaderValue::from_static(concat!("omlsp/", env!("CARGO_PKG_VERSION")));
        headers.entry(header::USER_AGENT).or_insert(agent);
        let subscribe = options
            .subscribe
            .iter()
            .map(|text| text.expose().to_owned());
        Ok(Self {
            headers,
            subscribe: subscribe.collect(),
            tls,
            frame_bytes_max: options.frame_bytes_max,
        })
    }

    /// Connects and subscribes; returns the socket and what tells when it last brought bytes. `connections` is how
    /// many the source has, for the size of the buffers.
    ///
    /// # Errors
    /// [`Refusal`], its words free of the URL.
    pub async fn dial(
        &self,
        address: &Address,
        connections: usize,
    ) -> Result<(Socket, LastHeard), Refusal> {
        let url = Url::parse(address.url.expose()).map_err(|_| "not a URL".to_owned())?;
        let late = |what: &str| format!("{what} took longer than {CONNECT_TIMEOUT:?}");
        let targets = {
            let _permit = RESOLVES.acquire().await;
            let targets = within(CONNECT_TIMEOUT, resolve(&url)).await;
            targets.ok_or_else(|| late("resolving the name"))??
        };
        let shaking = within(
            CONNECT_TIMEOUT,
            self.shake_hands(&url, &targets, connections),
        )
        .await;
        let (mut socket, last_heard) = shaking.ok_or_else(|| late("connecting"))??;
        let subscribing = within(CONNECT_TIMEOUT, self.subscribe(&mut socket)).await;
        subscribing.ok_or_else(|| late("subscribing"))??;
        Ok((socket, last_heard))
    }

    async fn shake_hands(
        &self,
        url: &Url,
        targets: &[SocketAddr],
        connections: usize,
    ) -> Result<(Socket, LastHeard), Refusal> {
        let request = self.request(url)?;
        let stream = TcpStream::connect(targets)
            .await
            .map_err(|error| format!("cannot connect: {error}"))?;
        // Without it, an answered ping may wait for the next one.
        stream
            .set_nodelay(true)
            .map_err(|error| format!("cannot connect: {error}"))?;
        let read_buffer = (READ_BUFFERS_BYTES / connections.max(1))
            .clamp(READ_BUFFER_BYTES_MIN, READ_BUFFER_BYTES_MAX);
        let config = WebSocketConfig::default()
            .read_buffer_size(read_buffer)
            .write_buffer_size(0)
            .max_write_buffer_size(WRITE_BUFFER_BYTES_MAX)
            .max_message_size(Some(self.frame_bytes_max))
            .max_frame_size(Some(self.frame_bytes_max));
        let connector = self.tls.clone().map(Into::into);
        let stream = Hearing::new(stream);
        let last_heard = stream.last_heard();
        client_async_tls_with_connector_and_config(request, stream, connector, Some(config))
            .await
            .map(|(socket, _)| (socket, last_heard))
            .map_err(refusal)
    }

    fn request(&self, url: &Url) -> Result<Request, Refusal> {
        let request = url.as_str().into_client_request();
        let mut request = request.map_err(|_| "the url is not one of HTTP".to_owned())?;
        request.headers_mut().extend(self.headers.clone());
        Ok(request)
    }

    async fn subscribe(&self, socket: &mut Socket) -> Result<(), Refusal> {
        for text in &self.subscribe {
            let sent = socket.send(Message::text(text.as_str())).await;
            sent.map_err(|error| format!("cannot subscribe: {}", describe(&error)))?;
        }
        Ok(())
    }
}

async fn resolve(url: &Url) -> Result<Vec<SocketAddr>, Refusal> {
    let port = url.port_or_known_default().unwrap_or(80);
    let name = match url.host() {
        Some(Host::Ipv4(ip)) => return Ok(vec![(ip, port).into()]),
        Some(Host::Ipv6(ip)) => return Ok(vec![(ip, port).into()]),
        Some(Host::Domain(name)) => name.to_owned(),
        None => return Err("the url has no host".to_owned().into()),
    };
    let found = smol::unblock(move || (name, port).to_socket_addrs()).await;
    let found = found.map_err(|error| format!("cannot resolve the name: {error}"))?;
    Ok(found.collect())
}

fn refusal(error: Error) -> Refusal {
    let response = match error {
        Error::Http(response) => response,
        Error::Io(error) => {
            let error = tls_fault(error.to_string());
            return format!("cannot connect: {error}").into();
        }
        other => return format!("cannot connect: {}", describe(&other)).into(),
    };
    let header = response.headers().get(header::RETRY_AFTER);
    let retry_after = header.and_then(|value| parse_retry_after(value.to_str().ok()?, Utc::now()));
    let mut reason = format!(
        "the server refused the handshake with {}",
        response.status()
    );
    if let Some(text) = snippet(&response) {
        reason.push_str(": ");
        reason.push_str(&text);
    }
    Refusal {
        reason,
        retry_after,
    }
}

/// Returns the start of the body that came with the headers, on one line.
fn snippet(response: &Response) -> Option<String> {
    let body = String::from_utf8_lossy(response.body().as_deref()?);
    let line = body.split_whitespace().collect::<Vec<_>>().join(" ");
    let text: String = line.chars().take(SNIPPET_CHARACTERS_MAX).collect();
    (!text.is_empty()).then_some(text)
}

/// Says what ended a connection, in the words of the user.
pub(super) fn describe(error: &Error) -> String {
    match error {
        Error::Io(error) => format!("the connection broke: {error}"),
        Error::ConnectionClosed | Error::AlreadyClosed => {
            "the server closed the connection".to_owned()
        }
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
            "the server hung up without a close frame".to_owned()
        }
        Error::Protocol(error) => format!("the server broke the protocol: {error}"),
        Error::Capacity(CapacityError::MessageTooLong { size, max_size }) => {
            format!(
                "a message of {size} bytes or more is longer than `max_frame_bytes` ({max_size})"
            )
        }
        Error::Utf8(_) => "a text message is not UTF-8".to_owned(),
        other => tls_fault(other.to_string()),
    }
}
