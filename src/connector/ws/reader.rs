//! The open source: starts and ends connections, and makes batches of what they bring.

use std::collections::{HashMap, HashSet, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_channel as channel;
use chrono::{DateTime, Utc};
use smol::{Timer, future};

use super::address::Addresses;
use super::batch::Batch;
use super::connection::{Connection, Shared};
use super::dial::Dialer;
use super::executor;
use super::frames::{Frames, Received};
use super::inbox::{Item, Receiver, inbox};
use super::options::{Start, WsOptions};
use super::replay::Played;
use super::tape::Taping;
use super::tls::client_config;
use crate::batch::{Column, Decoded};
use crate::connector::{Context, Delivery, Event, ReadEnd, SourceReader};
use crate::format::Decoder;

/// A call of [`SourceReader::read`] returns after this without data: soon enough to see a stop.
const READ_MAX: Duration = Duration::from_millis(250);

/// An empty `on_start_query` is asked again this often, or as often as `on_start_refresh` says.
const WAIT_FOR_ROWS: Duration = Duration::from_secs(1);

/// Batches that are there already are committed together, as a commit costs as much as some of them.
const GROUP_BATCHES_MAX: usize = 32;

/// The messages of batches that are decoded together are in memory, with their rows beside them.
pub(super) const BATCH_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What the end of a source waits for the close frames to be sent and answered: a little more than what
/// a connection gives its server.
const CLOSE_WAIT: Duration = Duration::from_millis(1500);

/// How long the end waits for a connection before it looks whether there is one left.
const FINISH_SLICE: Duration = Duration::from_millis(1);

/// An open ws source.
pub(super) struct WsReader {
    pub(super) shared: Arc<Shared>,
    decoder: Decoder,
    inbox: Receiver,
    /// By URL. A connection ends when its sender is dropped.
    connections: HashMap<String, channel::Sender<Infallible>>,
    /// Every connection holds a clone of the sender, so that the end of all of them can be waited for.
    running: (channel::Sender<Infallible>, channel::Receiver<Infallible>),
    next_refresh: Option<Instant>,
    /// What is known of the connections of a record that is played.
    pub(super) played: Played,
    query_failures: u32,
    /// The faults of the query's rows that are told already.
    told: HashSet<String>,
    /// Messages of the next batch.
    pub(super) batch: Batch,
    /// Messages after those, as they were handed over.
    more: VecDeque<Frames>,
    /// Decoded and not yet handed on, oldest first: an error of `emit` loses nothing if the reader is read again.
    undelivered: VecDeque<(Decoded, DateTime<Utc>)>,
    is_loss_told: bool,
}

impl WsReader {
    /// Opens the source; without a query its connection is started at once, unless a record is played.
    ///
    /// # Errors
    /// There are no certificate authorities for `wss://`, or no thread.
    pub fn open(
        options: WsOptions,
        columns: Vec<Column>,
        context: &Context,
    ) -> anyhow::Result<Self> {
        let encrypted = options.url.expose().trim_start().starts_with("wss:");
        let tls = if encrypted {
            Some(client_config(&options.authorities)?)
        } else {
            None
        };
        let dialer = Dialer::new(&options, tls)?;
        let rows = options.rows.clone();
        let decoder = Decoder::new(columns, rows.filter, rows.timestamp_unit);
        let (sender, receiver) = inbox();
        let taping =
            (context.recorder()).map(|recorder| Taping::new(recorder, context.entity(), &options));
        let mut reader = Self {
            shared: Arc::new(Shared {
                options,
                dialer,
                inbox: sender,
                count: AtomicUsize::new(1),
                tape: taping,
            }),
            decoder,
            inbox: receiver,
            connections: HashMap::new(),
            running: channel::bounded(1),
            next_refresh: None,
            played: Played::default(),
            query_failures: 0,
            told: HashSet::new(),
            batch: Batch::default(),
            more: VecDeque::new(),
            undelivered: VecDeque::new(),
            is_loss_told: false,
        };
        match reader.shared.options.start {
            Some(_) => reader.next_refresh = Some(Instant::now()),
            None if context.player().is_some() => {}
            None => reader.connect(Addresses::single(&reader.shared.options))?,
        }
        Ok(reader)
    }

    fn is_refresh_due(&self) -> bool {
        self.next_refresh.is_some_and(|at| at <= Instant::now())
    }

    /// Asks `on_start_query`, and opens and closes the difference.
    fn refresh(&mut self, context: &Context) -> anyhow::Result<()> {
        let Some(start) = &self.shared.options.start else {
            return Ok(());
        };
        let Start { query, refresh } = start.clone();
        match context.query(query.text.expose()) {
            Ok(rows) => {
                if std::mem::take(&mut self.query_failures) > 0 {
                    context.report(Event::Recovered);
                }
                let addresses = Addresses::of_rows(&self.shared.options, &rows);
                self.tell_faults(&addresses, context);
                self.connect(addresses)?;
            }
            // The connections stay as they are.
            Err(error) => {
                self.query_failures = self.query_failures.saturating_add(1);
                context.report(Event::Retry {
                    attempt: self.query_failures,
                    pause: self.until_refresh(refresh),
                    error: format!("`on_start_query`: {error:#}"),
                });
            }
        }
        self.next_refresh = Some(Instant::now() + self.until_refresh(refresh));
        Ok(())
    }

    fn until_refresh(&self, refresh: Duration) -> Duration {
        if self.connections.is_empty() {
            refresh.min(WAIT_FOR_ROWS)
        } else {
            refresh
        }
    }

    /// Reports what is wrong with rows of the query, each once as long as it stays.
    fn tell_faults(&mut self, addresses: &Addresses, context: &Context) {
        let faults: HashSet<String> = addresses.faults.iter().cloned().collect();
        for fault in &addresses.faults {
            if self.told.insert(fault.clone()) {
                context.report(Event::Warning(fault.clone()));
            }
        }
        self.told = faults;
    }

    fn connect(&mut self, addresses: Addresses) -> anyhow::Result<()> {
        self.shared
            .count
            .store(addresses.by_url.len(), Ordering::Relaxed);
        self.connections
            .retain(|url, _| addresses.by_url.contains_key(url));
        for (url, address) in addresses.by_url {
            if self.connections.contains_key(&url) {
                continue;
            }
            if let Some(taping) = &self.shared.tape {
                taping.dial(&address, &self.shared.options);
            }
            let connection = Connection {
                shared: Arc::clone(&self.shared),
                address,
            };
            let (stop, stopped) = channel::bounded(1);
            let running = self.running.0.clone();
            executor::spawn(async move {
                connection.run(stopped).await;
                drop(running);
            })?;
            self.connections.insert(url, stop);
        }
        Ok(())
    }

    /// Collects messages until the batch is full or lingered long enough; false if neither is so at the
    /// given instant.
    fn collect(&mut self, end: Instant, context: &Context) -> bool {
        let options = &self.shared.options;
        loop {
            let emptied = |frames| self.inbox.give_back(frames);
            self.batch
                .take_from(&mut self.more, options.batch_rows_max, emptied);
            if self.batch.len() >= options.batch_rows_max || self.batch.memory() >= BATCH_BYTES_MAX
            {
                self.add_full_batches(context);
                return true;
            }
            let lingered = self
                .batch
                .received()
                .map(|first| first.instant + options.batch_linger);
            let until = lingered.map_or(end, |lingered| lingered.min(end));
            match self.inbox.receive_until(until) {
                Some(Item::Frames(frames)) => self.more.push_back(frames),
                Some(Item::Report(event)) => context.report(event),
                None if lingered.is_some_and(|at| at <= Instant::now()) => return true,
                None => return false,
            }
        }
    }

    /// Adds batches to a full one that are full and there without waiting. Their rows get the instant of the
    /// first message, so that they must not be much later.
    fn add_full_batches(&mut self, context: &Context) {
        let options = &self.shared.options;
        let rows_max = options.batch_rows_max;
        let Some(Received { instant: first, .. }) = self.batch.received() else {
            return;
        };
        let mut next = self.more.pop_front();
        let mut more = VecDeque::new();
        let (mut count, mut memory) = (self.batch.len(), self.batch.memory());
        while memory < BATCH_BYTES_MAX && count < rows_max.saturating_mul(GROUP_BATCHES_MAX) {
            let frames = match next.take() {
                Some(frames) => frames,
                None => match self.inbox.receive_until(first) {
                    Some(Item::Frames(frames)) => frames,
                    Some(Item::Report(event)) => {
                        context.report(event);
                        continue;
                    }
                    None => break,
                },
            };
            let late = (frames.received())
                .is_some_and(|received| received.instant > first + options.batch_linger);
            if late {
                next = Some(frames);
                break;
            }
            count += frames.len();
            memory += frames.memory();
            more.push_back(frames);
            next = self.more.pop_front();
        }
        let batches = count / rows_max;
        let emptied = |frames| self.inbox.give_back(frames);
        (self.batch).take_from(&mut more, rows_max.saturating_mul(batches), emptied);
        more.extend(next);
        more.append(&mut self.more);
        self.more = more;
    }

    /// Decodes the collected messages, to be delivered next.
    pub(super) fn decode(&mut self, context: &Context) -> anyhow::Result<()> {
        let Some((batch, time)) = self.take_batch(context) else {
            return Ok(());
        };
        let decoded = batch.decode(&self.decoder)?;
        self.give_back(batch);
        keep(&mut self.undelivered, decoded, time);
        Ok(())
    }

    /// Decodes the collected messages on a thread of their own, while what was decoded before them is delivered.
    fn decode_and_deliver(
        &mut self,
        context: &Context,
        emit: &mut dyn FnMut(Delivery) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        if self.undelivered.is_empty() {
            return self.decode(context);
        }
        let Some((batch, time)) = self.take_batch(context) else {
            return self.deliver(emit);
        };
        let decoder = self.decoder.clone();
        let (delivered, decoded) = std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().name("ws-decode".to_owned());
            let decoding = thread.spawn_scoped(scope, || batch.decode(&decoder));
            let delivered = self.deliver(emit);
            let decoded = match decoding {
                Ok(decoding) => decoding
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
                // The system gives no thread for now.
                Err(_) => batch.decode(&decoder),
            };
            (delivered, decoded)
        });
        self.give_back(batch);
        match decoded {
            Ok(decoded) => keep(&mut self.undelivered, decoded, time),
            Err(error) => return delivered.and(Err(error)),
        }
        delivered
    }

    /// Leaves the memory of decoded messages to the next ones.
    fn give_back(&self, batch: Batch) {
        for piece in batch.into_pieces() {
            self.inbox.give_back(piece);
        }
    }

    /// Returns the collected messages with the instant of the first.
    fn take_batch(&mut self, context: &Context) -> Option<(Batch, DateTime<Utc>)> {
        let Received { time, .. } = self.batch.received()?;
        let batch = std::mem::take(&mut self.batch);
        context.report(Event::Bytes(batch.byte_count() as u64));
        Some((batch, time))
    }

    pub(super) fn deliver(
        &mut self,
        emit: &mut dyn FnMut(Delivery) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        while let Some((decoded, trigger)) = self.undelivered.front() {
            emit(Delivery {
                decoded: decoded.clone(),
                batch_rows_max: self.shared.options.batch_rows_max,
                trigger: *trigger,
                cursor: None,
            })?;
            self.undelivered.pop_front();
        }
        Ok(())
    }
}

