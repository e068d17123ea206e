//! The lookup: one request per distinct set of params, its rows the answer.
//!
//! A 404 is the answer "there is none": no rows. The cache is kept by the caller, within the limits given
//! here.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::client::{Client, Wanted};
use super::request::{RequestTemplate, Role};
use super::rows::{Rows, describe};
use super::source::BODY_BYTES_MAX;
use super::wire::Answer;
use crate::batch::Decoded;
use crate::connector::{CacheLimits, Context, Declared, LookupConnector, LookupLimits};
use crate::diagnostic::Diagnostic;
use crate::options::Options;
use anyhow::Context as _;

/// Requests in flight where `lookup.concurrency` does not say otherwise.
const CONCURRENCY: u64 = 64;

/// Each request in flight holds a thread of the pool.
const CONCURRENCY_MAX: u64 = 1024;

/// Answers kept where `lookup.cache.max_rows` does not say otherwise.
const CACHE_ROWS: u64 = 10_000;

const CACHE_TTL: Duration = Duration::from_secs(60);

/// Takes the options of a `lookup-http` table.
pub(super) fn lookup(
    options: &mut Options<'_>,
    declared: &Declared,
) -> Option<Box<dyn LookupConnector>> {
    let limits = take_limits(options);
    let client = Client::take(options, &declared.params, Role::Read, limits.concurrency);
    let rows = Rows::take(options, &declared.columns);
    let body_bytes_max = options.size("max_body_bytes").unwrap_or(BODY_BYTES_MAX);
    let (client, template) = client?;
    let used = template.params();
    for (index, param) in declared.params.iter().enumerate() {
        if !used.contains(&index) {
            let message = format!("param `${}` is used in no request option", param.name);
            let fault = Diagnostic::new(declared.place(&param.name), message);
            options.fault(fault.help(format!(
                "write `${}` in `url`, `headers.*`, `params.*`, `json.*` or `body`",
                param.name
            )));
        }
    }
    let rows = rows?;
    Some(Box::new(HttpLookup {
        limits: LookupLimits {
            on_error: rows.on_error,
            ..limits
        },
        client,
        template,
        rows,
        body_bytes_max,
    }))
}

fn take_limits(options: &mut Options<'_>) -> LookupLimits {
    let expected = format!("a whole number from 1 to {CONCURRENCY_MAX}");
    let concurrency = options.parsed("lookup.concurrency", &expected, |text| {
        text.parse()
            .ok()
            .filter(|count| (1..=CONCURRENCY_MAX).contains(count))
    });
    let concurrency = concurrency.unwrap_or(CONCURRENCY);
    let cached = options
        .one_of("lookup.cache", &[("none", false), ("lru", true)])
        .unwrap_or(false);
    let keys = [
        "lookup.cache.max_rows",
        "lookup.cache.ttl",
        "lookup.cache.missing",
    ];
    for key in keys {
        if let Some(span) = options.key_span(key).filter(|_| !cached) {
            let fault = Diagnostic::new(span, format!("`{key}` has no meaning without a cache"));
            options.fault(fault.help("add `lookup.cache = 'lru'`"));
        }
    }
    let rows_max = options.count("lookup.cache.max_rows").unwrap_or(CACHE_ROWS);
    let ttl = options
        .duration_above_zero("lookup.cache.ttl")
        .unwrap_or(CACHE_TTL);
    let missing = options.boolean("lookup.cache.missing").unwrap_or(true);
    let fail = options.one_of("lookup.on_error", &[("null", false), ("fail", true)]);
    LookupLimits {
        concurrency: usize::try_from(concurrency).expect("the bound is far below 2^32"),
        cache: cached.then(|| CacheLimits {
            rows_max: usize::try_from(rows_max).unwrap_or(usize::MAX),
            ttl,
            missing,
        }),
        fail: fail.unwrap_or(false),
        on_error: Default::default(),
    }
}

struct HttpLookup {
    limits: LookupLimits,
    client: Client,
    template: RequestTemplate,
    rows: Rows,
    body_bytes_max: u64,
}

impl LookupConnector for HttpLookup {
    fn limits(&self) -> LookupLimits {
        self.limits
    }

    fn request(
        &self,
        params: &[serde_json::Value],
        trigger: DateTime<Utc>,
        context: &Context,
    ) -> anyhow::Result<Decoded> {
        let context = &context.clone().of_trigger(trigger);
        let request = self.template.bind(params)?;
        let wanted = Wanted {
            answer: Answer::Whole {
                bytes_max: self.body_bytes_max,
            },
            statuses: &[404],
        };
        let answered = self.client.send(&request, wanted, context, |response| {
            // 204 and 205 have no body by definition (RFC 9110, section 15.3).
            if matches!(response.status, 204 | 205 | 404) {
                return Ok(self.rows.none());
            }
            self.rows
                .decoder
                .decode(&response.body)
                .with_context(|| describe(&response))
        });
        answered.map_err(|failure| failure.into_error())
    }
}
