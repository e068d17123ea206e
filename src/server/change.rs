//! `CREATE` and `DROP`: checked against the whole pipeline first, then done in one transaction, while
//! everything else goes on.

use std::collections::HashSet;

use super::pipeline::Pipeline;
use super::service::{Refusal, Script};
use super::show::find;
use crate::catalog::{Catalog, Entity};
use crate::diagnostic::{Diagnostic, Span, list_names};
use crate::engine::{Ledger, Session};
use crate::plan::{Plan, check};
use crate::runtime::Change;
use crate::secret::Secrets;
use crate::sql::{Create, Definition, DropEntity, EntityKind, OptionValueKind};

/// What happens in the transaction of a change besides its tables.
type More<'a> = &'a dyn Fn(&Session) -> anyhow::Result<()>;

impl Script<'_> {
    /// `CREATE …`: the entity is there, and at work, when it returns.
    pub fn create(&mut self, span: Span, create: &Create) -> Result<(), Refusal> {
        let service = self.service;
        let guard = service.lock_changes();
        // Others may have changed it while this waited.
        self.refresh();
        let mut pipeline = Pipeline::clone(&self.pipeline);
        let name = &create.name;
        let old = pipeline.catalog.get(&name.name).cloned();
        if old.is_some() && create.if_not_exists {
            return self.message(format!("`{}` exists, nothing was done", name.name));
        }
        if let Some(old) = &old {
            check_replaceable(old, create)?;
        }
        let entity = Entity {
            create: create.clone(),
            span,
            text: self.sources.slice(span).to_owned(),
            origin: None,
        };
        let mut catalog = pipeline.checkable();
        reject_reserved(&entity)?;
        reject_unknown(&entity, &catalog)?;
        catalog.put(entity.clone());
        let checked = check(&catalog, &service.environment, Vec::new())?;
        let mut plan = checked.plan.ok_or(Refusal::Faults(checked.faults))?;
        let dependents: Vec<String> = (pipeline.dependents(&name.name).iter())
            .map(|reader| reader.name().name.clone())
            .collect();
        let mut changed: HashSet<String> = HashSet::from([name.name.clone()]);
        changed.extend(old.as_ref().map(|old| old.name().name.clone()));
        changed.extend(dependents.iter().cloned());
        if let Ok(before) = service.plan(&pipeline) {
            plan.adopt(&before, &changed);
        }
        let change = match &old {
            Some(old) => rebuilt(plan, old, &dependents, &pipeline.catalog),
            None => {
                let come = plan.node(&name.name).cloned().into_iter().collect();
                Change {
                    plan,
                    gone: Vec::new(),
                    come,
                    restarted: Vec::new(),
                }
            }
        };
        let sealed = self.sealed(&entity)?;
        self.apply(change, &|session| match &sealed {
            Some(sealed) => Ledger::new(session).keep_secret(&name.name, sealed),
            None => Ok(()),
        })?;
        let session = service.session()?;
        pipeline.create(&entity, &session)?;
        service.put(pipeline);
        drop(guard);
        let word = if old.is_some() { "replaced" } else { "created" };
        self.message(format!("{word} {} {}", entity.kind().words(), name.name))
    }

    /// Encrypts the value of a secret that a statement creates.
    fn sealed(&self, entity: &Entity) -> anyhow::Result<Option<String>> {
        let Definition::Secret { value, .. } = &entity.create.definition else {
            return Ok(None);
        };
        match &value.kind {
            OptionValueKind::Text(text) | OptionValueKind::Bare(text) => {
                self.service.vault.seal(&entity.name().name, text).map(Some)
            }
            OptionValueKind::Secret(_) => Ok(None),
        }
    }

    /// `DROP …`: the entity is gone, and its work has ended, when it returns.
    pub fn drop_entity(&mut self, statement: &DropEntity) -> Result<(), Refusal> {
        let service = self.service;
        let guard = service.lock_changes();
        self.refresh();
        let mut pipeline = Pipeline::clone(&self.pipeline);
        let name = &statement.name;
        if statement.if_exists && pipeline.catalog.get(&name.name).is_none() {
            return self.message(format!("`{}` does not exist, nothing was done", name.name));
        }
        let entity = find(&pipeline.catalog, name, Some(statement.kind)).map_err(|fault| {
            let found = pipeline.catalog.get(&name.name);
            Refusal::from(match found {
                Some(found) => fault.help(format!(
                    "write `DROP {} {}`",
                    found.kind().words(),
                    found.name().name
                )),
                None => *fault,
            })
        })?;
        let dependents = pipeline.dependents(&name.name);
        if !statement.cascade && !dependents.is_empty() {
            let names = dependents.iter().map(|reader| reader.name().name.as_str());
            let message = format!(
                "`{}` is needed by {}",
                entity.name().name,
                list_names(names)
            );
            let fault = Diagnostic::new(name.span, message).help("`CASCADE` drops them too");
            return Err(fault.into());
        }
        let goes: Vec<Entity> = dependents.into_iter().chain([entity]).cloned().collect();
        let names: HashSet<String> = goes
            .iter()
            .map(|entity| entity.name().name.clone())
            .collect();
        let gone = goes
            .iter()
            .map(|entity| (entity.name().name.clone(), entity.kind()))
            .collect();
        let plan = match &service.runtime {
            Some(runtime) => without(&runtime.plan(), &names),
            None => Plan {
                nodes: Vec::new(),
                secrets: Secrets::default(),
            },
        };
        let change = Change {
            plan,
            gone,
            come: Vec::new(),
            restarted: Vec::new(),
        };
        self.apply(change, &|_| Ok(()))?;
        for entity in &goes {
            pipeline.remove(&entity.name().name);
        }
        service.put(pipeline);
        drop(guard);
        goes.iter()
            .try_for_each(|entity| self.message(dropped(entity)))
    }

    /// Does a change in the running pipeline, or in the state alone.
    fn apply(&self, change: Change, more: More<'_>) -> anyhow::Result<()> {
        // What comes may ask for the time.
        self.service.shared.database.set_up_clock()?;
        match &self.service.runtime {
            Some(runtime) => runtime.change(change, more),
            None => change.apply(&self.service.session()?, more),
        }
    }
}