fn keep(
    undelivered: &mut VecDeque<(Decoded, DateTime<Utc>)>,
    decoded: Decoded,
    time: DateTime<Utc>,
) {
    if decoded.rows.num_rows() > 0 || !decoded.rejects.is_empty() {
        undelivered.push_back((decoded, time));
    }
}

impl WsReader {
    /// Ends the connections.
    fn hang_up(&mut self) {
        self.connections.clear();
        self.running.0 = channel::bounded(1).0;
    }

    /// Ends the connections and delivers everything that was received.
    fn finish(
        &mut self,
        context: &Context,
        emit: &mut dyn FnMut(Delivery) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        self.hang_up();
        let end = Instant::now() + CLOSE_WAIT;
        loop {
            // Asked before the look into the inbox: whoever has ended has handed over everything.
            let ended = self.running.1.is_closed() || Instant::now() >= end;
            while self.collect(Instant::now(), context) {
                self.decode_and_deliver(context, emit)?;
            }
            if ended {
                self.decode(context)?;
                return self.deliver(emit);
            }
            self.deliver(emit)?;
            self.collect(Instant::now() + FINISH_SLICE, context);
        }
    }
}

impl WsReader {
    /// Says that what was received is lost, where the state takes nothing and a stop ends the attempts.
    fn tell_lost(&mut self, context: &Context) {
        let rows = self
            .undelivered
            .iter()
            .map(|(decoded, _)| decoded.rows.num_rows());
        let messages = self.batch.len() + self.more.iter().map(Frames::len).sum::<usize>();
        let count = rows.sum::<usize>() + messages;
        if count > 0 && !std::mem::replace(&mut self.is_loss_told, true) {
            context.report(Event::Warning(format!(
                "at least {count} messages that were received are lost: they could not be kept before the stop"
            )));
        }
    }
}

