//! The life of one connection: connect, receive, and when it is lost, connect again, for ever.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use async_channel as channel;
use async_tungstenite::tungstenite::protocol::CloseFrame;
use async_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use async_tungstenite::tungstenite::{Error, Message};
use chrono::{DateTime, Utc};
use smol::Timer;
use smol::future::{self, Future as _};
use smol::stream::{Stream as _, StreamExt as _};

use super::address::Address;
use super::backoff;
use super::dial::{Dialer, Socket, describe};
use super::executor::{dropped, within};
use super::frames::{Frames, Received};
use super::hearing::LastHeard;
use super::inbox::{Gone, Item, Sender};
use super::options::WsOptions;
use super::tape::Taping;
use crate::connector::Event;

/// A connection that lived this long was a good one: the next backoff starts from its smallest again.
const STABLE_AFTER: Duration = Duration::from_secs(10);

/// What a peer may take to answer a close frame.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// What a ping may take to leave.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// Messages are handed over when the socket is empty or this much is there.
const HANDOVER_BYTES: usize = 256 * 1024;

/// After so many frames the other connections have their turn, whatever the frames were.
const TURN_FRAMES_MAX: usize = 16 * 1024;

/// A pause of the reading this long, this recently, may be why a server has given up.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_RECENT: Duration = Duration::from_secs(10);

/// Shorter texts are left alone: masking them would make any text unreadable.
const MASKED_BYTES_MIN: usize = 4;

/// What the connections of a source share.
pub(super) struct Shared {
    pub options: WsOptions,
    pub dialer: Dialer,
    pub inbox: Sender,
    /// How many connections there are, for the sizes of their buffers.
    pub count: AtomicUsize,
    /// What writes down what comes, if something does.
    pub tape: Option<Taping>,
}

/// One connection of a source.
pub(super) struct Connection {
    pub shared: Arc<Shared>,
    pub address: Address,
}

/// Why a connection ended.
struct Lost {
    reason: String,
    /// What it is told before we hang up.
    code: CloseCode,
}

impl Lost {
    fn new(reason: impl Into<String>, code: CloseCode) -> Self {
        Self {
            reason: reason.into(),
            code,
        }
    }
}

/// Nothing has arrived since `from`.
struct OpenGap {
    from: DateTime<Utc>,
    reason: String,
}

impl Connection {
    /// Runs until the sender of `stop` is dropped, then hands over what was received and closes the connection
    /// properly.
    pub async fn run(self, stop: channel::Receiver<Infallible>) {
        let mut socket = None;
        let mut frames = Frames::default();
        let connected = async {
            // An error says that the reader is gone, and `stop` with it.
            if let Ok(never) = self.stay_connected(&mut socket, &mut frames).await {
                match never {}
            }
        };
        future::or(dropped(&stop), connected).await;
        if !frames.is_empty() {
            // A reader that is gone, or reads no more, wants none of them.
            let handing_over = self.shared.inbox.send(Item::Frames(frames));
            within(CLOSE_TIMEOUT, handing_over).await;
        }
        if let Some(mut socket) = socket {
            close(&mut socket, CloseCode::Normal).await;
        }
    }

    /// The socket is left in `slot` and what it brought last in `frames`, wherever this is given up.
    async fn stay_connected(
        &self,
        slot: &mut Option<Socket>,
        frames: &mut Frames,
    ) -> Result<Infallible, Gone> {
        let mut attempt: u32 = 0;
        let mut refused = false;
        let mut gap: Option<OpenGap> = None;
        loop {
            let count = self.shared.count.load(Ordering::Relaxed);
            let (reason, retry_after) = match self.shared.dialer.dial(&self.address, count).await {
                Ok((socket, last_heard)) => {
                    refused = false;
                    if attempt > 0 {
                        self.report(Event::Recovered).await?;
                    }
                    self.taping(|taping| taping.open(&self.address.label));
                    if let Some(gap) = gap.take() {
                        self.report_gap(gap).await?;
                    }
                    let socket = slot.insert(socket);
                    let mut session =
                        Session::new(&self.shared, &self.address, (socket, last_heard), frames);
                    let lost = session.receive().await?;
                    if session.started.elapsed() >= STABLE_AFTER {
                        attempt = 0;
                    }
                    let reason = self.mask(&session.explain(lost.reason));
                    let from = session.last_frame_time();
                    if let Some(mut socket) = slot.take() {
                        close(&mut socket, lost.code).await;
                    }
                    self.taping(|taping| taping.close(&self.address.label, from, &reason));
                    gap = Some(OpenGap {
                        from,
                        reason: reason.clone(),
                    });
                    (format!("connection lost: {reason}"), None)
                }
                Err(refusal) => {
                    let reason = self.mask(&refusal.reason);
                    if !refused {
                        refused = true;
                        self.taping(|taping| taping.refused(&self.address.label, &reason));
                        self.report(Event::Warning(self.shown(&reason))).await?;
                    }
                    (reason, refusal.retry_after)
                }
            };
            attempt = attempt.saturating_add(1);
            let pause = backoff::pause(attempt, retry_after);
            let error = self.shown(&reason);
            self.report(Event::Retry {
                attempt,
                pause,
                error,
            })
            .await?;
            Timer::after(pause).await;
        }
    }

