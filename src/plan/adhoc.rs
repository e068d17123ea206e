//! A query that somebody asks of the pipeline once: what it reads, what it would ask lookups for, and how
//! it would be maintained if it were a materialized view.
//!
//! Called for statements given to a pipeline; nothing of it is kept.

use std::sync::Arc;

use super::bind::Binder;
use super::build::{Builder, Checked, ReadByName, check_and};
use super::feed::Feed;
use super::node::{Maintenance, Plan};
use crate::catalog::Catalog;
use crate::diagnostic::Diagnostic;
use crate::options::Environment;
use crate::sql::{Ident, SqlText};

/// The name under which the query is bound. The user cannot name it: it has a space.
const NAME: &str = "the query";

/// A query bound over a catalog.
pub struct AdHoc {
    pub feed: Feed,
    /// Whether a view of this query would work on each new batch alone; else why not.
    pub linear: Result<(), String>,
    /// How a view of this query would follow its inputs.
    pub maintenance: Maintenance,
}

/// Binds a query over the entities of a catalog.
///
/// # Errors
/// The outer one is the engine's failure as a whole; the inner ones are faults of the catalog or the query.
pub fn ad_hoc(
    catalog: &Catalog,
    environment: &Environment,
    query: &SqlText,
) -> anyhow::Result<Result<(Plan, AdHoc), Vec<Diagnostic>>> {
    let (checked, bound) = check_and(
        &Binder::new()?,
        (catalog, environment, ReadByName::All),
        (Vec::new(), &|_| ()),
        |builder| bind(builder, query),
    )?;
    let Checked { plan, faults, .. } = checked;
    Ok(match (plan, bound) {
        (Some(plan), Some(bound)) => Ok((plan, bound)),
        _ => Err(faults),
    })
}

/// Returns `None` after noting the faults in the builder.
fn bind(builder: &mut Builder<'_>, query: &SqlText) -> Option<AdHoc> {
    let binder: &Binder = builder.binder;
    let parsed = match binder
        .parse(builder.catalog, &[query])
        .map(|mut all| all.pop())
    {
        Ok(Some(Ok(parsed))) => parsed,
        Ok(Some(Err(fault))) => {
            builder.faults.push(fault);
            return None;
        }
        Ok(None) => return None,
        Err(error) => {
            builder
                .faults
                .push(Diagnostic::new(query.span, error.to_string()));
            return None;
        }
    };
    let query = &parsed.as_run(query);
    if !builder.check_reads(query, &parsed.reads) {
        return None;
    }
    let columns = match binder.session().describe(&query.text) {
        Ok(columns) => columns,
        Err(fault) => {
            let fault = super::bind::query_fault(fault, query, builder.catalog);
            builder.faults.push(fault);
            return None;
        }
    };
    let name = Ident {
        name: NAME.to_owned(),
        span: query.span,
    };
    Arc::make_mut(&mut builder.queries).insert(name.key(), (query.clone(), parsed));
    let info = builder.feed(&name, query)?;
    let maintenance = builder.maintenance((&name, NAME), &info, &columns);
    Some(AdHoc {
        feed: info.feed,
        linear: info.linear,
        maintenance,
    })
}