impl SourceReader for WsReader {
    fn read(
        &mut self,
        _tick: DateTime<Utc>,
        context: &Context,
        emit: &mut dyn FnMut(Delivery) -> anyhow::Result<()>,
    ) -> anyhow::Result<ReadEnd> {
        if let Some(player) = context.player() {
            return self.replay(&Arc::clone(player), context, emit);
        }
        // A receiver of `stop` lives as long as its connection: it cannot end by itself but by a panic,
        // and a new reader is the way out of that.
        if self.connections.values().any(channel::Sender::is_closed) {
            self.deliver(emit)?;
            anyhow::bail!("a connection ended by a fault of this program");
        }
        let end = Instant::now() + READ_MAX;
        loop {
            if let Err(stopped) = context.stop.check() {
                let finished = self.finish(context, emit);
                return finished
                    .inspect_err(|_| self.tell_lost(context))
                    .and(Err(stopped.into()));
            }
            if self.is_refresh_due() {
                // What is there does not wait for the answer.
                self.deliver(emit)?;
                self.refresh(context)?;
            }
            let until = match self.undelivered.is_empty() {
                true => end,
                false => Instant::now(),
            };
            match self.collect(until, context) {
                true => self.decode_and_deliver(context, emit)?,
                false => self.deliver(emit)?,
            }
            // What is decoded by now is delivered by the next call, while that decodes what came after it.
            if Instant::now() >= end {
                return Ok(ReadEnd::Idle);
            }
        }
    }
}

impl Drop for WsReader {
    /// Ends the connections, and waits a moment so that their close frames leave before the process does.
    fn drop(&mut self) {
        self.hang_up();
        let late = async {
            Timer::after(CLOSE_WAIT).await;
        };
        smol::block_on(future::or(executor::dropped(&self.running.1), late));
    }
}
