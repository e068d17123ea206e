//! Expressions over the places of one value.
//!
//! Values stay pieces of the document's text as long as possible. What needs jq's own arithmetic or order beyond
//! plain numbers and texts is handed to the interpreter's values, so that there is one meaning of it.

use std::cmp::Ordering;

use jaq_core::ops::{Cmp, Math};
use jaq_json::{Num, Val};

use super::places::Places;
use super::plan::{Cast, Expr, Halt, Operator, Plan, Program, Slice};
use super::split::Split;
use super::walk::Sink;
use crate::format::scan::{Cursor, Text, is_number};
use crate::format::value::{Value, without_lone_surrogates, write_text, write_val};

/// What an expression gave.
#[derive(Clone, Debug)]
pub enum Answer<'t> {
    Value(Value<'t>),
    /// JSON text of its own.
    Made(String),
}

impl<'t> Answer<'t> {
    #[inline]
    pub fn value(&self) -> Value<'_> {
        match self {
            Self::Value(value) => *value,
            Self::Made(text) => Value::of(text),
        }
    }

    /// Returns it as JSON text of its own.
    pub fn into_text(self) -> String {
        match self {
            Self::Made(text) => text,
            Self::Value(value) => written(value),
        }
    }

    pub fn truth(&self) -> bool {
        !matches!(self.value(), Value::Null | Value::Bool(false))
    }

    fn bool(truth: bool) -> Self {
        Self::Value(Value::Bool(truth))
    }

    fn made(mut write: impl FnMut(&mut String)) -> Self {
        let mut text = String::new();
        write(&mut text);
        Self::Made(text)
    }
}

/// Returns a value as compact JSON.
fn written(value: Value<'_>) -> String {
    let mut text = String::new();
    value.write(&mut text);
    text
}

impl Program {
    /// Runs over the value under the cursor and passes it.
    ///
    /// # Errors
    /// Any [`Halt`].
    pub fn run<'t, 'd: 't>(
        &'t mut self,
        cursor: &mut Cursor<'d>,
    ) -> Result<Option<Answer<'t>>, Halt> {
        self.places.find(cursor)?;
        evaluate(&mut self.expr, &self.places, cursor.text())
    }
}

/// Evaluates over the places found in `text`.
///
/// # Errors
/// jq would raise an error, or do something that is not known here.
#[inline]
pub fn evaluate<'t>(
    expr: &'t mut Expr,
    places: &Places,
    text: &'t str,
) -> Result<Option<Answer<'t>>, Halt> {
    match expr {
        Expr::Place(number) => Ok(places.get(*number, text)?.map(Answer::Value)),
        Expr::Constant(raw) => Ok(Some(Answer::Value(Value::of(raw)))),
        composed => evaluate_composed(composed, places, text),
    }
}

/// Says whether a condition holds; one without a value does not. The usual one, that a place is a certain text, is
/// compared as it stands there.
///
/// # Errors
/// As for [`evaluate`].
#[inline]
pub fn holds(condition: &mut Expr, places: &Places, text: &str) -> Result<bool, Halt> {
    if let Expr::Binary(Operator::Compare(Cmp::Eq), left, right) = condition
        && let (Expr::Place(number), Expr::Constant(constant)) = (&**left, &**right)
        && let Some(found) = places.plain_text(*number, text)
        && constant.starts_with('"')
        && !constant.contains('\\')
    {
        return Ok(found == constant);
    }
    let answer = evaluate(condition, places, text)?;
    Ok(answer.is_some_and(|answer| answer.truth()))
}

