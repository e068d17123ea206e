//! A program: the stages by which a kept relation follows the changes of its inputs, each a query over
//! changes and contents.
//!
//! Relations are numbered: first the inputs of the feed, then the output of each stage. The output of the
//! last stage is the kept relation.

/// The table that the keys touched by a batch stand in while a query is restricted to them.
pub const TOUCHED: &str = "_touched";

/// How a kept relation follows its inputs at a cost that follows the change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    pub relations: Vec<Relation>,
    pub stages: Vec<Stage>,
    /// Per input of the feed: whether rows that came long ago are read again.
    pub rereads: Vec<bool>,
}

/// An input, or what a stage gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relation {
    pub columns: Vec<(String, String)>,
    /// Rows only ever come.
    pub append_only: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    Block(Block),
    Aggregate(Aggregate),
    Partition(Partition),
    Top(Top),
}

/// A query that is linear in each relation it mentions, or at least changes only where certain keys do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Reads each mention by its own name.
    pub sql: String,
    pub mentions: Vec<Mention>,
    pub columns: Vec<(String, String)>,
}

/// One place where a block reads a relation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mention {
    pub relation: usize,
    pub name: String,
    /// Mentions of other branches of a union: they have no part in what this one adds.
    pub apart: Vec<usize>,
    /// `None` where the block is linear in it.
    pub touch: Option<Touch>,
}

/// What to evaluate again when a mention in which the block is not linear changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touch {
    /// Gives the keys of the mention's rows.
    pub keys_sql: String,
    /// The mention's rows whose key is in [`TOUCHED`].
    pub own_sql: String,
    /// The block's rows whose key is in [`TOUCHED`].
    pub block_sql: String,
    /// Another mention of whose rows `block_sql` reads only those with such a key, if there is one.
    pub outer: Option<Outer>,
}

/// A mention restricted by the keys of another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outer {
    pub mention: usize,
    /// Its rows whose key is in [`TOUCHED`].
    pub own_sql: String,
}

/// Groups with their accumulators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aggregate {
    /// Gives the group as `_k0`, … and what the accumulators take.
    pub rows: Block,
    /// As the query of `rows`, of the groups in [`TOUCHED`] alone, if groups are evaluated again.
    pub touched_sql: Option<String>,
    pub key_types: Vec<String>,
    /// One group that is there even without rows.
    pub global: bool,
    pub accumulators: Vec<Accumulator>,
    /// The value of each aggregate over the accumulators.
    pub finals: Vec<String>,
    /// Touched groups are always evaluated again from all their rows.
    pub always_again: bool,
}

/// One column of a group's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accumulator {
    pub name: String,
    pub sql_type: String,
    /// An aggregate over rows that come (`_w` is 1) and go (`_w` is -1).
    pub partial: String,
    /// Its value after a change, of `old` and `new`.
    pub merged: String,
    /// Whether a row that goes, `gone`, makes the group of `old` be evaluated again.
    pub lost: Option<String>,
}

/// A query whose rows each depend on the rows of one partition alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Gives the partition as `_k0`, ….
    pub keys: Block,
    pub key_types: Vec<String>,
    /// The query's columns and then the partition, of the partitions in [`TOUCHED`] alone.
    pub touched_sql: String,
}

/// The first rows in some order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Top {
    /// The relation whose first rows these are; its columns begin with those of the result.
    pub of: usize,
    pub order: String,
    pub limit: u64,
    pub offset: u64,
}

impl Program {
    /// Returns the relation that a stage gives.
    pub fn output_of(&self, stage: usize) -> usize {
        self.relations.len() - self.stages.len() + stage
    }

    /// Says whether rows of the kept relation only ever come.
    pub fn is_append_only(&self) -> bool {
        self.relations
            .last()
            .is_some_and(|relation| relation.append_only)
    }

    /// Says in a few words how each stage works.
    pub fn words(&self) -> String {
        let mut words: Vec<&str> = Vec::new();
        let mut add = |phrase| {
            if !words.contains(&phrase) {
                words.push(phrase);
            }
        };
        for stage in &self.stages {
            let blocks = match stage {
                Stage::Block(block) => Some(block),
                Stage::Aggregate(aggregate) => Some(&aggregate.rows),
                Stage::Partition(partition) => Some(&partition.keys),
                Stage::Top(_) => None,
            };
            if blocks.is_some_and(Block::joins) {
                add("joins look up what the change touches");
            }
            match stage {
                Stage::Block(_) => {}
                Stage::Aggregate(stage) if stage.always_again => {
                    add("touched groups are evaluated again");
                }
                Stage::Aggregate(_) => add("groups keep accumulators"),
                Stage::Partition(_) => add("touched partitions are evaluated again"),
                Stage::Top(_) => add("the first rows are kept"),
            }
        }
        words.join(", ")
    }
}

impl Block {
    /// Says whether two mentions have a part in one row.
    fn joins(&self) -> bool {
        let alone = |mention: &Mention| mention.apart.len() + 1 == self.mentions.len();
        !self.mentions.iter().all(alone)
    }
}
