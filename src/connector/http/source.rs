//! The polled source: on each tick, all pages of a poll, each a delivery with the position after it.
//!
//! **Exactly once.** A delivery carries the position that holds after its rows, in the same transaction.
//! A poll that was interrupted (by a crash, an error, a stop) is finished first, from the page after the
//! last committed one and with the instant of its own tick; only then comes the tick the reader was
//! called for. Where the next page of an interrupted poll is refused (a 4xx: its cursor or link has
//! expired), or would never be taken (a link to another origin, a body that is too large or cannot be
//! read), that poll is given up with an error, and the following one starts anew; so it is where the page fails
//! for another reason and does so again at the next tick.
//!
//! `conditional` (GET only) sends the validators of the last complete poll with the first page; a 304 is
//! a poll without rows. It is on by default where an unchanged first page means that nothing changed:
//! without pagination, and for a `cursor-based` one that resumes. Elsewhere rows may be appended on later
//! pages, so it must be asked for.

use std::sync::Arc;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use ureq::http::{HeaderValue, Method, header};

use super::client::{Client, Wanted};
use super::pagination::{Next, Pagination, Received, Step};
use super::position::{Poll, Position, Validators, digest_text, url_digest};
use super::request::{Request, RequestTemplate, Role};
use super::rows::{Rows, describe};
use super::wire::{Answer, Failure, Response};
use crate::batch::Decoded;
use crate::connector::{
    Cadence, Context, Declared, Delivery, Event, OnError, Overlap, ReadEnd, Schedule,
    SourceConnector, SourceReader, schedule,
};
use crate::diagnostic::Diagnostic;
use crate::format::Page;
use crate::options::Options;

/// Where `max_body_bytes` does not say otherwise: one page is held in memory as a whole.
pub(super) const BODY_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// What is said of a cursor that the filter took away.
const NO_ROWS: &str = "the filter gives no row of a page that has items: the next cursor is not known, and the poll ends; \
    let `jq` give a row of each item, and leave out what is not wanted in a query with WHERE";

/// What is said of a page that leads nowhere, though it has more than the row of its cursor.
const SAME_CURSOR: &str = "a page ends with the cursor it was asked for: the poll ends, and its rows are not taken; \
    `pagination.cursor_id` must name a field that is unique and grows, and `pagination.cursor_param` what the server reads";

/// A page is asked for after the other, so one connection is enough; the second is for a token.
const CONNECTIONS: usize = 2;

/// Takes the options of an `http` TABLE or SOURCE.
pub(super) fn source(
    options: &mut Options<'_>,
    declared: &Declared,
) -> Option<Box<dyn SourceConnector>> {
    let cadence = schedule::take(options);
    let client = Client::take(options, &[], Role::Read, CONNECTIONS);
    let rows = Rows::take(options, &declared.columns);
    let pagination = Pagination::take(options);
    let body_bytes_max = options.size("max_body_bytes").unwrap_or(BODY_BYTES_MAX);
    let method = client.as_ref().map(|(_, template)| template.method.clone());
    let conditional_key = options.key_span("conditional");
    let conditional = options.boolean("conditional");
    let is_get = method.is_none_or(|method| method == Method::GET);
    if let (Some(span), Some(true), false) = (conditional_key, conditional, is_get) {
        let fault = Diagnostic::new(span, "only a GET request can be conditional");
        options.fault(fault.help("leave `conditional` out"));
    }
    let (client, template) = client?;
    let pagination = pagination?;
    pagination.refuse_size_of(&template, options);
    pagination.refuse_params_of(&template, options);
    let conditional = is_get && conditional.unwrap_or(pagination.first_page_tells());
    if conditional {
        refuse_validators(&template, options);
    }
    let (schedule, overlap) = cadence?;
    let poller = Poller {
        client,
        template,
        rows: rows?,
        pagination,
        body_bytes_max,
        conditional,
    };
    Some(Box::new(HttpSource {
        poller: Arc::new(poller),
        schedule,
        overlap,
    }))
}

/// Refuses headers that conditional requests set themselves.
fn refuse_validators(template: &RequestTemplate, options: &mut Options<'_>) {
    for name in [header::IF_NONE_MATCH, header::IF_MODIFIED_SINCE] {
        let key = options.key_span_any_case(&format!("headers.{name}"));
        if let Some(key) = key.filter(|_| template.has_header(&name)) {
            let message = format!("header `{name}` is set by conditional requests");
            let fault = Diagnostic::new(key, message);
            options.fault(fault.help("leave it out, or write `conditional = 'false'`"));
        }
    }
}

