//! The certificate authorities that the system trusts, read once per process and only if somebody asks.

use std::sync::OnceLock;

use rustls_pki_types::CertificateDer;

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
