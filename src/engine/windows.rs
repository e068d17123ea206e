//! The window table functions `TUMBLE`, `HOP` and `SESSION`: each mention becomes a subquery in DuckDB's own
//! SQL before anything is bound.
//!
//! Every column of the relation is there, then `window_start` and `window_end`; windows start at multiples of
//! their size since 1970-01-01, and a row whose time is NULL is in none. What is replaced keeps its place in
//! the text as written, so that faults inside it are shown where the user wrote them.
//!
//! Source of names and argument order: RisingWave's "Time windows"; `SESSION` follows `TUMBLE`.

use std::ops::Range;

use serde_json::Value;

use super::syntax::place_of;
use super::{Session, SqlFault};
use crate::sql::{Part, SqlText, Token, TokenKind};

/// A window table function.
struct Function {
    name: &'static str,
    /// How it is called, for messages.
    form: &'static str,
    /// The fewest and most arguments.
    arguments: (usize, usize),
    /// The numbers, from 1, of the arguments that are lengths of time.
    lengths: &'static [usize],
    /// The subquery: `{1}` is an argument as written, `{time}`, `{size}` and the like are put together of them.
    /// The comparison leaves NULL out and refuses what is no time.
    template: &'static str,
}

const FUNCTIONS: &[Function] = &[
    Function {
        name: "tumble",
        form: "TUMBLE(relation, time, size [, offset])",
        arguments: (3, 4),
        lengths: &[3],
        template: "(SELECT *, time_bucket({size}, {time}, {origin}) AS window_start, \
                   time_bucket({size}, {time}, {origin}) + {size} AS window_end \
                   FROM {1} WHERE ({2}) <= TIMESTAMP 'infinity')",
    },
    Function {
        name: "hop",
        form: "HOP(relation, time, slide, size [, offset])",
        arguments: (4, 5),
        lengths: &[3, 4],
        template: "(SELECT *, window_start + {size} AS window_end FROM (SELECT *, unnest(generate_series(\
                   time_bucket({slide}, {time} - {size}, {origin}) + {slide}, {time}, {slide})) \
                   AS window_start FROM {1} WHERE ({2}) <= TIMESTAMP 'infinity'))",
    },
    Function {
        name: "session",
        form: "SESSION(relation, time, gap [, key, …])",
        arguments: (3, usize::MAX),
        lengths: &[3],
        template: "(SELECT * EXCLUDE (_session), min({time}) OVER (PARTITION BY {by}_session) AS window_start, \
                   max({time}) OVER (PARTITION BY {by}_session) + {size} AS window_end \
                   FROM (SELECT * EXCLUDE (_opens), sum(_opens) OVER (PARTITION BY {by}1 \
                   ORDER BY {time}, _opens DESC ROWS UNBOUNDED PRECEDING) AS _session \
                   FROM (SELECT *, CASE WHEN {time} < lag({time}) OVER (PARTITION BY {by}1 ORDER BY {time}) + {size} \
                   THEN 0 ELSE 1 END AS _opens FROM {1} WHERE ({2}) <= TIMESTAMP 'infinity')))",
    },
];

/// HOP whose size has months. A day that a month does not have is taken for its last, so that what starts after
/// `time - size` may end before the time: on March 30 that is February 28, and of its windows most end on March 28.
static HOP_OF_MONTHS: Function = Function {
    name: "hop",
    form: "HOP(relation, time, slide, size [, offset])",
    arguments: (4, 5),
    lengths: &[3, 4],
    template: "(SELECT * EXCLUDE (_hop_time), window_start + {size} AS window_end FROM (\
               SELECT *, {time} AS _hop_time, unnest(generate_series(\
               time_bucket({slide}, {time} - {size}, {origin}) + {slide}, {time}, {slide})) \
               AS window_start FROM {1} WHERE ({2}) <= TIMESTAMP 'infinity') WHERE window_start + {size} > _hop_time)",
};

/// A text in which every window function is replaced, and where its parts come from.
#[derive(Clone, Debug, Default)]
pub struct Rewritten {
    pub text: String,
    parts: Vec<Part>,
}

