//! `wss://` with an authority of one's own.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use async_tungstenite::tungstenite::{Message, accept};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use rustls_pki_types::PrivateKeyDer;

use crate::harness::{Run, try_source};

struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            pem,
            issuer: Issuer::new(params, key),
        }
    }

    /// Serves one text message per connection under a certificate for `localhost`.
    fn serve(&self) -> SocketAddr {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::Pkcs8(key.serialize_der().into()),
            )
            .unwrap();
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let config = Arc::clone(&config);
                // A client that does not trust us ends its handshake.
                std::thread::spawn(move || {
                    converse(stream.unwrap(), &config).unwrap_or_default();
                });
            }
        });
        address
    }
}

fn converse(stream: TcpStream, config: &Arc<ServerConfig>) -> anyhow::Result<()> {
    let session = ServerConnection::new(Arc::clone(config))?;
    let mut socket =
        accept(StreamOwned::new(session, stream)).map_err(|error| anyhow::anyhow!("{error}"))?;
    socket.send(Message::text(r#"{"a":1}"#))?;
    loop {
        socket.read()?;
    }
}

#[test]
fn a_given_authority_is_trusted_and_others_are_not() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pem");
    std::fs::write(&path, &authority.pem).unwrap();
    let port = authority.serve().port();

    let mut run = Run::open(&format!(
        "url = 'wss://localhost:{port}/', tls.ca = '{}'",
        path.display()
    ));
    run.until_rows(1);

    let refused = |host: &str| {
        let with = format!(
            "url = 'wss://{host}:{port}/', tls.ca = '{}'",
            path.display()
        );
        let mut run = Run::open(&with);
        run.until("the refusal", |run| !run.warnings().is_empty());
        run.warnings().remove(0)
    };
    let name = refused("127.0.0.1");
    let expected = "cannot connect: invalid peer certificate: certificate not valid for name";
    assert!(name.starts_with(expected), "{name}");
    std::fs::write(&path, Authority::new().pem).unwrap();
    let stranger = refused("localhost");
    assert!(
        stranger.starts_with("cannot connect: invalid peer certificate"),
        "{stranger}"
    );
}

#[test]
fn an_unreadable_authority_is_a_fault_at_its_option() {
    let Err(faults) = try_source("url = 'wss://localhost/', tls.ca = '/nowhere/ca.pem'") else {
        panic!("the file is not there");
    };
    assert!(
        faults.contains("`tls.ca` cannot be used: No such file"),
        "{faults}"
    );
    assert!(faults.contains("'/nowhere/ca.pem'"), "{faults}");
}
