//! `perfwatch tls`: a certificate for a host that has none.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use anyhow::{Context, bail};
use jiff::{Timestamp, ToSpan, civil::Date, tz::TimeZone};
use perfwatch_collect::Host;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use ring::digest::{SHA256, digest};

use crate::cli::TlsInitArgs;
use crate::config::Settings;
use crate::files;

/// How long a certificate holds: the most that Apple's systems accept of one.
const VALID_DAYS: i64 = 825;

/// Writes a key and a certificate signed with it, and prints how to use and to recognize them.
pub(crate) fn init(settings: &Settings, args: &TlsInitArgs) -> anyhow::Result<()> {
    let dir = match &args.dir {
        Some(dir) => dir.clone(),
        None => settings.data_dir()?.join("tls"),
    };
    let (cert_path, key_path) = (dir.join("cert.pem"), dir.join("key.pem"));
    for path in [&cert_path, &key_path] {
        // A link to nowhere is something as well.
        if fs::symlink_metadata(path).is_ok() {
            bail!("{} is there already: remove it, or choose another --dir", path.display());
        }
    }
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&dir)
        .with_context(|| format!("making {}", dir.display()))?;
    let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
    let names = names(settings, &args.name);
    let until = today.checked_add(VALID_DAYS.days())?;
    let key = KeyPair::generate()?;
    let cert = params(&names, today.yesterday()?, until)?.self_signed(&key)?;
    write(&key_path, 0o600, &key.serialize_pem())?;
    write(&cert_path, 0o644, &cert.pem())?;

    let mut out = io::stdout().lock();
    writeln!(out, "certificate  {}", cert_path.display())?;
    writeln!(out, "key          {}", key_path.display())?;
    writeln!(out, "names        {}", names.join(", "))?;
    writeln!(out, "valid until  {until}")?;
    writeln!(out, "fingerprint  {}", fingerprint(cert.der()))?;
    writeln!(out)?;
    writeln!(
        out,
        "Nobody vouches for it: compare the fingerprint (SHA-256) with what the browser shows."
    )?;
    writeln!(
        out,
        "perfwatch serve --tls-cert {} --tls-key {}",
        cert_path.display(),
        key_path.display()
    )?;
    Ok(())
}

/// What this host is called, by itself and by who asked.
fn names(settings: &Settings, given: &[String]) -> Vec<String> {
    let mut names = vec!["localhost".to_owned()];
    names.extend(Host::new(settings.roots.clone()).info().hostname);
    names.extend(
        [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()].map(|ip| ip.to_string()),
    );
    for name in given {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}

fn params(names: &[String], from: Date, until: Date) -> anyhow::Result<CertificateParams> {
    let date = |date: Date| date_time_ymd(date.year().into(), date.month() as u8, date.day() as u8);
    let mut params =
        CertificateParams::new(names).context("a name that a certificate cannot have")?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "PerfWatch, self-signed");
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.not_before = date(from);
    params.not_after = date(until);
    Ok(params)
}

/// Writes a file that was not there; for whom the directory belongs to, whoever runs this.
fn write(path: &Path, mode: u32, text: &str) -> anyhow::Result<()> {
    let write = || -> io::Result<()> {
        let mut file = File::options().write(true).create_new(true).mode(mode).open(path)?;
        files::give_to_owner(&file, path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write().with_context(|| format!("writing {}", path.display()))
}

/// As browsers and `openssl x509 -fingerprint -sha256` show it.
fn fingerprint(der: &[u8]) -> String {
    let bytes = digest(&SHA256, der);
    let pairs: Vec<_> = bytes.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
    pairs.join(":")
}
