//! A kept relation that follows its inputs: a materialized view, a view with lookups, a sink's result.

use std::sync::Arc;

use super::asking::Asker;
use super::maintain::{self, Maintainer, Range};
use super::reading::{InputReading, ONE_BATCH, Piece, Reading, borrowed, deleted_of, inserted_of};
use super::shared::Shared;
use super::step::{Progress, Step};
use super::stream::Stream;
use super::tide;
use crate::connector::Stop;
use crate::engine::{
    Layout, Ledger, Param, RowsMissing, Session, SqlFault, Stamp, Stored, apply_changes,
    replace_all,
};
use crate::plan::{DerivedPlan, Maintenance, Node, Program, Work};
use crate::sql::name_in_sql;

/// Takes pieces of its inputs, one transaction each.
pub struct Derived {
    name: String,
    shared: Arc<Shared>,
    session: Session,
    node: Arc<Node>,
    stream: Arc<Stream>,
    reading: Reading,
    asker: Asker,
    append_sql: String,
    /// A relation without inputs is evaluated once.
    evaluated: bool,
    /// The tables of its stages are those of its program.
    prepared: bool,
    /// The last piece could not be followed by what changed.
    whole: bool,
}

impl Derived {
    /// # Errors
    /// DuckDB's own.
    pub fn new(
        shared: &Arc<Shared>,
        node: &Arc<Node>,
        stream: &Arc<Stream>,
        inputs: Vec<Arc<Stream>>,
        stop: &Stop,
    ) -> anyhow::Result<Self> {
        let session = shared.database.session()?;
        let plan = node
            .derived()
            .expect("a relation's node is made of its plan");
        let name = plan.stored.name.clone();
        let is_new = shared.newcomers.take(&name);
        let rows = inserted_of(&plan.feed, &plan.feed.query, 3);
        Ok(Self {
            reading: Reading::new((&name, is_new), inputs, &session)?,
            asker: Asker::new(shared, &plan.feed, stop),
            append_sql: plan.stored.append_sql(&rows, 1, 2),
            shared: Arc::clone(shared),
            session,
            node: Arc::clone(node),
            stream: Arc::clone(stream),
            name,
            evaluated: false,
            prepared: false,
            whole: false,
        })
    }

    fn plan(&self) -> &DerivedPlan {
        self.node
            .derived()
            .expect("a relation's node is made of its plan")
    }

    fn linear(&mut self) -> anyhow::Result<Progress> {
        // Answers are asked for with the trigger of one batch.
        let rows_max = if self.plan().feed.lookups.is_empty() {
            u64::MAX
        } else {
            ONE_BATCH
        };
        let Some(piece) = self.reading.next_piece(&self.session, rows_max)? else {
            self.pass_watermark_on();
            return Ok(Progress::Idle);
        };
        self.asker.ask(&self.session, &piece)?;
        let stamp = self.stamp(&piece);
        let changed = self.session.transaction(|session| {
            let changed = match self.plan().stored.layout {
                Layout::Changing => self.change(session, &piece, stamp)?,
                Layout::Append | Layout::Passing => self.append(session, &piece, stamp)?,
            };
            self.finish(session, &piece, stamp, changed)?;
            Ok(changed)
        })?;
        self.reading.take(&piece);
        self.committed(changed, piece.row_count(), stamp);
        self.pass_watermark_on();
        Ok(Progress::More)
    }

    /// Lets the readers know how far event time has come in what has been taken. It is not kept: after a restart
    /// it follows from the inputs again.
    fn pass_watermark_on(&self) {
        let inputs = self.reading.inputs.iter().map(|input| &input.stream);
        let watermark = tide::watermark(inputs.zip(self.reading.positions()));
        if watermark != tide::UNKNOWN {
            self.stream.set_watermark(self.stream.head(), watermark);
        }
    }

    fn stamp(&self, piece: &Piece) -> Stamp {
        Stamp {
            seq: self.stream.head() + 1,
            trigger_us: piece.trigger_us,
        }
    }

    fn append(&self, session: &Session, piece: &Piece, stamp: Stamp) -> anyhow::Result<usize> {
        let mut params = vec![i64::try_from(stamp.seq)?, stamp.trigger_us];
        params.extend(piece.params());
        session.execute(&self.append_sql, &borrowed(&params))
    }

    fn change(&self, session: &Session, piece: &Piece, stamp: Stamp) -> anyhow::Result<usize> {
        let (plan, ranges) = (self.plan(), piece.params());
        let feed = &plan.feed;
        let params: Vec<&dyn Param> = borrowed(&ranges);
        let columns = plan.stored.column_list();
        for (table, rows) in [
            ("excess", deleted_of(feed, &feed.query, 1)),
            ("come", inserted_of(feed, &feed.query, 1)),
        ] {
            let sql =
                format!("CREATE OR REPLACE TEMP TABLE {table} AS SELECT {columns} FROM ({rows})");
            session.execute(&sql, &params)?;
        }
        let change = apply_changes(session, &plan.stored, stamp)?;
        Ok(change.deleted + change.inserted)
    }