    fn taping(&self, write: impl FnOnce(&Taping)) {
        if let Some(taping) = &self.shared.tape {
            write(taping);
        }
    }

    async fn report_gap(&self, gap: OpenGap) -> Result<(), Gone> {
        let event = Event::Gap {
            entity_part: self.address.label.clone(),
            from: gap.from,
            to: Utc::now(),
            reason: gap.reason,
        };
        self.report(event).await
    }

    async fn report(&self, event: Event) -> Result<(), Gone> {
        self.shared
            .inbox
            .send(Item::Report(event))
            .await
            .map(|_| ())
    }

    /// Returns a text for the user with the name of the connection, if there are several.
    fn shown(&self, text: &str) -> String {
        match self.address.label.as_str() {
            "" => text.to_owned(),
            label => format!("{label}: {text}"),
        }
    }

    /// Hides the values of the headers and of the subscriptions that are secrets, should the server
    /// repeat them.
    fn mask(&self, text: &str) -> String {
        let options = &self.shared.options;
        let headers = options.headers.iter().map(|(_, value)| value);
        let subscribe = options.subscribe.iter().filter(|text| text.secret);
        let mut masked = text.replace(self.address.url.expose(), "***");
        for secret in headers.chain(subscribe) {
            let hidden = secret.expose();
            if hidden.len() >= MASKED_BYTES_MIN {
                masked = masked.replace(hidden, "***");
            }
        }
        masked
    }
}

/// Sends a close frame, or answers that of the server, and waits a moment for the end, so that the server
/// sees no reset; one that broke the rules or went silent is not waited for. What goes wrong here is of
/// no interest any more: the connection ends either way.
async fn close(socket: &mut Socket, code: CloseCode) {
    let frame = CloseFrame {
        code,
        reason: "".into(),
    };
    let closing = async {
        // After the server's own close frame this is an error, and reading on sends the answer.
        let sent = socket.send(Message::Close(Some(frame))).await;
        if code == CloseCode::Normal || sent.is_err() {
            while let Some(Ok(_)) = socket.next().await {
                // A server that goes on sending must hold up neither the others nor the timeout.
                future::yield_now().await;
            }
        }
    };
    within(CLOSE_TIMEOUT, closing).await.unwrap_or_default();
}

/// What waiting for messages came to.
enum Turn {
    /// The socket is empty for now.
    Drained,
    /// There may be more at once.
    Full,
    /// The timer went off.
    Woken,
    Lost(Lost),
}

/// An established connection.
struct Session<'s> {
    shared: &'s Shared,
    address: &'s Address,
    socket: &'s mut Socket,
    /// When it last brought bytes, be they a whole frame or not.
    last_heard: LastHeard,
    /// Received and not yet handed over.
    frames: &'s mut Frames,
    messages_max: usize,
    started: Instant,
    last_frame: Instant,
    next_ping: Instant,
    /// When a ping is due, or the connection is idle.
    due: Instant,
    /// Wakes us at `due` if no message does.
    timer: Timer,
    /// The end and the length of the last pause of the reading.
    last_pause: Option<(Instant, Duration)>,
}

