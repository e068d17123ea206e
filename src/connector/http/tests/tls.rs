//! TLS: the authorities that are trusted.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::{HTTP, Run, rows, source};
use crate::batch::datatypes::DataType;
use crate::connector::testing;

/// Serves one row over TLS, and returns the URL and the certificate it shows.
fn serve(is_authority: rcgen::IsCa) -> (String, String) {
    let signing_key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    params.is_ca = is_authority;
    let certificate = params.self_signed(&signing_key).unwrap();
    let key = rustls_pki_types::PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = StreamOwned::new(connection, stream);
            // A client that does not trust the certificate ends here.
            if stream.read(&mut [0; 4096]).is_ok() {
                let body = rows([1]);
                let answer = format!(
                    "HTTP/1.1 200 X\r\ncontent-length: {}\r\n\r\n{body}",
                    body.len()
                );
                stream.write_all(answer.as_bytes()).unwrap();
            }
        }
    });
    (url, certificate.pem())
}

#[test]
fn a_given_authority_is_trusted_and_an_unknown_one_is_not() {
    let (url, pem) = serve(rcgen::IsCa::NoCa);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pem");
    std::fs::write(&path, pem).unwrap();
    let trusting = source(&url, &format!("tls.ca = '{}'", path.display()));
    let mut run = Run::open(&*trusting, None);
    run.read(0).unwrap();
    assert_eq!(run.all_ids(), [1]);
    let doubting = source(&url, "retry.max_attempts = 1");
    let error = Run::open(&*doubting, None).read(0).unwrap_err().to_string();
    assert!(error.contains("certificate"), "{error}");
}

#[test]
fn an_authority_that_serves_itself_is_told_in_words() {
    let unconstrained = rcgen::BasicConstraints::Unconstrained;
    let (url, pem) = serve(rcgen::IsCa::Ca(unconstrained));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pem");
    std::fs::write(&path, pem).unwrap();
    let with = format!("tls.ca = '{}', retry.max_attempts = 1", path.display());
    let trusting = source(&url, &with);
    let error = Run::open(&*trusting, None).read(0).unwrap_err().to_string();
    assert!(
        error.contains("the certificate of an authority (`CA:TRUE`)"),
        "{error}"
    );
}

#[test]
fn a_file_that_is_cut_off_is_told_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pem");
    std::fs::write(&path, "-----BEGIN CERTIFICATE-----\nMTIz\n").unwrap();
    let with = format!(
        "url = 'https://h/', interval = '1s', tls.ca = '{}'",
        path.display()
    );
    let made = testing::source(&HTTP, &[("id", DataType::Int64)], &with);
    testing::assert_fault(
        made,
        &["it has no `-----END CERTIFICATE-----` line: is it cut off?"],
    );
}