/// Says that an entity is gone, and that it comes back where its file still has it.
fn dropped(entity: &Entity) -> String {
    let mut text = format!("dropped {} {}", entity.kind().words(), entity.name().name);
    if let Some(origin) = &entity.origin {
        text.push_str(&format!(
            "; it comes back at the next run unless it leaves `{}`",
            origin.display()
        ));
    }
    text
}

fn reject_reserved(entity: &Entity) -> Result<(), Box<Diagnostic>> {
    if entity.name().key() == crate::catalog::ERRORS {
        let message = format!("`{}` is the relation of errors", crate::catalog::ERRORS);
        let fault = Diagnostic::new(entity.name().span, message).help("choose another name");
        return Err(Box::new(fault));
    }
    Ok(())
}

/// Refuses what cannot be validated, since it needs a secret whose value is not known.
fn reject_unknown(entity: &Entity, catalog: &Catalog) -> Result<(), Box<Diagnostic>> {
    let mut secrets = entity.secrets();
    let Some(secret) = secrets.find(|secret| catalog.unknown.contains(&secret.key())) else {
        return Ok(());
    };
    let message = format!(
        "secret `{}` comes from a file and is not kept in the state",
        secret.name
    );
    let help = format!("create `{}` while the pipeline runs", entity.name().name);
    Err(Box::new(Diagnostic::new(secret.span, message).help(help)))
}

/// Says why a new definition may not take the place of an old one.
fn check_replaceable(old: &Entity, create: &Create) -> Result<(), Box<Diagnostic>> {
    let name = &create.name;
    let kind = create.definition.kind();
    let fault = |message: String, help: String| {
        let fault = Diagnostic::new(name.span, message).also(old.name().span, "defined here");
        Err(Box::new(fault.help(help)))
    };
    let what = old.kind().words();
    if !create.or_replace {
        let help = match &old.origin {
            Some(origin) => format!(
                "it comes from `{}`: change it there, and run with --replace",
                origin.display()
            ),
            None => format!(
                "drop it first, or write `CREATE OR REPLACE {}`",
                kind.words()
            ),
        };
        return fault(format!("{what} `{}` exists already", old.name().name), help);
    }
    if let Some(origin) = &old.origin {
        let help = "change it there, and run with --replace".to_owned();
        return fault(
            format!("`{}` comes from `{}`", old.name().name, origin.display()),
            help,
        );
    }
    if old.kind() != kind {
        let help = format!("`DROP {what} {}` first", old.name().name);
        return fault(
            format!("`{}` is a {what}, not a {}", old.name().name, kind.words()),
            help,
        );
    }
    Ok(())
}

/// Makes the change from an old definition to the new one in `plan`, with what depends on it: rebuilt, or only
/// restarted if all that changed is a secret.
fn rebuilt(plan: Plan, old: &Entity, dependents: &[String], catalog: &Catalog) -> Change {
    let name = &old.name().name;
    let node = plan.node(name).cloned();
    if old.kind() == EntityKind::Secret {
        return Change {
            plan,
            gone: vec![(name.clone(), EntityKind::Secret)],
            come: node.into_iter().collect(),
            restarted: dependents.to_vec(),
        };
    }
    let gone: Vec<(String, EntityKind)> = (dependents.iter().chain([name]))
        .filter_map(|name| Some((name.clone(), catalog.get(name)?.kind())))
        .collect();
    let comes = |name: &str| gone.iter().any(|(gone, _)| gone.eq_ignore_ascii_case(name));
    let come = plan
        .nodes
        .iter()
        .filter(|node| comes(&node.name))
        .cloned()
        .collect();
    Change {
        plan,
        gone,
        come,
        restarted: Vec::new(),
    }
}

/// Returns a plan without some of its entities.
fn without(plan: &Plan, names: &HashSet<String>) -> Plan {
    let mut secrets = Secrets::default();
    for name in plan.secrets.names() {
        let dropped = names
            .iter()
            .any(|dropped| dropped.eq_ignore_ascii_case(name));
        if let Some(secret) = plan.secrets.get(name).filter(|_| !dropped) {
            secrets.insert(name, secret.clone());
        }
    }
    let kept = plan.nodes.iter().filter(|node| !names.contains(&node.name));
    Plan {
        nodes: kept.cloned().collect(),
        secrets,
    }
}
