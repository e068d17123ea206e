//! The functions of the trigger in generated columns: `TRIGGER_TIME()` and the like.

use crate::diagnostic::Diagnostic;
use crate::engine::TRIGGER;
use crate::sql::{self, TokenKind};

/// The functions of the trigger, in lower case.
pub const TRIGGER_FUNCTIONS: [&str; 3] =
    ["trigger_time", "trigger_epoch_time", "trigger_time_epoch"];

/// Replaces the trigger functions by the hidden trigger column. Every replacement has the length of
/// what it replaces, so that places in the text stay true.
pub fn replace_trigger_functions(text: &str) -> String {
    let tokens = sql::tokens(text);
    let mut replaced = text.to_owned();
    for window in tokens.windows(3).rev() {
        let [name, open, close] = window else {
            continue;
        };
        if name.kind != TokenKind::Word || !open.is_symbol('(') || !close.is_symbol(')') {
            continue;
        }
        let replacement = match name.text(text).to_lowercase().as_str() {
            "trigger_time" => format!("\"{TRIGGER}\""),
            "trigger_epoch_time" | "trigger_time_epoch" => format!("epoch_ms(\"{TRIGGER}\")"),
            _ => continue,
        };
        let length = close.end - name.start;
        replaced.replace_range(name.start..close.end, &format!("{replacement:<length$}"));
    }
    replaced
}

/// Says how the functions of the trigger are called, if that is the fault.
pub fn tell_of_trigger(diagnostic: &mut Diagnostic) {
    let message = diagnostic.message.to_lowercase();
    let called = TRIGGER_FUNCTIONS
        .into_iter()
        .filter(|name| message.contains(name))
        // One name begins with another one.
        .max_by_key(|name| name.len());
    let Some(name) = called else {
        return;
    };
    let told = match message.strip_prefix("column `") {
        Some(column) if column.split('`').next() != Some(name) => return,
        Some(_) => "the functions of the trigger are written with brackets",
        None => "the functions of the trigger take no arguments",
    };
    diagnostic.message = told.to_owned();
    diagnostic.help = Some(format!("write `{}()`", name.to_uppercase()));
}
