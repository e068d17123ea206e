//! Texts with `$param` in them: parsed once, filled in per lookup.
//!
//! `$name` stands for a declared param, `$$` for a dollar sign; a `$` before anything but a letter or
//! `_` is itself. Knows nothing of where a text lands: the caller escapes each value for its place.
//! (`${NAME}` of the environment is replaced before a text gets here; what it holds is never a template.)

use serde_json::Value;

use crate::batch::Column;
use crate::diagnostic::Diagnostic;
use crate::options::Text;

/// A run of literal text, or the number of a param in the declared order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Literal(String),
    Param(usize),
}

/// A text cut at its params.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Template {
    pieces: Vec<Piece>,
}

/// Shows the params only: the literal pieces may have come from a secret.
impl std::fmt::Debug for Template {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let params = self
            .pieces
            .iter()
            .filter(|piece| matches!(piece, Piece::Param(_)));
        formatter.debug_list().entries(params).finish()
    }
}

/// A place in a template's source text that names no declared param.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct UnknownParam {
    pub name: String,
    /// Bytes of the source text, the `$` included.
    pub start: usize,
    pub end: usize,
}

impl Template {
    /// Parses an option's value. A secret or a variable of the environment is taken as it is: what it holds
    /// is never a template.
    ///
    /// # Errors
    /// Every `$name` that is no declared param, at its place.
    pub fn of_option(text: &Text, params: &[Column]) -> Result<Self, Vec<Diagnostic>> {
        let mut cut = Cut::default();
        for part in text.parts() {
            if part.foreign {
                cut.literal.push_str(part.text);
            } else {
                cut.template((part.start, part.text), params);
            }
        }
        cut.finish().map_err(|unknown| {
            let faults = unknown
                .into_iter()
                .map(|param| unknown_param(text, &param, params));
            faults.collect()
        })
    }

    /// Parses a text.
    ///
    /// # Errors
    /// Every `$name` that is no declared param.
    pub fn parse(text: &str, params: &[Column]) -> Result<Self, Vec<UnknownParam>> {
        let mut cut = Cut::default();
        cut.template((0, text), params);
        cut.finish()
    }

    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// Returns the params used, in order of appearance.
    pub fn params(&self) -> impl Iterator<Item = usize> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Param(index) => Some(*index),
            Piece::Literal(_) => None,
        })
    }

    /// Says whether a param follows before the literal text in front of it is `over`.
    pub fn has_param_before(&self, over: impl Fn(&str) -> bool) -> bool {
        let param = |piece: &Piece| matches!(piece, Piece::Param(_));
        let Some(first) = self.pieces.iter().position(param) else {
            return false;
        };
        let literals = self.pieces[..first].iter().map(|piece| match piece {
            Piece::Literal(literal) => literal.as_str(),
            Piece::Param(_) => "",
        });
        !over(&literals.collect::<String>())
    }

    /// Returns the param if the whole text is one.
    pub fn sole_param(&self) -> Option<usize> {
        match self.pieces.as_slice() {
            [Piece::Param(index)] => Some(*index),
            _ => None,
        }
    }

    /// Returns the text with every param replaced by what `escape` makes of its value.
    pub fn render(&self, values: &[Value], escape: impl Fn(&str) -> String) -> String {
        let mut text = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Literal(literal) => text.push_str(literal),
                Piece::Param(index) => text.push_str(&escape(&value_text(&values[*index]))),
            }
        }
        text
    }
}

/// A text while it is cut into pieces.
#[derive(Default)]
struct Cut {
    pieces: Vec<Piece>,
    literal: String,
    unknown: Vec<UnknownParam>,
}

