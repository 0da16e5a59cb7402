//! Secrets: made of 256 random bits, handed out once, and kept as their digest alone.

use std::fmt::{self, Write};
use std::io;

use rustix::rand::{GetRandomFlags, getrandom};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Bytes of a secret: nobody guesses 256 bits, so one round of SHA-256 is enough to keep it by.
const SECRET_BYTES: usize = 32;

/// A text that no log, error or dump ever shows.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Secret(String);

impl Secret {
    /// The text itself, for the one who is to have it.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// What a secret is recognized by.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Digest([u8; SECRET_BYTES]);

impl Digest {
    pub(crate) fn of(secret: &str) -> Self {
        Self(Sha256::digest(secret.as_bytes()).into())
    }

    /// As the file of accounts has it.
    pub(crate) fn text(&self) -> String {
        hexadecimal(&self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(digest)")
    }
}

/// Random bytes of the kernel's.
pub(crate) fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    let count = getrandom(&mut bytes, GetRandomFlags::empty())?;
    if count == N { Ok(bytes) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// A new secret after a prefix: 64 hexadecimal digits.
pub(crate) fn new_secret(prefix: &str) -> io::Result<Secret> {
    Ok(Secret(format!("{prefix}{}", hexadecimal(&random::<SECRET_BYTES>()?))))
}

/// Two digits for each byte.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_shown() {
        let secret = new_secret("pw_").unwrap();
        assert_eq!(secret.reveal().len(), 3 + 64);
        assert_eq!(format!("{secret:?}"), "(secret)");
        assert_eq!(format!("{:?}", Digest::of(secret.reveal())), "(digest)");
        assert_ne!(secret.reveal(), new_secret("pw_").unwrap().reveal());
    }

    #[test]
    fn the_digest_is_sha_256() {
        // `printf abc | sha256sum`
        let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Digest::of("abc").text(), known);
    }
}
