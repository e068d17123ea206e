//! Rows that a plan builds of expressions: `{symbol, price: .last[0] | tonumber}`.

use super::rows::Rows;
use crate::format::jq::write_object;
use crate::format::value::Value;

/// Which member of the built objects fills each slot of a row.
#[derive(Clone, Debug, Default)]
pub struct Slots {
    member_of_slot: Vec<Option<usize>>,
}

impl Slots {
    /// Matches the names of the objects' members with the columns.
    pub fn new(members: &[String], rows: &Rows) -> Self {
        let names = rows
            .columns()
            .iter()
            .map(|column| column.name.as_str())
            .chain(rows.extra_name());
        Self {
            member_of_slot: names.map(|name| find_member(members, name)).collect(),
        }
    }

    /// Appends one object as a row.
    #[inline]
    pub fn push<'v>(
        &self,
        names: &[String],
        value_of: impl Fn(usize) -> Value<'v>,
        rows: &mut Rows,
    ) {
        rows.push(
            |slot| match self.member_of_slot[slot] {
                Some(member) => value_of(member),
                None => Value::Null,
            },
            || {
                let mut payload = String::new();
                write_object(names, &value_of, &mut payload);
                payload
            },
        );
    }
}

/// Finds a member with the name's case first, without it next.
fn find_member(members: &[String], name: &str) -> Option<usize> {
    let loose = || {
        members
            .iter()
            .position(|member| member.to_lowercase() == name.to_lowercase())
    };
    members
        .iter()
        .position(|member| member == name)
        .or_else(loose)
}