impl Cut {
    /// Adds a text with params in it, which begins at a byte of the whole.
    fn template(&mut self, (start, text): (usize, &str), params: &[Column]) {
        let mut at = 0;
        while let Some(found) = text[at..].find('$') {
            let dollar = at + found;
            self.literal.push_str(&text[at..dollar]);
            let rest = &text[dollar + 1..];
            let name = &rest[..name_length(rest)];
            if name.is_empty() {
                self.literal.push('$');
                at = dollar + if rest.starts_with('$') { 2 } else { 1 };
                continue;
            }
            at = dollar + 1 + name.len();
            let is_named = |param: &Column| param.name.eq_ignore_ascii_case(name);
            match params.iter().position(is_named) {
                Some(index) => {
                    self.end_literal();
                    self.pieces.push(Piece::Param(index));
                }
                None => self.unknown.push(UnknownParam {
                    name: name.to_owned(),
                    start: start + dollar,
                    end: start + at,
                }),
            }
        }
        self.literal.push_str(&text[at..]);
    }

    fn end_literal(&mut self) {
        if !self.literal.is_empty() {
            let literal = std::mem::take(&mut self.literal);
            self.pieces.push(Piece::Literal(literal));
        }
    }

    fn finish(mut self) -> Result<Template, Vec<UnknownParam>> {
        self.end_literal();
        if self.pieces.is_empty() {
            self.pieces.push(Piece::Literal(String::new()));
        }
        match self.unknown.is_empty() {
            true => Ok(Template {
                pieces: self.pieces,
            }),
            false => Err(self.unknown),
        }
    }
}

fn name_length(text: &str) -> usize {
    let first = |c: char| c.is_ascii_alphabetic() || c == '_';
    if !text.starts_with(first) {
        return 0;
    }
    text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .unwrap_or(text.len())
}

fn unknown_param(text: &Text, param: &UnknownParam, params: &[Column]) -> Diagnostic {
    let span = text.part(param.start, param.end);
    let name = &param.name;
    if params.is_empty() {
        let message = format!("`${name}` is not declared: only a lookup has params");
        return Diagnostic::new(span, message)
            .help(format!("write `$${name}` for a literal dollar sign"));
    }
    let message = format!("param `${name}` is not declared");
    let names: Vec<&str> = params.iter().map(|param| param.name.as_str()).collect();
    match crate::diagnostic::nearest(name, names) {
        Some(near) => Diagnostic::new(span, message).help(format!("did you mean `${near}`?")),
        None => Diagnostic::new(span, message).help(format!(
            "declare `${name} TYPE` in the column list, or write `$${name}` for a literal dollar sign"
        )),
    }
}

/// Returns a value as a text on the wire: strings raw, numbers without exponent, `true` and `false`,
/// lists and objects as JSON.
pub(super) fn value_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(integer), _, _) => integer.to_string(),
            (_, Some(integer), _) => integer.to_string(),
            // Rust prints the shortest decimal that reads back, never with an exponent.
            (_, _, Some(float)) => float.to_string(),
            _ => number.to_string(),
        },
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn params() -> Vec<Column> {
        ["symbol", "side"]
            .map(|name| Column {
                name: name.to_owned(),
                sql_type: "VARCHAR".to_owned(),
                arrow: crate::batch::datatypes::DataType::Utf8,
                nullable: false,
                in_key: false,
            })
            .to_vec()
    }

    #[test]
    fn params_are_cut_out_and_dollars_stay() {
        let template = Template::parse("a$symbol-$Side$$x $5 $", &params()).unwrap();
        let values = [json!("B"), json!(7)];
        assert_eq!(template.render(&values, str::to_owned), "aB-7$x $5 $");
    }

    #[test]
    fn an_unknown_param_is_found_at_its_place() {
        let unknown = Template::parse("ü$symbl", &params()).unwrap_err();
        assert_eq!((unknown[0].start, unknown[0].end), (2, 8));
    }

    #[test]
    fn numbers_have_no_exponent() {
        let texts = [
            json!(1e21),
            json!(1e-9),
            json!(-3),
            json!(u64::MAX),
            json!(true),
        ]
        .map(|v| value_text(&v));
        let expected = [
            "1000000000000000000000",
            "0.000000001",
            "-3",
            "18446744073709551615",
            "true",
        ];
        assert_eq!(texts, expected);
    }
}
