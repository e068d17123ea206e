//! The certificate authorities that the system trusts, read once per process and only if somebody asks; and
//! what is said of certificates that cannot be used.

use std::sync::OnceLock;

use rustls_pki_types::{CertificateDer, pem};

/// Says what is wrong with a file of certificates.
pub(super) fn pem_fault(error: &pem::Error) -> String {
    match error {
        pem::Error::MissingSectionEnd { end_marker } => format!(
            "it has no `-----END {}-----` line: is it cut off?",
            String::from_utf8_lossy(end_marker).trim()
        ),
        pem::Error::IllegalSectionStart { line } => format!(
            "`{}` does not begin a section as PEM has it",
            String::from_utf8_lossy(line).trim()
        ),
        other => other.to_string(),
    }
}

/// Returns what a TLS connection failed with; where that is a name of the library's, in words.
pub(super) fn tls_fault(error: String) -> String {
    match error.contains("CaUsedAsEndEntity") {
        true => "invalid peer certificate: the server shows the certificate of an authority (`CA:TRUE`) as its own; \
                 it needs one of its own, with `CA:FALSE`"
            .to_owned(),
        false => error,
    }
}

/// What the system's store holds.
pub(super) struct Authorities {
    /// Empty in a bare container.
    pub certificates: Vec<CertificateDer<'static>>,
    /// The first fault met while reading; others may have been read all the same.
    pub fault: Option<String>,
}

/// Returns the system's authorities, by `SSL_CERT_FILE` and `SSL_CERT_DIR` if they are set. The first call
/// reads and parses some hundred files.
pub(super) fn system() -> &'static Authorities {
    static SYSTEM: OnceLock<Authorities> = OnceLock::new();
    SYSTEM.get_or_init(|| {
        let loaded = rustls_native_certs::load_native_certs();
        Authorities {
            certificates: loaded.certs,
            fault: loaded.errors.first().map(ToString::to_string),
        }
    })
}
