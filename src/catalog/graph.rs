//! Who reads whom: the DAG of a catalog, its order, and its cycles.

use std::collections::BTreeSet;

use petgraph::algo::kosaraju_scc;
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::EdgeRef;

use crate::catalog::Catalog;
use crate::diagnostic::{Diagnostic, Span};

/// Edges go from an entity to those that read it. Indexes are those of the catalog.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    names: Vec<String>,
    graph: DiGraph<usize, Span>,
}

impl Graph {
    /// Builds the graph. `reads` has, per entity in the catalog's order, the name and place of each
    /// relation it reads; unknown names are left out.
    pub fn new(catalog: &Catalog, reads: &[Vec<(String, Span)>]) -> Self {
        let mut graph = DiGraph::new();
        let names: Vec<String> = catalog
            .entities()
            .map(|entity| entity.name().name.clone())
            .collect();
        let nodes: Vec<NodeIndex> = (0..names.len())
            .map(|index| graph.add_node(index))
            .collect();
        for (reader, reads) in reads.iter().enumerate() {
            for (name, span) in reads {
                if let Some(index) = catalog.entities.get_index_of(&name.to_lowercase()) {
                    graph.update_edge(nodes[index], nodes[reader], *span);
                }
            }
        }
        Self { names, graph }
    }

    /// Returns entity indexes so that each comes after all it reads, those without order between them as
    /// they were defined. Entities in a cycle, and what depends on them, are left out.
    pub fn order(&self) -> Vec<usize> {
        let mut waiting: Vec<usize> = (self.graph.node_indices())
            .map(|node| {
                self.graph
                    .neighbors_directed(node, petgraph::Incoming)
                    .count()
            })
            .collect();
        let mut ready: BTreeSet<usize> = (0..waiting.len())
            .filter(|index| waiting[*index] == 0)
            .collect();
        let mut order = Vec::with_capacity(waiting.len());
        while let Some(index) = ready.pop_first() {
            order.push(index);
            for reader in self.graph.neighbors(NodeIndex::new(index)) {
                let left = &mut waiting[reader.index()];
                *left -= 1;
                if *left == 0 {
                    ready.insert(reader.index());
                }
            }
        }
        order
    }

    /// Returns the indexes of the entities that read this one, directly, in order of definition.
    pub fn readers(&self, index: usize) -> Vec<usize> {
        let mut readers: Vec<usize> = self
            .graph
            .neighbors(NodeIndex::new(index))
            .map(NodeIndex::index)
            .collect();
        readers.sort_unstable();
        readers
    }

    /// Returns the indexes of the entities that this one reads, directly, in order of definition.
    pub fn reads(&self, index: usize) -> Vec<usize> {
        let node = NodeIndex::new(index);
        let mut reads: Vec<usize> = (self.graph.neighbors_directed(node, petgraph::Incoming))
            .map(NodeIndex::index)
            .collect();
        reads.sort_unstable();
        reads
    }
}

/// Returns one diagnostic per cycle, naming it entity by entity.
pub fn cycle_faults(catalog: &Catalog, graph: &Graph) -> Vec<Diagnostic> {
    let mut faults = Vec::new();
    for component in kosaraju_scc(&graph.graph) {
        let first = component
            .iter()
            .min()
            .copied()
            .expect("a component has a node");
        let Some(path) = cycle_from(graph, first, &component) else {
            continue;
        };
        let names: Vec<String> = path
            .iter()
            .chain([&path[0]])
            .map(|node| format!("`{}`", graph.names[node.index()]))
            .collect();
        let message = format!("definitions go in a circle: {}", names.join(" reads "));
        let mut fault = None;
        for (position, node) in path.iter().enumerate() {
            let read = path[(position + 1) % path.len()];
            let edge = graph.graph.edges_connecting(read, *node).next();
            let span = edge.map_or_else(
                || catalog.entities[node.index()].name().span,
                |e| *e.weight(),
            );
            fault = Some(match fault {
                None => Diagnostic::new(span, &message),
                Some(fault) => {
                    let name = |node: NodeIndex| &graph.names[node.index()];
                    let text = format!("`{}` reads `{}` here", name(*node), name(read));
                    Diagnostic::also(fault, span, text)
                }
            });
        }
        faults.extend(fault);
    }
    faults
}

/// Returns a shortest cycle through `start` inside its component, each node followed by one it reads.
fn cycle_from(graph: &Graph, start: NodeIndex, component: &[NodeIndex]) -> Option<Vec<NodeIndex>> {
    let mut paths = std::collections::VecDeque::from([vec![start]]);
    let mut seen = BTreeSet::from([start]);
    while let Some(path) = paths.pop_front() {
        let last = *path.last().expect("a path has its start");
        for edge in graph.graph.edges_directed(last, petgraph::Incoming) {
            let read = edge.source();
            if read == start {
                return Some(path);
            }
            if component.contains(&read) && seen.insert(read) {
                let mut longer = path.clone();
                longer.push(read);
                paths.push_back(longer);
            }
        }
    }
    None
}
