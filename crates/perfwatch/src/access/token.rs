//! Making API tokens.

use std::io;

use super::accounts::{Scope, Token, now_ms};
use super::secret::{Digest, Secret, hexadecimal, new_secret, random};

/// What every token begins with, so that it is recognized where it should not be.
const PREFIX: &str = "pw_";

impl Token {
    /// Makes one, and what is kept of it. `owner`: as there. Fails when there are no random bytes.
    pub(crate) fn made(
        name: &str,
        scope: Scope,
        owner: Option<String>,
    ) -> io::Result<(Secret, Self)> {
        let secret = new_secret(PREFIX)?;
        let token = Self {
            id: hexadecimal(&random::<8>()?),
            name: name.to_owned(),
            scope,
            digest: Digest::of(secret.reveal()).text().into(),
            owner,
            created_ms: now_ms(),
            last_used_ms: None,
        };
        Ok((secret, token))
    }
}