struct HttpSource {
    poller: Arc<Poller>,
    schedule: Schedule,
    overlap: Overlap,
}

impl SourceConnector for HttpSource {
    fn cadence(&self) -> (Cadence, Overlap) {
        (Cadence::Scheduled(self.schedule.clone()), self.overlap)
    }

    fn on_error(&self) -> OnError {
        self.poller.rows.on_error
    }

    fn open(
        &self,
        cursor: Option<&str>,
        _context: &Context,
    ) -> anyhow::Result<Box<dyn SourceReader>> {
        let position = match cursor {
            Some(text) => {
                Position::parse(text).context("the stored position is none of an HTTP source")?
            }
            None => Position::default(),
        };
        let pagination = &self.poller.pagination;
        if let Some(poll) = &position.poll
            && !pagination.understands(&poll.next)
        {
            anyhow::bail!("the stored position belongs to another `pagination.type`");
        }
        Ok(Box::new(HttpReader {
            poller: Arc::clone(&self.poller),
            position,
            told_no_rows: false,
            failed_at: None,
        }))
    }
}

/// What asks for pages.
struct Poller {
    client: Client,
    template: RequestTemplate,
    rows: Rows,
    pagination: Pagination,
    body_bytes_max: u64,
    conditional: bool,
}

/// A page and what was said with it.
struct Fetched {
    page: Page,
    step: Step,
    digest: Option<String>,
    validators: Option<Validators>,
}

impl Poller {
    fn request(&self, poll: &Poll, position: &Position) -> anyhow::Result<Request> {
        let mut request = self.pagination.request(&self.template, &poll.next)?;
        if !self.conditional || poll.pages > 0 {
            return Ok(request);
        }
        let url = url_digest(&request.url);
        let validators = position
            .validators
            .as_ref()
            .filter(|validators| validators.url == url);
        for (name, value) in [
            (
                header::IF_NONE_MATCH,
                validators.and_then(|validators| validators.etag.as_ref()),
            ),
            (
                header::IF_MODIFIED_SINCE,
                validators.and_then(|validators| validators.last_modified.as_ref()),
            ),
        ] {
            if let Some(value) = value {
                request.set_header(name, HeaderValue::from_str(value)?);
            }
        }
        Ok(request)
    }

    /// Asks for a page; `None` if it has not changed.
    fn fetch(
        &self,
        poll: &Poll,
        position: &Position,
        context: &Context,
    ) -> Result<Option<Fetched>, Failure> {
        let request = self.request(poll, position);
        let request = request.map_err(|error| Failure::Lasting(format!("{error:#}")))?;
        let asks = |name| request.headers.iter().any(|(known, _)| *known == name);
        let conditional = asks(header::IF_NONE_MATCH) || asks(header::IF_MODIFIED_SINCE);
        let answer = Answer::Whole {
            bytes_max: self.body_bytes_max,
        };
        let statuses: &[u16] = if conditional { &[304] } else { &[] };
        let wanted = Wanted { answer, statuses };
        self.client.send(&request, wanted, context, |response| {
            if response.status == 304 {
                return Ok(None);
            }
            self.read_page(poll, &request, &response).map(Some)
        })
    }

    fn read_page(
        &self,
        poll: &Poll,
        request: &Request,
        response: &Response,
    ) -> anyhow::Result<Fetched> {
        let pagination = &self.pagination;
        let page = (self.rows.decoder)
            .decode_page(
                &response.body,
                pagination.cursor_field(),
                pagination.link_filter(),
            )
            .with_context(|| describe(response))?;
        let paged = matches!(poll.next, Next::Page(_));
        let digest = paged.then(|| digest_text(&response.body));
        let received = Received {
            row_count: page.row_count,
            is_empty: page.is_empty,
            last_cursor: page.last_cursor.as_deref(),
            link: page.link.as_deref(),
            headers: &response.headers,
            url: &response.url,
            repeats: digest.is_some() && digest == poll.digest,
        };
        let step = pagination.step(&poll.next, &received, self.client.mask().param_names());
        Ok(Fetched {
            step,
            digest,
            validators: self.validators(poll, request, response),
            page,
        })
    }

    fn validators(
        &self,
        poll: &Poll,
        request: &Request,
        response: &Response,
    ) -> Option<Validators> {
        if !self.conditional || poll.pages > 0 {
            return poll.validators.clone();
        }
        let text = |name| response.header(name).map(str::to_owned);
        let (etag, last_modified) = (text(header::ETAG), text(header::LAST_MODIFIED));
        let some = etag.is_some() || last_modified.is_some();
        some.then(|| Validators {
            url: url_digest(&request.url),
            etag,
            last_modified,
        })
    }
}

