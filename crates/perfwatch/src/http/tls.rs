//! The certificate and the key that connections are encrypted with, read anew on demand.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use anyhow::{Context, anyhow, bail};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{Error as PemError, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{Error, InconsistentKeys, ServerConfig};
use tracing::warn;

use crate::config::TlsFiles;

/// Larger than any chain of certificates.
const MAX_PEM_BYTES: u64 = 1 << 20;

/// TLS as it is at the moment.
#[derive(Debug)]
pub(crate) struct Tls {
    files: TlsFiles,
    config: RwLock<Arc<ServerConfig>>,
}

impl Tls {
    /// Reads both files. The error says which is wrong, and how.
    pub(crate) fn load(files: TlsFiles) -> anyhow::Result<Self> {
        let config = RwLock::new(read(&files)?);
        Ok(Self { files, config })
    }

    /// Reads them again. What is not right changes nothing.
    pub(crate) fn reload(&self) -> anyhow::Result<()> {
        let config = read(&self.files)?;
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
        Ok(())
    }

    /// What a new connection is encrypted with.
    pub(super) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner))
    }
}

fn read(files: &TlsFiles) -> anyhow::Result<Arc<ServerConfig>> {
    let (cert, key) = (files.cert.display(), files.key.display());
    let chain = certificates(&files.cert).with_context(|| format!("TLS certificate {cert}"))?;
    let private = private_key(&files.key).with_context(|| format!("TLS key {key}"))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(|error| match error {
            Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                anyhow!("TLS key {key} is not the one of the certificate {cert}")
            }
            Error::InvalidCertificate(why) => anyhow!("TLS certificate {cert}: {why}"),
            error => anyhow!("TLS certificate {cert} and key {key}: {error}"),
        })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn certificates(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let pem = contents(path)?;
    let chain = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|error| anyhow!("not PEM: {error}"))?;
    if chain.is_empty() {
        bail!("no PEM: there is no line -----BEGIN CERTIFICATE-----");
    }
    Ok(chain)
}

fn private_key(path: &Path) -> anyhow::Result<PrivateKeyDer<'static>> {
    let pem = contents(path)?;
    let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|error| match error {
        PemError::NoItemsFound => {
            anyhow!("there is no private key in PEM, or it is encrypted (-----BEGIN PRIVATE KEY----- is wanted)")
        }
        error => anyhow!("not PEM: {error}"),
    })?;
    let mode = fs::metadata(path)?.permissions().mode();
    if mode & 0o007 != 0 {
        let mode = format!("{:04o}", mode & 0o7777);
        warn!(key = %path.display(), mode, "everybody on this host can read the TLS key: chmod 0600 it");
    }
    Ok(key)
}

fn contents(path: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_PEM_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_PEM_BYTES {
        bail!("more than {MAX_PEM_BYTES} bytes");
    }
    Ok(bytes)
}
