//! What may be shown: URLs and texts with everything secret replaced by `***`.
//!
//! Every error text of this connector goes through [`Mask::text`], every URL through
//! [`Mask::shown_url`].

use url::Url;

use super::encoding::percent;
use crate::secret::{Secret, sounds_secret};

/// Shorter secrets are left alone: masking them would make any text unreadable.
const MASKED_BYTES_MIN: usize = 4;

/// What must not be shown: values, and the names of query parameters.
#[derive(Clone, Default)]
pub(super) struct Mask {
    values: Vec<Secret>,
    param_names: Vec<String>,
    /// True if all of a URL but its origin is secret.
    paths: bool,
}

impl Mask {
    /// Hides a value wherever it appears.
    pub fn hide(&mut self, secret: Secret) {
        if secret.expose().len() >= MASKED_BYTES_MIN {
            self.values.push(secret);
        }
    }

    /// Hides the value of a query parameter, whatever it is.
    pub fn hide_param(&mut self, name: impl Into<String>) {
        self.param_names.push(name.into());
    }

    /// Hides all of a URL but its origin, as of one that is itself a secret.
    pub fn hide_paths(&mut self) {
        self.paths = true;
    }

    /// Returns the values given to [`Mask::hide`].
    pub fn values(&self) -> &[Secret] {
        &self.values
    }

    /// Returns the names given to [`Mask::hide_param`]: configured parameters whose values must also
    /// stay out of the state.
    pub fn param_names(&self) -> &[String] {
        &self.param_names
    }

    /// Returns the text with every hidden value, also in its percent-encoded form, as `***`.
    pub fn text(&self, text: &str) -> String {
        let mut masked = text.to_owned();
        for secret in &self.values {
            masked = masked.replace(secret.expose(), "***");
            let encoded = percent(secret.expose());
            if encoded != secret.expose() {
                masked = masked.replace(&encoded, "***");
            }
        }
        masked
    }

    /// Returns a URL without credentials and with the values of secret query parameters as `***`:
    /// those hidden by name, and those whose name sounds like a secret.
    pub fn shown_url(&self, url: &Url) -> String {
        if self.paths {
            return format!("{}/***", url.origin().ascii_serialization());
        }
        let mut shown = url.clone();
        // Both fail only for URLs that cannot have credentials, and those have none to remove.
        if !url.username().is_empty() || url.password().is_some() {
            shown.set_username("").ok();
            shown.set_password(None).ok();
        }
        let query: Option<Vec<String>> = url.query().map(|query| {
            let pairs = query.split('&').map(|pair| match pair.split_once('=') {
                Some((name, _)) if self.is_secret(name) => format!("{name}=***"),
                _ => pair.to_owned(),
            });
            pairs.collect()
        });
        shown.set_query(query.map(|pairs| pairs.join("&")).as_deref());
        self.text(shown.as_str())
    }

    fn is_secret(&self, name: &str) -> bool {
        let plain = percent_encoding::percent_decode_str(name).decode_utf8_lossy();
        let mut hidden = self.param_names.iter();
        hidden.any(|hidden| hidden.eq_ignore_ascii_case(&plain)) || sounds_secret(name)
    }
}

/// Returns the first bytes of a body as text, for a message.
pub(super) fn snippet(body: &[u8]) -> String {
    /// Enough to recognise an error page or an error object.
    const SNIPPET_BYTES_MAX: usize = 200;
    let cut = &body[..body.len().min(SNIPPET_BYTES_MAX)];
    let text = String::from_utf8_lossy(cut);
    let mut text: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if body.len() > SNIPPET_BYTES_MAX {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_hide_credentials_and_secret_params() {
        let mut mask = Mask::default();
        mask.hide(Secret::new("s3cr/t"));
        mask.hide_param("who");
        let url = Url::parse("https://u:p@h.test/a/s3cr%2Ft?x=1&who=me&api_key=abc&b").unwrap();
        assert_eq!(
            mask.shown_url(&url),
            "https://h.test/a/***?x=1&who=***&api_key=***&b"
        );
        mask.hide_paths();
        assert_eq!(mask.shown_url(&url), "https://h.test/***");
    }

    #[test]
    fn a_snippet_is_one_short_line() {
        assert_eq!(snippet(b"<html>\n  <b>no</b>"), "<html> <b>no</b>");
        assert!(snippet(&[b'x'; 300]).ends_with("x…"));
    }
}
