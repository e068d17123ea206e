//! Which inputs a program reads again long after their rows came, so that they have to be kept.

use super::program::{Block, Relation, Stage};

/// Returns, for each input, whether its old rows are read.
pub(super) fn rereads(relations: &[Relation], stages: &[Stage]) -> Vec<bool> {
    let inputs = relations.len() - stages.len();
    let mut content = vec![false; relations.len()];
    for stage in stages {
        match stage {
            Stage::Block(block) => joins(block, &mut content),
            Stage::Aggregate(stage) => {
                joins(&stage.rows, &mut content);
                let loses = stage
                    .accumulators
                    .iter()
                    .any(|column| column.lost.is_some());
                let shrinks = stage.rows.mentions.iter().any(|mention| {
                    mention.touch.is_some() || !relations[mention.relation].append_only
                });
                if stage.always_again || (loses && shrinks) {
                    all(&stage.rows, &mut content);
                }
            }
            Stage::Partition(stage) => all(&stage.keys, &mut content),
            Stage::Top(stage) => content[stage.of] |= !relations[stage.of].append_only,
        }
    }
    // The content of a block's relation is its query over the contents under it; the others keep theirs.
    for (index, stage) in stages.iter().enumerate().rev() {
        if let (true, Stage::Block(block)) = (content[inputs + index], stage) {
            all(block, &mut content);
        }
    }
    content.truncate(inputs);
    content
}

/// Notes the mentions that another one of the same rows is joined to.
fn joins(block: &Block, content: &mut [bool]) {
    for (index, mention) in block.mentions.iter().enumerate() {
        let partner = block.mentions.len() > mention.apart.len() + 1;
        if partner || mention.touch.is_some() {
            content[block.mentions[index].relation] = true;
        }
    }
}

fn all(block: &Block, content: &mut [bool]) {
    for mention in &block.mentions {
        content[mention.relation] = true;
    }
}
