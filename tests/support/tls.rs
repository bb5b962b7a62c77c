//! Certificates for tests, and clients that speak TLS with a daemon.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    process::Command,
    sync::Arc,
    time::Duration,
};

use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::ring,
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};

use super::{Daemon, Setup};

/// Self-signed, of P-256, for localhost and 127.0.0.1, until 2126; nobody has them but these tests.
const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tls/");

/// Puts a certificate, or its key, where a daemon reads it: all of it at once, as those do that renew certificates.
pub fn put(folder: &Path, certificate: &str, key: &str) {
    for (name, from) in [("cert.pem", format!("{certificate}.cert.pem")), ("key.pem", format!("{key}.key.pem"))] {
        let new = folder.join("new.pem");
        fs::copy(format!("{DATA}{from}"), &new).unwrap();
        fs::rename(new, folder.join(name)).unwrap();
    }
}

/// A daemon that speaks TLS with the certificate `one`, whose files lie in the folder beside the store.
pub fn setup(folder: &Path) -> Setup {
    put(folder, "one", "one");
    let path = |name: &str| folder.join(name).display().to_string();
    Setup::new(&folder.join("data")).set("server.tls.cert", path("cert.pem")).set("server.tls.key", path("key.pem"))
}

/// The certificate of this name.
pub fn certificate(name: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(format!("{DATA}{name}.cert.pem")).unwrap()
}

/// What curl prints that does not ask who a certificate is from.
pub fn curl(arguments: &[&str]) -> String {
    let output = Command::new("curl").args(["-skg", "--max-time", "30"]).args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{arguments:?}: {} {}", output.status, text(&output.stdout));
    text(&output.stdout)
}

pub type Stream = StreamOwned<ClientConnection, TcpStream>;

/// A connection that speaks one of these protocols, once client and server have agreed on it.
pub fn connect(daemon: &Daemon, protocols: &[&str]) -> std::io::Result<Stream> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = builder.dangerous().with_custom_certificate_verifier(Arc::new(Anyone)).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    let session = ClientConnection::new(Arc::new(config), ServerName::try_from("localhost").unwrap()).unwrap();
    let socket = TcpStream::connect(&daemon.address)?;
    socket.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut stream = StreamOwned::new(session, socket);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(stream)
}

/// Asks for a path over a connection that is kept; the beginning of the answer.
pub fn ask(stream: &mut Stream, path: &str) -> std::io::Result<String> {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes())?;
    let mut answer = [0; 4096];
    let count = stream.read(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer[..count]).into_owned())
}

/// Believes every certificate.
#[derive(Debug)]
struct Anyone;

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = ring::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = ring::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
