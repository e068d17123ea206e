//! What a plan says of itself: the DAG as text, mermaid or dot, and how each view is maintained.

use std::fmt::Write as _;

use super::node::{DerivedPlan, Node, Plan, Work};
use crate::sql::EntityKind;

/// The languages a graph is drawn in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GraphFormat {
    Text,
    Mermaid,
    Dot,
}

/// Renders the DAG of a plan; secrets are no part of it. Ends with a line break unless empty.
pub fn render_graph(plan: &Plan, format: GraphFormat) -> String {
    let nodes: Vec<&Node> = (plan.nodes.iter())
        .map(AsRef::as_ref)
        .filter(|node| node.kind != EntityKind::Secret)
        .collect();
    match format {
        GraphFormat::Text => text(&nodes),
        GraphFormat::Mermaid => mermaid(&nodes),
        GraphFormat::Dot => dot(&nodes),
    }
}

/// Says in one line how an entity works.
pub fn explain_entity(node: &Node) -> String {
    let kind = node.kind.words().to_lowercase();
    match &node.work {
        Work::Source(plan) => {
            let kept = match &plan.key {
                Some(key) => format!("the latest row per key ({})", key.join(", ")),
                None if node.kind == EntityKind::Table => "every row kept".to_owned(),
                None => "rows kept until every reader has them".to_owned(),
            };
            format!("{kind}, {kept}{}", noted(&plan.notes))
        }
        Work::Lookup(plan) => {
            let params: Vec<&str> = plan
                .params
                .iter()
                .map(|param| param.name.as_str())
                .collect();
            format!("lookup by ({}){}", params.join(", "), noted(&plan.notes))
        }
        Work::View { .. } => format!("{kind}, evaluated inside its readers"),
        Work::Derived(plan) => format!("{kind}, {}", maintenance(plan)),
        Work::Sink(plan) => match &plan.result {
            Some(result) => format!("{kind} of a relation {}", maintenance(result)),
            None => format!("{kind}, writes each new batch"),
        },
        Work::Secret { backend } => format!("{kind} from {backend}"),
    }
}

fn noted(notes: &[String]) -> String {
    notes.iter().map(|note| format!("; {note}")).collect()
}

fn maintenance(plan: &DerivedPlan) -> String {
    let mut words = plan.maintenance.words();
    for step in &plan.feed.lookups {
        let name = &step.lookup.name;
        write!(words, "; asks `{name}` once per distinct params of a batch")
            .expect("writing to a string cannot fail");
    }
    words
}

fn text(nodes: &[&Node]) -> String {
    let mut out = String::new();
    for node in nodes {
        let reads = if node.reads.is_empty() {
            String::new()
        } else {
            format!(" <- {}", node.reads.join(", "))
        };
        writeln!(out, "{}{reads}\n    {}", node.name, explain_entity(node))
            .expect("writing to a string cannot fail");
    }
    out
}

fn mermaid(nodes: &[&Node]) -> String {
    let mut out = String::from("graph LR\n");
    for (index, node) in nodes.iter().enumerate() {
        let label = format!(
            "{}<br/>{}",
            node.name.replace('"', "#quot;"),
            node.kind.words().to_lowercase()
        );
        let (open, close) = match node.kind {
            EntityKind::Sink => ("[/\"", "\"/]"),
            EntityKind::View | EntityKind::MaterializedView => ("(\"", "\")"),
            EntityKind::Lookup => ("{{\"", "\"}}"),
            _ => ("[\"", "\"]"),
        };
        writeln!(out, "    n{index}{open}{label}{close}").expect("writing to a string cannot fail");
    }
    for (from, to) in edges(nodes) {
        writeln!(out, "    n{from} --> n{to}").expect("writing to a string cannot fail");
    }
    out
}

fn dot(nodes: &[&Node]) -> String {
    let mut out = String::from("digraph pipeline {\n    rankdir=LR;\n    node [shape=box];\n");
    for (index, node) in nodes.iter().enumerate() {
        let name = node.name.replace('\\', "\\\\").replace('"', "\\\"");
        let kind = node.kind.words().to_lowercase();
        writeln!(out, "    n{index} [label=\"{name}\\n{kind}\"];")
            .expect("writing to a string cannot fail");
    }
    for (from, to) in edges(nodes) {
        writeln!(out, "    n{from} -> n{to};").expect("writing to a string cannot fail");
    }
    out.push_str("}\n");
    out
}

/// Returns the edges by the indexes of their ends, in order of the reader.
fn edges(nodes: &[&Node]) -> Vec<(usize, usize)> {
    let mut edges = Vec::new();
    for (to, node) in nodes.iter().enumerate() {
        for read in &node.reads {
            let from = nodes.iter().position(|other| other.name == *read);
            edges.extend(from.map(|from| (from, to)));
        }
    }
    edges
}
