//! The sink: what is sent, what is tried again, what is rejected.

use std::sync::Arc;

use super::QUICK;
use super::server::{Reply, Seen, Server, ok, reply};
use crate::batch::array::{ArrayRef, Int64Array};
use crate::batch::datatypes::{DataType, Field, Schema as ArrowSchema};
use crate::batch::{Batch, RecordBatch, Schema, Sign};
use crate::connector::http::HTTP;
use crate::connector::{Changes, Event, Flushed, testing};

fn schema() -> Schema {
    Arc::new(ArrowSchema::new(vec![Field::new(
        "id",
        DataType::Int64,
        true,
    )]))
}

fn batch(ids: impl IntoIterator<Item = i64>, sign: Sign) -> Batch {
    let column: ArrayRef = Arc::new(Int64Array::from_iter_values(ids));
    Batch {
        rows: RecordBatch::try_new(schema(), vec![column]).unwrap(),
        sign,
        trigger: super::tick(0),
    }
}

/// Writes batches to a server, and returns the outcome, what it saw, and what was reported.
fn write(
    with: &str,
    batches: &[Batch],
    answer: impl Fn(usize, &Seen) -> Reply + Send + Sync + 'static,
) -> (anyhow::Result<Flushed>, Vec<Seen>, Vec<Event>) {
    let server = Server::start(answer);
    let with = format!("url = '{}/in', {QUICK}, {with}", server.url);
    let sink = testing::sink(&HTTP, &schema(), &with).unwrap_or_else(|faults| panic!("{faults}"));
    let mut writer = sink.open(&schema(), None).unwrap();
    let (context, events) = testing::context();
    let outcome = (batches.iter())
        .try_for_each(|batch| writer.write(batch, &context))
        .and_then(|()| writer.flush(true, &context));
    (outcome, server.seen(), events.lock().unwrap().clone())
}

fn bodies(seen: &[Seen]) -> Vec<&str> {
    seen.iter().map(|seen| seen.body.as_str()).collect()
}

#[test]
fn one_request_per_row_by_default() {
    let (outcome, seen, events) = write("", &[batch([1, 2], Sign::Insert)], |_, _| ok(""));
    assert_eq!(outcome.unwrap(), Flushed::Durable(None));
    assert_eq!(bodies(&seen), ["{\"id\":1}", "{\"id\":2}"]);
    assert_eq!(
        (seen[0].method.as_str(), seen[0].header("content-type")),
        ("POST", Some("application/json"))
    );
    assert!(events.contains(&Event::Bytes(8)), "{events:?}");
}

#[test]
fn batches_go_over_the_edges_of_those_that_came() {
    let batches = [batch([1], Sign::Insert), batch([2, 3], Sign::Insert)];
    let (_, seen, _) = write("batch.max_rows = 2, method = 'PUT'", &batches, |_, _| {
        ok("")
    });
    assert_eq!(bodies(&seen), ["[{\"id\":1},{\"id\":2}]", "[{\"id\":3}]"]);
    let (_, seen, _) = write("batch.max_rows = 5, encode = 'jsonl'", &batches, |_, _| {
        ok("")
    });
    assert_eq!(bodies(&seen), ["{\"id\":1}\n{\"id\":2}\n{\"id\":3}\n"]);
    assert_eq!(seen[0].header("content-type"), Some("application/x-ndjson"));
}

#[test]
fn changes_say_what_they_are() {
    let batches = [batch([1], Sign::Delete), batch([2], Sign::Insert)];
    let (_, seen, _) = write("changes = 'op', batch.max_rows = 2", &batches, |_, _| {
        ok("")
    });
    assert_eq!(
        bodies(&seen),
        ["[{\"op\":\"delete\",\"id\":1},{\"op\":\"insert\",\"id\":2}]"]
    );
    let sink = testing::sink(&HTTP, &schema(), "url = 'http://h'").unwrap();
    assert!(
        matches!(sink.changes(), Changes::Refused { advice } if advice.contains("changes = 'op'"))
    );
}

#[test]
fn a_row_that_is_refused_is_rejected_and_the_rest_goes_on() {
    let (outcome, seen, events) =
        write(
            "",
            &[batch([1, 2, 3], Sign::Insert)],
            |number, _| match number {
                0 => reply(500, &[], ""),
                2 => reply(422, &[], "no"),
                _ => ok(""),
            },
        );
    outcome.unwrap();
    assert_eq!(
        bodies(&seen),
        ["{\"id\":1}", "{\"id\":1}", "{\"id\":2}", "{\"id\":3}"]
    );
    let rejected = events.iter().filter_map(|event| match event {
        Event::Reject(reject) => Some((
            reject.payload.as_str(),
            reject.message.contains("status 422"),
        )),
        _ => None,
    });
    assert_eq!(rejected.collect::<Vec<_>>(), [("{\"id\":2}", true)]);
}

#[test]
fn what_is_not_about_the_row_is_an_error() {
    for status in [401, 404, 503] {
        let with = "retry.max_attempts = 2";
        let (outcome, seen, events) = write(with, &[batch([1], Sign::Insert)], move |_, _| {
            reply(status, &[], "")
        });
        assert!(
            outcome
                .unwrap_err()
                .to_string()
                .contains(&format!("status {status}"))
        );
        assert_eq!(seen.len(), if status == 503 { 2 } else { 1 });
        assert!(!events.iter().any(|event| matches!(event, Event::Reject(_))));
    }
}

#[test]
fn a_redirect_that_is_not_followed_is_not_about_the_row() {
    for status in [301, 302] {
        let (outcome, seen, events) = write("", &[batch([1, 2], Sign::Insert)], move |_, _| {
            reply(
                status,
                &[("location", "/new?token=hush")],
                "<html>moved</html>",
            )
        });
        let error = outcome.unwrap_err().to_string();
        assert!(error.contains(&format!("status {status}")), "{error}");
        assert!(
            error.contains("/new?token=***, which a POST does not follow"),
            "{error}"
        );
        assert!(error.contains("write the new address in `url`"), "{error}");
        assert_eq!(seen.len(), 1);
        assert!(!events.iter().any(|event| matches!(event, Event::Reject(_))));
    }
    let (outcome, seen, _) = write("", &[batch([1], Sign::Insert)], |number, _| match number {
        0 => reply(308, &[("location", "/new")], ""),
        _ => ok(""),
    });
    outcome.unwrap();
    assert_eq!(
        (seen[1].target.as_str(), seen[1].body.as_str()),
        ("/new", "{\"id\":1}")
    );
}

#[test]
fn a_sink_does_not_get() {
    let sink = testing::sink(
        &HTTP,
        &schema(),
        "url = 'http://h', method = 'GET', body = 'x'",
    );
    testing::assert_fault(
        sink,
        &["a sink cannot write with GET", "unknown option `body`"],
    );
}
