//! The certificate that is shown to who speaks TLS: read from files, and again when they change.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::Arc,
    time::Duration,
};

use parking_lot::RwLock;
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use sha2::{Digest, Sha256};

use crate::settings::TlsFiles;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// The largest file that is read.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// Those who are neither the file's owner nor of its group.
const OTHERS: u32 = 0o007;
/// The protocols that are spoken over TLS, the one that is liked best first.
const PROTOCOLS: [&[u8]; 2] = [HTTP2, b"http/1.1"];
pub const HTTP2: &[u8] = b"h2";

/// Why a certificate cannot be used; names the setting and its file.
#[derive(Debug, thiserror::Error)]
#[error("{key}: {path}: {what}")]
pub struct CertificateError {
    key: &'static str,
    path: String,
    what: String,
}

/// The certificate in use.
pub struct Certificate {
    files: TlsFiles,
    shown: RwLock<Shown>,
}

#[derive(Debug)]
struct Shown {
    certified: Arc<CertifiedKey>,
    /// Of what the files held when they were last read, whatever came of it.
    digest: [u8; 32],
}

/// What the two files hold.
struct Contents {
    chain: Vec<u8>,
    key: Vec<u8>,
}

impl Certificate {
    /// Reads it; blocks.
    ///
    /// # Errors
    /// A file cannot be read, is not what it is to be, or the two do not belong together.
    pub fn read(files: TlsFiles) -> Result<Arc<Self>, CertificateError> {
        let contents = Contents::read(&files)?;
        let shown = Shown { certified: contents.certified(&files)?, digest: contents.digest() };
        warn_if_open(&files.key);
        Ok(Arc::new(Self { files, shown: RwLock::new(shown) }))
    }

    /// How TLS is spoken with this certificate, whichever it is when a connection comes.
    ///
    /// # Errors
    /// The library's own parts do not fit together.
    pub fn server(self: &Arc<Self>) -> Result<Arc<ServerConfig>, rustls::Error> {
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions()?.with_no_client_auth();
        let mut config = builder.with_cert_resolver(Arc::new(Resolver(self.clone())));
        config.alpn_protocols = PROTOCOLS.map(Vec::from).into();
        Ok(Arc::new(config))
    }

    /// Looks at the files again and again; who connects once they have changed is shown what they hold then.
    pub async fn follow(self: Arc<Self>) {
        let mut unread = false;
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let certificate = self.clone();
            let looked = tokio::task::spawn_blocking(move || certificate.look()).await;
            match looked.unwrap_or(Ok(false)) {
                Ok(true) => tracing::info!(path = %self.files.certificate.display(), "the certificate was read again"),
                Ok(false) => {}
                // Once for each change, and once while a file cannot be read.
                Err(Look::Wrong(error)) => tracing::warn!(%error, "the certificate in use stays"),
                Err(Look::Unread(error)) if !unread => {
                    unread = true;
                    tracing::warn!(%error, "the certificate in use stays");
                    continue;
                }
                Err(Look::Unread(_)) => continue,
            }
            unread = false;
        }
    }

    /// Takes what the files hold if it is not what they held before; whether it was taken.
    fn look(&self) -> Result<bool, Look> {
        let contents = Contents::read(&self.files).map_err(Look::Unread)?;
        let digest = contents.digest();
        if self.shown.read().digest == digest {
            return Ok(false);
        }
        let certified = contents.certified(&self.files);
        let mut shown = self.shown.write();
        shown.digest = digest;
        shown.certified = certified.map_err(Look::Wrong)?;
        drop(shown);
        warn_if_open(&self.files.key);
        Ok(true)
    }
}

/// Why files that changed are not taken.
enum Look {
    Unread(CertificateError),
    Wrong(CertificateError),
}

/// What rustls asks for the certificate, once for each handshake.
struct Resolver(Arc<Certificate>);

impl std::fmt::Debug for Resolver {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_tuple("Resolver").field(&self.0.files).finish()
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.shown.read().certified.clone())
    }
}

impl Contents {
    fn read(files: &TlsFiles) -> Result<Self, CertificateError> {
        let chain = read(&files.certificate).map_err(|error| in_certificate(files, &error))?;
        let key = read(&files.key).map_err(|error| in_key(files, &error))?;
        Ok(Self { chain, key })
    }