struct HttpReader {
    poller: Arc<Poller>,
    /// The position after the last committed delivery.
    position: Position,
    /// Whether [`NO_ROWS`] was told of the last poll, so that it is not told of each.
    told_no_rows: bool,
    /// Where the last poll failed.
    failed_at: Option<Poll>,
}

impl SourceReader for HttpReader {
    fn read(
        &mut self,
        tick: DateTime<Utc>,
        context: &Context,
        emit: &mut dyn FnMut(Delivery) -> anyhow::Result<()>,
    ) -> anyhow::Result<ReadEnd> {
        if let Some(poll) = self.position.poll.clone() {
            self.poll(poll, context, emit)?;
        }
        let poll = Poll {
            tick,
            next: self
                .poller
                .pagination
                .start(self.position.cursor.as_deref()),
            pages: 0,
            digest: None,
            validators: None,
        };
        self.poll(poll, context, emit)?;
        Ok(ReadEnd::Idle)
    }
}

impl HttpReader {
    /// Reads the pages of a poll from its next one on.
    fn poll(
        &mut self,
        mut poll: Poll,
        context: &Context,
        emit: &mut dyn FnMut(Delivery) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let context = &context.clone().of_trigger(poll.tick);
        loop {
            let fetched = match self.poller.fetch(&poll, &self.position, context) {
                Ok(Some(fetched)) => fetched,
                Ok(None) => return Ok(()),
                Err(failure) => {
                    // Asking again would come to the same, for ever.
                    let is_final = matches!(failure, Failure::Refused { .. } | Failure::Lasting(_));
                    let is_stop = matches!(failure, Failure::Stopped);
                    if is_final || (!is_stop && self.failed_at.as_ref() == Some(&poll)) {
                        self.position.poll = None;
                    }
                    if !is_stop {
                        self.failed_at = Some(poll);
                    }
                    return Err(failure.into_error());
                }
            };
            let trigger = poll.tick;
            let (position, decoded) = self.after(poll, fetched, context);
            emit(Delivery {
                decoded,
                batch_rows_max: usize::MAX,
                trigger,
                cursor: Some(position.text()),
            })?;
            self.position = position;
            match self.position.poll.clone() {
                Some(next) => poll = next,
                None => return Ok(()),
            }
        }
    }

    /// Returns the position after a page, and the rows to deliver with it.
    fn after(&mut self, poll: Poll, fetched: Fetched, context: &Context) -> (Position, Decoded) {
        let pagination = &self.poller.pagination;
        let mut position = self.position.clone();
        let mut decoded = fetched.page.decoded;
        let pages = poll.pages + 1;
        let no_rows = fetched.step == Step::NoRows;
        let next = match fetched.step {
            Step::End => None,
            Step::Next(next) => Some(next),
            Step::Warn(message) => {
                context.report(Event::Warning(message));
                None
            }
            Step::NoRows => {
                if !self.told_no_rows {
                    context.report(Event::Warning(NO_ROWS.to_owned()));
                }
                None
            }
            Step::Seen | Step::Repeated => {
                if fetched.step == Step::Repeated {
                    let message = "a page repeats the one before it: the poll ends, its rows are not taken twice";
                    context.report(Event::Warning(message.to_owned()));
                } else if poll.pages > 0 && fetched.page.row_count > 1 {
                    context.report(Event::Warning(SAME_CURSOR.to_owned()));
                }
                decoded = Decoded {
                    rows: decoded.rows.slice(0, 0),
                    rejects: Vec::new(),
                };
                None
            }
        };
        if let (true, Some(Next::Cursor(cursor))) = (pagination.resumes(), &next) {
            position.cursor = Some(cursor.clone());
        }
        let pages_max = pagination.pages_max;
        let bounded = next.is_some() && pages >= pages_max;
        if bounded {
            let message = format!(
                "the poll hit `pagination.max_pages` ({pages_max}): what follows is left out"
            );
            context.report(Event::Warning(message));
        }
        position.poll = next.filter(|_| !bounded).map(|next| Poll {
            tick: poll.tick,
            next,
            pages,
            digest: fetched.digest,
            validators: fetched.validators.clone(),
        });
        if position.poll.is_none() {
            self.told_no_rows = no_rows;
            position.validators = fetched.validators.filter(|_| !bounded);
        }
        (position, decoded)
    }
}