impl<'s> Session<'s> {
    fn new(
        shared: &'s Shared,
        address: &'s Address,
        (socket, last_heard): (&'s mut Socket, LastHeard),
        frames: &'s mut Frames,
    ) -> Self {
        let now = Instant::now();
        let next_ping = now + shared.options.ping_interval;
        Self {
            shared,
            address,
            socket,
            last_heard,
            frames,
            messages_max: shared.options.batch_rows_max,
            started: now,
            last_frame: now,
            next_ping,
            due: next_ping,
            timer: Timer::at(next_ping),
            last_pause: None,
        }
    }

    /// Hands messages over until the connection is lost.
    async fn receive(&mut self) -> Result<Lost, Gone> {
        loop {
            let turn = future::poll_fn(|context| self.poll_turn(context)).await;
            if !self.frames.is_empty() {
                // They stay where they are while this waits, so that the end of the wait loses none.
                let waited = self.shared.inbox.room(self.frames.memory()).await?;
                let next = self.frames.with_same_room(2 * HANDOVER_BYTES);
                let frames = std::mem::replace(self.frames, next);
                self.shared.inbox.push(Item::Frames(frames))?;
                if waited > Duration::ZERO {
                    // While nobody reads, no frame can be missed.
                    self.last_frame = Instant::now();
                    if waited >= PAUSE_MIN {
                        self.last_pause = Some((self.last_frame, waited));
                    }
                }
            }
            match turn {
                Turn::Drained | Turn::Woken => {}
                // Other connections have their turn on this thread.
                Turn::Full => future::yield_now().await,
                Turn::Lost(lost) => return Ok(lost),
            }
            // Not only when the timer went off: a stream without pauses needs its pings too.
            if Instant::now() >= self.due
                && let Err(lost) = self.keep_alive().await
            {
                return Ok(lost);
            }
        }
    }

    /// Takes what the socket has, and is ready when there are messages to hand over or something is due.
    fn poll_turn(&mut self, context: &mut Context<'_>) -> Poll<Turn> {
        let mut frame_count = 0;
        let turn = loop {
            match Pin::new(&mut *self.socket).poll_next(context) {
                Poll::Pending if self.frames.is_empty() => break None,
                Poll::Pending => break Some(Turn::Drained),
                Poll::Ready(Some(Ok(message))) => {
                    frame_count += 1;
                    if let Some(lost) = self.take(&message) {
                        break Some(Turn::Lost(lost));
                    }
                }
                Poll::Ready(Some(Err(error))) => break Some(Turn::Lost(lost(&error))),
                Poll::Ready(None) => break Some(Turn::Lost(lost(&Error::ConnectionClosed))),
            }
            if self.frames.memory() >= HANDOVER_BYTES
                || self.frames.len() >= self.messages_max
                || frame_count >= TURN_FRAMES_MAX
            {
                break Some(Turn::Full);
            }
        };
        if frame_count > 0 {
            self.last_frame = Instant::now();
        }
        match turn {
            Some(turn) => Poll::Ready(turn),
            None => Pin::new(&mut self.timer).poll(context).map(|_| Turn::Woken),
        }
    }

    fn take(&mut self, message: &Message) -> Option<Lost> {
        let now = || Received {
            time: Utc::now(),
            instant: Instant::now(),
        };
        let spare = || self.shared.inbox.spare();
        match message {
            Message::Text(text) if self.is_answer_to_ping(text) => {}
            Message::Text(text) => {
                self.tape(text.as_bytes());
                self.frames.push(text, now, spare);
            }
            Message::Binary(bytes) => {
                self.tape(bytes);
                self.frames.push_bytes(bytes, now, spare);
            }
            // A ping was answered by the library; raw frames are never given to readers.
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            Message::Close(frame) => {
                let reason = match frame {
                    None => "the server closed the connection".to_owned(),
                    Some(frame) if frame.reason.is_empty() => {
                        format!(
                            "the server closed the connection with {}",
                            u16::from(frame.code)
                        )
                    }
                    Some(frame) => {
                        let code = u16::from(frame.code);
                        format!(
                            "the server closed the connection with {code}: {}",
                            frame.reason
                        )
                    }
                };
                return Some(Lost::new(reason, CloseCode::Normal));
            }
        }
        None
    }

    /// Records the message if the run is recorded.
    fn tape(&self, message: &[u8]) {
        if let Some(taping) = &self.shared.tape {
            taping.frame(&self.address.label, message);
        }
    }

    /// Several exchanges answer the text `ping` with the text `pong`, which is no JSON and no row.
    fn is_answer_to_ping(&self, text: &str) -> bool {
        text == "pong" && self.shared.options.ping_message.is_some()
    }

    async fn keep_alive(&mut self) -> Result<(), Lost> {
        let options = &self.shared.options;
        let now = Instant::now();
        let last = self.last_frame.max(self.last_heard.get());
        if now.duration_since(last) >= options.idle_timeout {
            let reason = format!(
                "nothing arrived for {:?} (`idle_timeout`)",
                options.idle_timeout
            );
            return Err(Lost::new(reason, CloseCode::Away));
        }
        if now >= self.next_ping {
            let pings = async {
                self.socket.send(Message::Ping(Vec::new().into())).await?;
                match &options.ping_message {
                    Some(text) => self.socket.send(Message::text(text.expose())).await,
                    None => Ok(()),
                }
            };
            match within(WRITE_TIMEOUT, pings).await {
                Some(Ok(())) => {}
                Some(Err(error)) => return Err(lost(&error)),
                None => {
                    let reason = format!("a ping could not be sent within {WRITE_TIMEOUT:?}");
                    return Err(Lost::new(reason, CloseCode::Away));
                }
            }
            self.next_ping = now + options.ping_interval;
        }
        self.due = self.next_ping.min(last + options.idle_timeout);
        self.timer.set_at(self.due);
        Ok(())
    }

    fn last_frame_time(&self) -> DateTime<Utc> {
        Utc::now() - self.last_frame.elapsed()
    }

    /// Adds to the reason that we did not read for a while, if that may be why.
    fn explain(&self, reason: String) -> String {
        match self.last_pause {
            Some((end, length)) if end.elapsed() < PAUSE_RECENT => format!(
                "{reason}; reading had been paused for {length:.1?}, since the pipeline is slower than the stream"
            ),
            _ => reason,
        }
    }
}

fn lost(error: &Error) -> Lost {
    let code = match error {
        Error::Capacity(_) => CloseCode::Size,
        Error::Protocol(_) => CloseCode::Protocol,
        Error::Utf8(_) => CloseCode::Invalid,
        _ => CloseCode::Away,
    };
    Lost::new(describe(error), code)
}
