//! The page to watch: one document with its styles and script in it, so that it needs nothing from anywhere.

use http_body_util::Full;
use hyper::Response;
use hyper::body::Bytes;
use hyper::http::{HeaderValue, StatusCode, header};
use ring::digest::{SHA256, digest};

use super::route::respond;
use crate::format::write_base64;

const DOCUMENT: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");

/// In reading order: what the graph looks like, drawing it, the panels, the loop that asks.
const SCRIPTS: [&str; 4] = [
    include_str!("page/layout.js"),
    include_str!("page/graph.js"),
    include_str!("page/panels.js"),
    include_str!("page/main.js"),
];

/// The places in the document.
const STYLE_PLACE: &str = "/* STYLE */";
const SCRIPT_PLACE: &str = "/* SCRIPT */";

/// The document, and the policy that lets it run its own script and nothing else.
pub struct Page {
    document: String,
    policy: HeaderValue,
}

impl Page {
    pub fn new() -> Self {
        let script = SCRIPTS.join("\n");
        let document = DOCUMENT
            .replace(STYLE_PLACE, STYLE)
            .replace(SCRIPT_PLACE, &script);
        let policy = format!(
            "default-src 'none'; script-src '{}'; style-src '{}'; connect-src 'self'; img-src data:; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            source_hash(&script),
            source_hash(STYLE)
        );
        let policy = HeaderValue::from_str(&policy).expect("it is made of visible characters");
        Self { document, policy }
    }

    pub fn respond(&self) -> Response<Full<Bytes>> {
        let mut response = respond(
            StatusCode::OK,
            "text/html; charset=utf-8",
            self.document.clone(),
        );
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_SECURITY_POLICY, self.policy.clone());
        response
    }
}

/// Returns the name of an inline text in a policy (CSP 3, section 2.3.1).
fn source_hash(text: &str) -> String {
    let digest = digest(&SHA256, text.as_bytes());
    let mut source = b"sha256-".to_vec();
    write_base64(digest.as_ref(), &mut source);
    String::from_utf8(source).expect("base64 is ASCII")
}