impl Rewritten {
    /// Returns the query as it runs, its places those of the query as written.
    pub fn of(&self, written: &SqlText) -> SqlText {
        SqlText {
            text: self.text.clone(),
            span: written.span,
            parts: self.parts.clone(),
        }
    }

    fn push(&mut self, text: &str, written: Range<usize>, verbatim: bool) {
        if !text.is_empty() {
            self.parts.push(Part {
                start: self.text.len(),
                written,
                verbatim,
            });
            self.text.push_str(text);
        }
    }
}

/// One mention of a window function.
struct Call {
    function: &'static Function,
    /// From its name to its closing parenthesis.
    place: Range<usize>,
    arguments: Vec<Range<usize>>,
    /// Whether the query gives it a name of its own.
    aliased: bool,
}

/// Replaces the window functions of a query; `None` if it has none.
///
/// # Errors
/// A call with the wrong number of arguments, or with a length of time that is not above zero; at its place.
pub fn rewrite(session: &Session, text: &str, tree: &Value) -> Result<Option<Rewritten>, SqlFault> {
    let mut nodes = Vec::new();
    collect(tree, &mut nodes);
    if nodes.is_empty() {
        return Ok(None);
    }
    let tokens = crate::sql::tokens(text);
    let mut calls = Vec::new();
    for (node, function) in nodes {
        calls.extend(call(text, &tokens, node, function)?);
    }
    for call in &mut calls {
        check_lengths(session, text, call)?;
        if call.function.name == HOP_OF_MONTHS.name && has_months(session, text, call) {
            call.function = &HOP_OF_MONTHS;
        }
    }
    calls.sort_by_key(|call| (call.place.start, std::cmp::Reverse(call.place.end)));
    let mut rewritten = Rewritten::default();
    emit(text, &calls, 0..text.len(), &mut rewritten);
    Ok(Some(rewritten))
}

fn collect<'t>(value: &'t Value, found: &mut Vec<(&'t Value, &'static Function)>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
        Value::Object(object) => {
            if value["type"] == "TABLE_FUNCTION" {
                let name = value["function"]["function_name"].as_str().unwrap_or("");
                let function = FUNCTIONS
                    .iter()
                    .find(|function| name.eq_ignore_ascii_case(function.name));
                found.extend(function.map(|function| (value, function)));
            }
            object.values().for_each(|child| collect(child, found));
        }
        _ => {}
    }
}

/// Finds the arguments of a call in the text; `None` where DuckDB gives it no place.
fn call(
    text: &str,
    tokens: &[Token],
    node: &Value,
    function: &'static Function,
) -> Result<Option<Call>, SqlFault> {
    let Some((start, _)) = place_of(node) else {
        return Ok(None);
    };
    let from = tokens.partition_point(|token| token.start < start);
    let Some(open) = (from..tokens.len()).find(|at| tokens[*at].is_symbol('(')) else {
        return Ok(None);
    };
    let mut arguments = Vec::new();
    let mut depth = 0;
    let mut first = open + 1;
    let mut end = start;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        let closes = matches!(token.kind, TokenKind::Symbol(')' | ']' | '}'));
        if matches!(token.kind, TokenKind::Symbol('(' | '[' | '{')) {
            depth += 1;
        } else if closes {
            depth -= 1;
        }
        if (depth == 0 || (depth == 1 && token.is_symbol(','))) && at > first {
            arguments.push(tokens[first].start..tokens[at - 1].end);
            first = at + 1;
        }
        if depth == 0 {
            end = token.end;
            break;
        }
    }
    let (fewest, most) = function.arguments;
    if !(fewest..=most).contains(&arguments.len()) {
        let mut fault = SqlFault::of(&format!(
            "found {} arguments, expected `{}`",
            arguments.len(),
            function.form
        ));
        fault.place = Some((start, end - start));
        return Err(fault);
    }
    debug_assert!(end <= text.len());
    Ok(Some(Call {
        function,
        place: start..end,
        arguments,
        aliased: node["alias"]
            .as_str()
            .is_some_and(|alias| !alias.is_empty()),
    }))
}