    fn digest(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        digest.update((self.chain.len() as u64).to_le_bytes());
        digest.update(&self.chain);
        digest.update(&self.key);
        digest.finalize().into()
    }

    fn certified(&self, files: &TlsFiles) -> Result<Arc<CertifiedKey>, CertificateError> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.chain).collect();
        let chain = chain.map_err(|error| in_certificate(files, &error))?;
        if chain.is_empty() {
            return Err(in_certificate(files, &"it holds no certificate in PEM form"));
        }
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|error| match error {
            rustls::pki_types::pem::Error::NoItemsFound => in_key(files, &"it holds no private key in PEM form"),
            error => in_key(files, &error),
        })?;
        CertifiedKey::from_der(chain, key, &ring::default_provider()).map(Arc::new).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                let other = format!("it is not the key of the certificate in {}", files.certificate.display());
                in_key(files, &other)
            }
            rustls::Error::InvalidCertificate(_) => in_certificate(files, &error),
            error => in_key(files, &error),
        })
    }
}

fn in_certificate(files: &TlsFiles, what: &dyn ToString) -> CertificateError {
    CertificateError { key: "server.tls.cert", path: files.certificate.display().to_string(), what: what.to_string() }
}

fn in_key(files: &TlsFiles, what: &dyn ToString) -> CertificateError {
    CertificateError { key: "server.tls.key", path: files.key.display().to_string(), what: what.to_string() }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is larger than {FILE_BYTES_MAX} bytes")));
    }
    Ok(bytes)
}

fn warn_if_open(key: &Path) {
    let is_open = std::fs::metadata(key).is_ok_and(|metadata| metadata.permissions().mode() & OTHERS != 0);
    if is_open {
        tracing::warn!(path = %key.display(), "server.tls.key: others may read the key; its mode should be 0600 or 0640");
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tls/");

    fn copied(folder: &Path, cert: &str, key: &str) -> TlsFiles {
        let files = TlsFiles { certificate: folder.join("cert.pem"), key: folder.join("key.pem") };
        fs::copy(format!("{DATA}{cert}"), &files.certificate).unwrap();
        fs::copy(format!("{DATA}{key}"), &files.key).unwrap();
        files
    }

    #[test]
    fn a_wrong_file_is_named_with_its_setting() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |files: TlsFiles| Certificate::read(files).map(|_| ()).unwrap_err().to_string();
        let files = copied(folder.path(), "one.cert.pem", "two.key.pem");
        let error = refused(files.clone());
        assert!(
            error.contains("server.tls.key") && error.contains("key.pem") && error.contains("not the key of"),
            "{error}"
        );
        fs::write(&files.key, "-----BEGIN NONSENSE").unwrap();
        let error = refused(files.clone());
        assert!(error.contains("server.tls.key") && error.contains("key.pem"), "{error}");
        let files = copied(folder.path(), "one.key.pem", "one.key.pem");
        let error = refused(files.clone());
        assert!(error.contains("server.tls.cert") && error.contains("no certificate"), "{error}");
        fs::write(&files.certificate, vec![b'x'; 2 << 20]).unwrap();
        let error = refused(files.clone());
        assert!(error.contains("server.tls.cert") && error.contains("larger"), "{error}");
        fs::remove_file(&files.certificate).unwrap();
        let error = refused(files);
        assert!(error.contains("server.tls.cert") && error.contains("cert.pem"), "{error}");
    }

    #[test]
    fn what_changed_is_taken_once_and_what_is_wrong_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let certificate = Certificate::read(copied(folder.path(), "one.cert.pem", "one.key.pem")).unwrap();
        let shown = || certificate.shown.read().certified.cert[0].clone();
        let first = shown();
        assert!(matches!(certificate.look(), Ok(false)));
        copied(folder.path(), "two.cert.pem", "one.key.pem");
        assert!(matches!(certificate.look(), Err(Look::Wrong(_))));
        assert!(matches!(certificate.look(), Ok(false)), "told once");
        assert_eq!(shown(), first);
        copied(folder.path(), "two.cert.pem", "two.key.pem");
        assert!(matches!(certificate.look(), Ok(true)));
        assert_ne!(shown(), first);
        fs::remove_file(folder.path().join("key.pem")).unwrap();
        assert!(matches!(certificate.look(), Err(Look::Unread(_))));
    }
}