/// Evaluates what is more than a place or a constant.
fn evaluate_composed<'t>(
    expr: &'t mut Expr,
    places: &Places,
    text: &'t str,
) -> Result<Option<Answer<'t>>, Halt> {
    let answer = match expr {
        Expr::Place(_) | Expr::Constant(_) => unreachable!("these are not composed"),
        Expr::Empty => return Ok(None),
        Expr::Cast(to, inner) => match evaluate(inner, places, text)? {
            Some(answer) => return cast(*to, answer),
            None => return Ok(None),
        },
        Expr::Not(inner) => match evaluate(inner, places, text)? {
            Some(answer) => Answer::bool(!answer.truth()),
            None => return Ok(None),
        },
        Expr::Alternative(left, right) => match evaluate(left, places, text)? {
            Some(answer) if answer.truth() => answer,
            _ => return evaluate(right, places, text),
        },
        Expr::If {
            condition,
            then,
            otherwise,
        } => match evaluate(condition, places, text)? {
            Some(answer) if answer.truth() => return evaluate(then, places, text),
            Some(_) => return evaluate(otherwise, places, text),
            None => return Ok(None),
        },
        Expr::Logic {
            decides,
            left,
            right,
        } => match evaluate(left, places, text)? {
            Some(answer) if answer.truth() == *decides => Answer::bool(*decides),
            Some(_) => match evaluate(right, places, text)? {
                Some(answer) => Answer::bool(answer.truth()),
                None => return Ok(None),
            },
            None => return Ok(None),
        },
        Expr::Binary(operator, left, right) => {
            let left = evaluate(left, places, text)?;
            let right = evaluate(right, places, text)?;
            let (Some(left), Some(right)) = (left, right) else {
                return Ok(None);
            };
            match operator {
                Operator::Compare(operator) => {
                    Answer::bool(compare(*operator, left.value(), right.value()))
                }
                Operator::Math(operator) => calculate(*operator, left.value(), right.value())?,
            }
        }
        Expr::FromEnd(..)
        | Expr::Slice(..)
        | Expr::Array(_)
        | Expr::Object(_)
        | Expr::Collect(..)
        | Expr::Pipe(..) => {
            return construct(expr, places, text);
        }
    };
    Ok(Some(answer))
}

/// The expressions that take values apart or make text of their own.
fn construct<'t>(
    expr: &'t mut Expr,
    places: &Places,
    text: &'t str,
) -> Result<Option<Answer<'t>>, Halt> {
    let mut out = String::new();
    match expr {
        Expr::FromEnd(inner, at) => match evaluate(inner, places, text)? {
            Some(Answer::Value(value)) => return Ok(Some(Answer::Value(from_end(value, *at)?))),
            Some(Answer::Made(made)) => out = written(from_end(Value::of(&made), *at)?),
            None => return Ok(None),
        },
        Expr::Slice(inner, slice) => match evaluate(inner, places, text)? {
            Some(answer) => return Ok(Some(slice_of(&answer.value(), *slice)?)),
            None => return Ok(None),
        },
        Expr::Array(items) => {
            out.push('[');
            for item in items {
                // An item that gives nothing leaves no gap.
                if let Some(answer) = evaluate(item, places, text)? {
                    separate(&mut out, '[');
                    answer.value().write(&mut out);
                }
            }
            out.push(']');
        }
        Expr::Object(members) => {
            out.push('{');
            for (name, value) in members {
                let Some(answer) = evaluate(value, places, text)? else {
                    return Ok(None);
                };
                separate(&mut out, '{');
                write_text(name, &mut out);
                out.push(':');
                answer.value().write(&mut out);
            }
            out.push('}');
        }
        Expr::Collect(input, plan) => match evaluate(input, places, text)? {
            Some(answer) => collect(plan, &answer.into_text(), &mut out)?,
            None => return Ok(None),
        },
        Expr::Pipe(first, then) => match evaluate(first, places, text)? {
            Some(Answer::Value(Value::Nested(raw))) => return then.run(&mut Cursor::new(raw)),
            Some(answer) => {
                let input = answer.into_text();
                match then.run(&mut Cursor::new(&input))? {
                    Some(answer) => out = answer.into_text(),
                    None => return Ok(None),
                }
            }
            None => return Ok(None),
        },
        _ => unreachable!("only these are handed on"),
    }
    Ok(Some(Answer::Made(out)))
}

/// Puts a comma after what is there, if it is more than the opening bracket.
fn separate(out: &mut String, open: char) {
    if out.len() > open.len_utf8() {
        out.push(',');
    }
}

/// Writes the outputs of a plan as an array.
fn collect(plan: &mut Plan, input: &str, out: &mut String) -> Result<(), Halt> {
    out.push('[');
    plan.run(&mut Cursor::new(input), &mut Collected { out }, Split::NONE)?;
    out.push(']');
    Ok(())
}

