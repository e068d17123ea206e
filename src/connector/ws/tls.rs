//! Whom to trust on `wss://`: the system's authorities, and those of `tls.ca`.
//!
//! Knows nothing of sockets. The option's file is read when the options are taken, the system's store
//! when a source is opened.

use std::sync::Arc;

use anyhow::Context as _;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use crate::connector::authorities;

/// Reads the certificates of a PEM file.
///
/// # Errors
/// The file cannot be read, holds none, or one that cannot be trusted.
pub(super) fn read_authorities(path: &str) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let pem = std::fs::read(path)?;
    let mut certificates = Vec::new();
    for (index, certificate) in CertificateDer::pem_slice_iter(&pem).enumerate() {
        let invalid = || format!("certificate {} of the file is not valid", index + 1);
        let certificate = certificate
            .map_err(|error| anyhow::Error::msg(authorities::pem_fault(&error)))
            .with_context(invalid)?;
        RootCertStore::empty()
            .add(certificate.clone())
            .with_context(invalid)?;
        certificates.push(certificate);
    }
    anyhow::ensure!(!certificates.is_empty(), "it holds no PEM certificate");
    Ok(certificates)
}

/// Makes the configuration that trusts the system's authorities and the given ones.
///
/// # Errors
/// There is nobody to trust: the system has no readable authority and none is given.
pub(super) fn client_config(
    authorities: &[CertificateDer<'static>],
) -> anyhow::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    let system = authorities::system();
    // A store has always some that are too old to parse; they are trusted by nobody.
    roots.add_parsable_certificates(system.certificates.iter().cloned());
    for authority in authorities {
        roots.add(authority.clone())?;
    }
    if roots.is_empty() {
        match &system.fault {
            Some(fault) => anyhow::bail!("cannot read the system's certificates: {fault}"),
            None => {
                anyhow::bail!("the system trusts no certificate authority: name one with `tls.ca`")
            }
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