    fn finish(
        &self,
        session: &Session,
        piece: &Piece,
        stamp: Stamp,
        changed: usize,
    ) -> anyhow::Result<()> {
        if changed > 0 {
            Ledger::new(session).advance(&self.name, stamp.seq, None)?;
        }
        let ends: Vec<u64> = piece.ranges.iter().map(|(_, end)| *end).collect();
        self.reading.write_positions(session, &ends)
    }

    fn committed(&mut self, changed: usize, rows_in: u64, stamp: Stamp) {
        self.reading.tell();
        self.shared
            .committed(&self.stream, (changed, rows_in), stamp);
    }

    /// Lets a sink without a snapshot begin after the first evaluation of its own relation, which is what
    /// was there before it.
    fn skip_snapshot(&self, ledger: &Ledger<'_>, seq: u64) -> anyhow::Result<()> {
        match &self.node.work {
            Work::Sink(sink) if !sink.snapshot => {
                ledger.set_position(&self.node.name, &self.name, seq)
            }
            _ => Ok(()),
        }
    }

    /// Lets the stages of a program follow what is new in the inputs.
    fn incremental(&mut self, program: &Program) -> anyhow::Result<Progress> {
        let Some(mut piece) = self.reading.next_ranges(&self.session)? else {
            return Ok(Progress::Idle);
        };
        if piece.trigger_us == 0 {
            piece.trigger_us = self.shared.now().timestamp_micros();
        }
        let stamp = self.stamp(&piece);
        let inputs: Vec<Stored> = (self.plan().feed.inputs.iter())
            .map(|input| input.stored.clone())
            .collect();
        let maintainer = Maintainer {
            program,
            stored: &self.plan().stored,
            inputs: &inputs,
        };
        let taken = self.take_in(maintainer, &mut piece, (stamp, false));
        let changed = match taken {
            Err(error) if error.is::<RowsMissing>() && maintainer.lost_input().is_none() => {
                tracing::warn!(entity = %self.name, "{error}: it is built anew from its inputs");
                self.take_in(maintainer, &mut piece, (stamp, true))?
            }
            Err(error) if maintainer.lost_input().is_none() => {
                return self.evaluate_instead(error);
            }
            taken => taken?,
        };
        // After stages that were made anew the next change may fail like the one before.
        self.whole &= !self.prepared;
        self.prepared = true;
        self.reading.take(&piece);
        self.committed(changed, piece.row_count(), stamp);
        Ok(Progress::More)
    }

    /// Takes a piece in one transaction, or builds the relation anew; returns the number of rows changed.
    fn take_in(
        &self,
        maintainer: Maintainer<'_>,
        piece: &mut Piece,
        (stamp, anew): (Stamp, bool),
    ) -> anyhow::Result<usize> {
        let first = (self.reading.inputs.iter()).all(|input| input.committed.is_none());
        self.session.transaction(|session| {
            for (input, range) in maintainer.inputs.iter().zip(&mut piece.ranges) {
                if input.layout == Layout::Changing || anew {
                    range.1 = maintain::head_of(session, input)?;
                }
            }
            let prepared = self.prepared || maintainer.is_prepared(session)?;
            if !prepared && first {
                maintainer.create(session)?;
            } else if let (false, Some(input)) = (prepared, maintainer.lost_input()) {
                return Err(self.of_another_version(input));
            }
            let change = if anew || (!prepared && !first) {
                let heads: Vec<u64> = piece.ranges.iter().map(|(_, to)| *to).collect();
                maintainer.rebuild(session, &heads, stamp)?
            } else {
                let ranges: Vec<Range> = (self.reading.inputs.iter().zip(&piece.ranges))
                    .map(|(input, range)| Range {
                        from: input.position,
                        to: range.1,
                    })
                    .collect();
                maintainer.apply(session, &ranges, stamp)?
            };
            let changed = change.deleted + change.inserted;
            self.finish(session, piece, stamp, changed)?;
            if first {
                let seq = stamp.seq - u64::from(changed == 0);
                self.skip_snapshot(&Ledger::new(session), seq)?;
            }
            Ok(changed)
        })
    }

    fn of_another_version(&self, input: &str) -> anyhow::Error {
        let (kind, name) = (self.node.kind.words(), name_in_sql(&self.node.name));
        anyhow::anyhow!(
            "the state of `{}` is of another version, and its input `{input}` keeps no old rows: `DROP {kind} {name}` \
             (with CASCADE, if others read it), and the next run begins it anew",
            self.name
        )
    }