struct Collected<'o> {
    out: &'o mut String,
}

impl Sink for Collected<'_> {
    type Part = Self;

    fn row(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Halt> {
        separate(self.out, '[');
        Value::of(cursor.value()?).write(self.out);
        Ok(())
    }

    fn object<'v>(
        &mut self,
        names: &[String],
        value_of: impl Fn(usize) -> Value<'v>,
    ) -> Result<(), Halt> {
        separate(self.out, '[');
        write_object(names, value_of, self.out);
        Ok(())
    }
}

/// Appends an object of names and values, by the numbers of the names, as compact JSON.
pub fn write_object<'v>(names: &[String], value_of: impl Fn(usize) -> Value<'v>, out: &mut String) {
    out.push('{');
    for (number, name) in names.iter().enumerate() {
        if number > 0 {
            out.push(',');
        }
        write_text(name, out);
        out.push(':');
        value_of(number).write(out);
    }
    out.push('}');
}

/// Casts as jq does. What it would refuse, or read in a way of its own, is left to it.
fn cast(to: Cast, answer: Answer<'_>) -> Result<Option<Answer<'_>>, Halt> {
    let plain = |raw| {
        Value::Text(Text {
            raw,
            escaped: false,
        })
    };
    let value = match &answer {
        Answer::Value(value) => *value,
        Answer::Made(text) => match (to, Value::of(text)) {
            (Cast::ToNumber, Value::Number(_)) | (Cast::ToString, Value::Text(_)) => {
                return Ok(Some(answer));
            }
            (Cast::ToString, Value::Number(digits)) => {
                return Ok(Some(Answer::made(|text| write_text(digits, text))));
            }
            (Cast::ToString, value @ Value::Nested(_)) => {
                return Ok(Some(text_of_nested(value)));
            }
            _ => return Err(Halt::Unexpected),
        },
    };
    Ok(Some(Answer::Value(match (to, value) {
        (Cast::ToNumber, Value::Number(_)) | (Cast::ToString, Value::Text(_)) => value,
        (Cast::ToNumber, Value::Text(text)) if is_number(text.raw) => Value::of(text.raw),
        // There is no JSON in an empty text, and so no output.
        (Cast::ToNumber, Value::Text(text)) if text.raw.is_empty() => return Ok(None),
        (Cast::ToNumber, _) => return Err(Halt::Unexpected),
        (Cast::ToString, Value::Number(raw)) => plain(raw),
        (Cast::ToString, Value::Bool(true)) => plain("true"),
        (Cast::ToString, Value::Bool(false)) => plain("false"),
        (Cast::ToString, Value::Null) => plain("null"),
        (Cast::ToString, Value::Nested(_)) => return Ok(Some(text_of_nested(value))),
    })))
}

/// Returns the text that jq writes for an array or object.
fn text_of_nested(value: Value<'_>) -> Answer<'static> {
    let text = interpreted(value).to_string();
    Answer::made(|out| write_text(&text, out))
}

/// Returns the value as the interpreter has it.
fn interpreted(value: Value<'_>) -> Val {
    let mut text = String::new();
    match value {
        Value::Nested(raw) => text = without_lone_surrogates(raw),
        other => other.write(&mut text),
    }
    jaq_json::read::parse_single(text.as_bytes())
        .expect("the text was checked, and what the checker accepts the interpreter does")
}

fn slice_of(value: &Value<'_>, slice: Slice) -> Result<Answer<'static>, Halt> {
    match value {
        Value::Text(text) => {
            let text = text.get();
            let (from, to) = slice.within(text.chars().count());
            let part: String = text.chars().skip(from).take(to - from).collect();
            Ok(Answer::made(|out| write_text(&part, out)))
        }
        Value::Nested(raw) if raw.starts_with('[') => {
            let items = items(raw)?;
            let (from, to) = slice.within(items.len());
            let mut out = String::from("[");
            for item in &items[from..to] {
                separate(&mut out, '[');
                Value::of(item).write(&mut out);
            }
            out.push(']');
            Ok(Answer::Made(out))
        }
        _ => Err(Halt::Unexpected),
    }
}

/// Returns the item that a negative index means.
fn from_end(value: Value<'_>, at: i64) -> Result<Value<'_>, Halt> {
    match value {
        // An object has no member of such a name.
        Value::Null => Ok(Value::Null),
        Value::Nested(raw) if raw.starts_with('{') => Ok(Value::Null),
        Value::Nested(raw) => {
            let items = items(raw)?;
            let back = usize::try_from(at.unsigned_abs()).unwrap_or(usize::MAX);
            let at = items.len().checked_sub(back);
            Ok(at.map_or(Value::Null, |at| Value::of(items[at])))
        }
        _ => Err(Halt::Unexpected),
    }
}

/// Returns the text of each item of an array.
fn items(raw: &str) -> Result<Vec<&str>, Halt> {
    let mut items = Vec::new();
    let mut cursor = Cursor::new(raw);
    let mut more = cursor.open(b']')?;
    while more {
        items.push(cursor.value()?);
        more = cursor.next_member(b']')?;
    }
    Ok(items)
}

/// Compares as jq does: `null`, booleans, numbers, texts, arrays, objects, in this order.
fn compare(operator: Cmp, left: Value<'_>, right: Value<'_>) -> bool {
    match order(left, right) {
        Some(order) => match operator {
            Cmp::Lt => order.is_lt(),
            Cmp::Le => order.is_le(),
            Cmp::Gt => order.is_gt(),
            Cmp::Ge => order.is_ge(),
            Cmp::Eq => order.is_eq(),
            Cmp::Ne => order.is_ne(),
        },
        None => operator.run(&interpreted(left), &interpreted(right)),
    }
}

/// Returns the order of two values where it is plain; `None` where the interpreter has to say.
fn order(left: Value<'_>, right: Value<'_>) -> Option<Ordering> {
    let rank = |value: &Value<'_>| match value {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Number(_) => 2,
        Value::Text(_) => 3,
        Value::Nested(raw) if raw.starts_with('[') => 4,
        Value::Nested(_) => 5,
    };
    match (left, right) {
        (Value::Null, Value::Null) => Some(Ordering::Equal),
        (Value::Bool(left), Value::Bool(right)) => Some(left.cmp(&right)),
        (Value::Number(left), Value::Number(right)) => order_of_numbers(left, right),
        (Value::Text(left), Value::Text(right)) if !left.escaped && !right.escaped => {
            Some(left.raw.cmp(right.raw))
        }
        (Value::Text(left), Value::Text(right)) => Some(left.get().cmp(&right.get())),
        (Value::Nested(_), Value::Nested(_)) if rank(&left) == rank(&right) => None,
        _ => Some(rank(&left).cmp(&rank(&right))),
    }
}

fn order_of_numbers(left: &str, right: &str) -> Option<Ordering> {
    let whole = |digits: &str| {
        !digits
            .bytes()
            .any(|byte| matches!(byte, b'.' | b'e' | b'E'))
    };
    match (whole(left), whole(right)) {
        (true, true) => Some(left.parse::<i64>().ok()?.cmp(&right.parse().ok()?)),
        (left_whole, right_whole) => {
            // A whole number that a machine cannot hold is a number of another kind in jq.
            let double = |digits: &str, whole: bool| {
                if whole {
                    digits.parse::<i64>().ok().map(|number| number as f64)
                } else {
                    digits.parse::<f64>().ok()
                }
            };
            let (left, right) = (double(left, left_whole)?, double(right, right_whole)?);
            // Both zeros are one; there is no NaN among the numbers of JSON.
            left.partial_cmp(&right)
        }
    }
}

fn calculate(operator: Math, left: Value<'_>, right: Value<'_>) -> Result<Answer<'static>, Halt> {
    let result: Result<Val, _> = operator.run(interpreted(left), interpreted(right));
    match result {
        // What jq shows of these depends on where it ends up.
        Ok(Val::Num(Num::Float(float))) if !float.is_finite() => Err(Halt::Unexpected),
        Ok(value) => {
            let mut text = String::new();
            write_val(&value, &mut text).map_err(|_| Halt::Unexpected)?;
            Ok(Answer::Made(text))
        }
        Err(_) => Err(Halt::Unexpected),
    }
}