fn check_lengths(session: &Session, text: &str, call: &Call) -> Result<(), SqlFault> {
    for number in call.function.lengths {
        let place = call.arguments[number - 1].clone();
        let length = &text[place.clone()];
        let checks = [
            (
                format!("SELECT (typeof(({length})) IN ('INTERVAL', 'VARCHAR'))::BIGINT"),
                "the size, slide or gap of a window is an INTERVAL, such as `INTERVAL '1' MINUTE`",
            ),
            (
                format!("SELECT (CAST(({length}) AS INTERVAL) > INTERVAL '0' SECOND)::BIGINT"),
                "the size, slide or gap of a window is above zero",
            ),
        ];
        for (sql, message) in checks {
            // What cannot be computed alone is refused when the query is bound.
            if let Ok(Some(0)) = session.number(&sql, &[]) {
                let mut fault = SqlFault::of(message);
                fault.place = Some((place.start, place.len()));
                return Err(fault);
            }
        }
    }
    Ok(())
}

/// Says whether the last length of a call has months, or cannot be computed alone.
fn has_months(session: &Session, text: &str, call: &Call) -> bool {
    let lengths = call.function.lengths;
    let size = &text[call.arguments[lengths[lengths.len() - 1] - 1].clone()];
    let sql = format!(
        "SELECT (datepart('year', length) <> 0 OR datepart('month', length) <> 0)::BIGINT \
         FROM (SELECT CAST(({size}) AS INTERVAL) AS length)"
    );
    !matches!(session.number(&sql, &[]), Ok(Some(0)))
}

/// Writes a part of the text, the calls in it replaced.
fn emit(text: &str, calls: &[Call], range: Range<usize>, out: &mut Rewritten) {
    let mut at = range.start;
    for call in calls {
        if call.place.start < at || call.place.end > range.end {
            continue;
        }
        let before = at..call.place.start;
        out.push(&text[before.clone()], before, true);
        emit_call(text, calls, call, out);
        at = call.place.end;
    }
    let rest = at..range.end;
    out.push(&text[rest.clone()], rest, true);
}

fn emit_call(text: &str, calls: &[Call], call: &Call, out: &mut Rewritten) {
    let mut rest = call.function.template;
    while let Some((own, (name, after))) = rest
        .split_once('{')
        .and_then(|(own, after)| Some((own, after.split_once('}')?)))
    {
        out.push(own, call.place.clone(), false);
        emit_hole(text, calls, call, name, out);
        rest = after;
    }
    out.push(rest, call.place.clone(), false);
    let relation = &text[call.arguments[0].clone()];
    if !call.aliased && !relation.starts_with('(') {
        // So that the relation's own name still goes before its columns.
        let name = relation.rsplit('.').next().unwrap_or(relation);
        out.push(&format!(" AS {name}"), call.place.clone(), false);
    }
}

fn emit_hole(text: &str, calls: &[Call], call: &Call, name: &str, out: &mut Rewritten) {
    let own = |out: &mut Rewritten, text: &str| out.push(text, call.place.clone(), false);
    let argument = |out: &mut Rewritten, number: usize| {
        emit(text, calls, call.arguments[number - 1].clone(), out);
    };
    let cast = |out: &mut Rewritten, number: usize, sql_type: &str| {
        own(out, "CAST((");
        argument(out, number);
        own(out, &format!(") AS {sql_type})"));
    };
    let lengths = call.function.lengths;
    match name {
        "time" => cast(out, 2, "TIMESTAMP"),
        "slide" => cast(out, lengths[0], "INTERVAL"),
        "size" => cast(out, lengths[lengths.len() - 1], "INTERVAL"),
        "origin" => {
            own(out, "TIMESTAMP '1970-01-01 00:00:00'");
            if call.arguments.len() == call.function.arguments.1 {
                own(out, " + ");
                cast(out, call.arguments.len(), "INTERVAL");
            }
        }
        "by" => {
            for number in 4..=call.arguments.len() {
                own(out, "(");
                argument(out, number);
                own(out, "), ");
            }
        }
        number => {
            let number = number.parse().expect("the other holes are numbers");
            argument(out, number);
        }
    }
}