    /// Makes sure that what another version has followed by its changes alone is not evaluated over what is left of
    /// its inputs.
    fn check_history(&self) -> anyhow::Result<()> {
        let recomputes = matches!(self.plan().maintenance, Maintenance::Recompute { .. });
        let passing = self.reading.inputs.iter().find(|input| {
            input.committed.is_some() && input.stream.stored.layout == Layout::Passing
        });
        match passing.filter(|_| recomputes) {
            Some(input) if !Ledger::new(&self.session).stages(&self.name)?.is_empty() => {
                Err(self.of_another_version(&input.stream.stored.name))
            }
            _ => Ok(()),
        }
    }

    /// Evaluates the query over everything and applies the difference.
    fn recompute(&mut self) -> anyhow::Result<Progress> {
        let behind = (self.reading.inputs.iter()).any(|input| {
            input.position.is_none() || input.stream.head() > input.position.unwrap_or(0)
        });
        if !behind && self.evaluated {
            return Ok(Progress::Idle);
        }
        if !self.evaluated {
            self.check_history()?;
        }
        self.evaluate_whole()?;
        Ok(Progress::More)
    }

    /// Says whether the query can be evaluated again over everything its inputs have brought.
    fn keeps_all_it_reads(&self) -> bool {
        let mut inputs = self.reading.inputs.iter();
        let keeps = |input: &InputReading| input.stream.stored.layout != Layout::Passing;
        self.plan().feed.lookups.is_empty() && inputs.all(keeps)
    }

    /// Evaluates the query as a whole where its changes alone cannot be followed: they may fail over rows that have
    /// gone, or that never met, while the query itself does not.
    ///
    /// # Errors
    /// The one given, if it is of another kind or the query fails too.
    fn evaluate_instead(&mut self, error: anyhow::Error) -> anyhow::Result<Progress> {
        let of_query = (error.downcast_ref::<SqlFault>())
            .is_some_and(|fault| fault.is_of_rows() || fault.is_of_query());
        if !of_query || self.plan().stored.layout != Layout::Changing {
            return Err(error);
        }
        if let Err(whole) = self.evaluate_whole() {
            tracing::debug!(entity = %self.name, "nor as a whole: {whole:#}");
            return Err(error);
        }
        if !std::mem::replace(&mut self.whole, true) {
            tracing::warn!(entity = %self.name, "what has changed cannot be followed ({error:#}): it is evaluated as a whole");
        }
        Ok(Progress::More)
    }

    fn evaluate_whole(&mut self) -> anyhow::Result<()> {
        let stamp = Stamp {
            seq: self.stream.head() + 1,
            trigger_us: self.shared.now().timestamp_micros(),
        };
        let sql = format!(
            "CREATE OR REPLACE TEMP TABLE next AS {}",
            self.plan().feed.all_sql()
        );
        let first = (self.reading.inputs.iter()).all(|input| input.committed.is_none());
        let (changed, heads) = self.session.transaction(|session| {
            let ledger = Ledger::new(session);
            let mut heads = Vec::new();
            for input in &self.reading.inputs {
                heads.push(ledger.stream(&input.stream.stored.name)?.head);
            }
            session.execute(&sql, &[])?;
            let change = replace_all(session, &self.plan().stored, stamp)?;
            if matches!(self.plan().maintenance, Maintenance::Incremental(_)) {
                // Its stages have not followed: they are made anew with the next piece.
                ledger.set_stages(&self.name, &[])?;
            }
            let changed = change.deleted + change.inserted;
            if changed > 0 {
                ledger.advance(&self.name, stamp.seq, None)?;
            }
            if first {
                self.skip_snapshot(&ledger, stamp.seq - u64::from(changed == 0))?;
            }
            self.reading.write_positions(session, &heads)?;
            Ok((changed, heads))
        })?;
        (self.evaluated, self.prepared) = (true, false);
        let piece = Piece {
            ranges: (self.reading.positions().into_iter()).zip(heads).collect(),
            rows: vec![0; self.reading.inputs.len()],
            trigger_us: stamp.trigger_us,
        };
        self.reading.take(&piece);
        self.committed(changed, 0, stamp);
        Ok(())
    }
}

impl Step for Derived {
    fn step(&mut self) -> anyhow::Result<Progress> {
        if self.stream.overfull().is_some() {
            return Ok(Progress::Idle);
        }
        let node = Arc::clone(&self.node);
        let plan = node
            .derived()
            .expect("a relation's node is made of its plan");
        match &plan.maintenance {
            Maintenance::Recompute { .. } => self.recompute(),
            Maintenance::WindowClose(_) | Maintenance::IntervalJoin(_) => {
                unreachable!("such a relation has a step of its own")
            }
            Maintenance::Incremental(program) => self.incremental(program),
            // Its first rows are the content of its input, for which there is no log.
            Maintenance::Linear if self.reading.needs_content() => self.recompute(),
            Maintenance::Linear => match self.linear() {
                Err(error) if self.keeps_all_it_reads() => self.evaluate_instead(error),
                taken => taken,
            },
        }
    }

    fn flush(&mut self, _end: bool) -> anyhow::Result<Progress> {
        Ok(Progress::Idle)
    }
}
