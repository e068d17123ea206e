//! What every entity of a pipeline is doing at this moment, as JSON: for `omlsp top` and the page.
//!
//! Everything here is in memory, so that a look costs the pipeline nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use super::pipeline::Pipeline;
use super::protocol::Event;
use super::service::{Refusal, Script, Service};
use crate::catalog::Entity;
use crate::plan::{Plan, explain_entity};
use crate::runtime::{Last, State, Status};
use crate::sql::EntityKind;

/// The characters of an error that a look shows: the whole text is in `omlsp_errors`.
const ERROR_CHARS_MAX: usize = 300;

impl Script<'_> {
    /// Emits what every entity is doing.
    pub fn status(&mut self) -> Result<(), Refusal> {
        let status = self.service.status(&self.pipeline);
        Ok((self.emit)(Event::Status(status.to_string()))?)
    }
}

impl Service {
    /// Returns what every entity is doing, in the order they were written.
    pub(super) fn status(&self, pipeline: &Pipeline) -> Value {
        let lag = self.lag();
        let entities: Vec<Value> = watched(pipeline)
            .map(|entity| self.entity_status(entity, &lag))
            .collect();
        json!({
            "time_ms": self.shared.now().timestamp_millis(),
            "running": self.runtime.is_some(),
            "graph": self.change_count(),
            "entities": entities,
        })
    }

    pub(super) fn entity_status(&self, entity: &Entity, lag: &HashMap<String, u64>) -> Value {
        let name = &entity.name().name;
        let own = self.shared.board.get(name);
        // What stands behind a sink works under a name of its own, and is the sink's.
        let behind = self.shared.board.get(&format!("{name} result"));
        let statuses: Vec<&Arc<Status>> = own.iter().chain(&behind).collect();
        let sum =
            |of: &dyn Fn(&Status) -> u64| -> u64 { statuses.iter().map(|status| of(status)).sum() };
        let first = statuses.last();
        let lasts: Vec<Last> = statuses.iter().map(|status| status.last()).collect();
        let success = lasts.iter().filter_map(|last| last.success).max();
        let error =
            (lasts.iter().filter_map(|last| last.error.clone())).max_by_key(|(time, _)| *time);
        let quantile = |share| {
            own.as_ref()
                .and_then(|status| status.latency.quantile(share))
        };
        json!({
            "name": name,
            "kind": kind_word(entity.kind()),
            "state": self.state_word(entity, &lasts),
            "rows_in": first.map_or(0, |status| status.rows_in.load(Relaxed)),
            "rows_out": own.as_ref().map_or(0, |status| status.rows_out.load(Relaxed)),
            "bytes": sum(&|status| status.bytes.load(Relaxed)),
            "batches": own.as_ref().map_or(0, |status| status.batches.load(Relaxed)),
            "requests": sum(&|status| status.requests.load(Relaxed)),
            "retries": sum(&|status| status.retries.load(Relaxed)),
            "errors": sum(&|status| status.errors.load(Relaxed)),
            "rejected": sum(&|status| status.rejected.load(Relaxed)),
            "gaps": sum(&|status| status.gaps.load(Relaxed)),
            "failing": lasts.iter().any(|last| last.streak > 0),
            "behind": lag.get(&name.to_lowercase()),
            "latency_p50_s": quantile(0.5).filter(|bound| bound.is_finite()),
            "latency_p99_s": quantile(0.99).filter(|bound| bound.is_finite()),
            "last_success": success.map(instant),
            "last_error_at": error.as_ref().map(|(time, _)| instant(*time)),
            "last_error": error.map(|(_, text)| cut(&text)),
        })
    }

    fn state_word(&self, entity: &Entity, lasts: &[Last]) -> &'static str {
        let states = lasts.iter().map(|last| last.state);
        // The worst says how it is.
        let order = [
            State::Failed,
            State::Retrying,
            State::Starting,
            State::Running,
        ];
        let worst = states.clone().min_by_key(|state| {
            let at = order.iter().position(|known| known == state);
            at.unwrap_or(order.len())
        });
        match (self.runtime.is_some(), entity.kind(), worst) {
            (false, ..) => "stopped",
            // A lookup has no work of its own, a plain view is part of its readers.
            (true, EntityKind::Lookup, _) | (true, EntityKind::View, None) => "ready",
            (true, _, Some(state)) => state.word(),
            (true, _, None) => "idle",
        }
    }

    /// Returns how many rows each reader has not taken yet, by lower-case name.
    pub(super) fn lag(&self) -> HashMap<String, u64> {
        let mut lag: HashMap<String, u64> = HashMap::new();
        let streams = (self.runtime.iter()).flat_map(|runtime| runtime.streams());
        for (name, _, rows) in streams.flat_map(|stream| stream.readers()) {
            let name = name.strip_suffix(" result").unwrap_or(&name).to_lowercase();
            *lag.entry(name).or_default() += rows;
        }
        lag
    }

    /// Returns the DAG: its entities, how each works, and what each reads.
    pub(super) fn graph(&self) -> Value {
        let graph = self.change_count();
        let pipeline = self.pipeline();
        let plan = self.plan(&pipeline).ok();
        let node = |entity: &Entity| {
            let name = &entity.name().name;
            let reads: Vec<&str> = (pipeline.reads(name))
                .filter(|read| read.kind() != EntityKind::Secret)
                .map(|read| read.name().name.as_str())
                .collect();
            json!({
                "name": name,
                "kind": kind_word(entity.kind()),
                "reads": reads,
                "how": plan.as_deref().and_then(|plan| how(plan, name)),
            })
        };
        let entities: Vec<Value> = watched(&pipeline).map(node).collect();
        json!({ "graph": graph, "entities": entities })
    }
}

/// Returns what people call a kind.
pub(super) fn kind_word(kind: EntityKind) -> &'static str {
    match kind {
        EntityKind::Table => "table",
        EntityKind::Source => "source",
        EntityKind::Lookup => "lookup",
        EntityKind::View => "view",
        EntityKind::MaterializedView => "materialized view",
        EntityKind::Sink => "sink",
        EntityKind::Secret => "secret",
    }
}

/// Returns how an entity works, in a line.
fn how(plan: &Plan, name: &str) -> Option<String> {
    plan.node(name).map(|node| explain_entity(node))
}

/// Returns the entities that are shown: secrets are not.
fn watched(pipeline: &Pipeline) -> impl Iterator<Item = &Entity> {
    let entities = pipeline.catalog.entities();
    entities.filter(|entity| entity.kind() != EntityKind::Secret)
}

fn instant(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn cut(text: &str) -> String {
    let mut chars = text.chars();
    let mut short: String = chars.by_ref().take(ERROR_CHARS_MAX).collect();
    if chars.next().is_some() {
        short.push('…');
    }
    short
}
