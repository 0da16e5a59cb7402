//! Who asks, and why somebody is not let in.

use std::time::Duration;

use super::accounts::{Error as AccountsError, Role, Scope, now_ms};
use super::passwords;
use super::secret::{Digest, Secret};

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Caller {
    /// Nobody who is known.
    Nobody,
    /// Anybody at all, where `--no-auth` was asked for.
    Anybody,
    /// Somebody who logged in.
    User {
        name: String,
        role: Role,
        session: Digest,
        /// When the session ends unless it is used, in milliseconds since the epoch.
        expires_ms: i64,
    },
    /// A program.
    Token { id: String, scope: Scope, owner: Option<String> },
}

impl Caller {
    /// The name of a user.
    pub(crate) fn user(&self) -> Option<&str> {
        match self {
            Self::User { name, .. } => Some(name),
            _ => None,
        }
    }

    /// As the audit log names it.
    pub(crate) fn name(&self) -> Option<String> {
        match self {
            Self::Token { id, .. } => Some(format!("token {id}")),
            other => other.user().map(str::to_owned),
        }
    }
}

/// Why somebody was not let in, or nothing was changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    /// There are no users yet.
    #[error("nobody has set up PerfWatch yet")]
    SetupNeeded,
    /// No such user, or not the password; it is not said which.
    #[error("the user or the password is wrong")]
    Wrong,
    /// After too many wrong passwords.
    #[error("too many wrong passwords")]
    Wait(Duration),
    /// Too many others.
    #[error("too many passwords are being checked")]
    Busy,
    /// The new password is none.
    #[error("a password has 8 to 1,024 bytes")]
    PasswordLength,
    /// The setup link is not the one, was used, or is too old.
    #[error("the setup link is not valid, or not any more")]
    SetupLink,
    /// There are accounts, but they cannot be read.
    #[error("the accounts cannot be used: {0}")]
    Unusable(String),
    #[error(transparent)]
    Accounts(#[from] AccountsError),
    /// What should not happen.
    #[error("{0}")]
    Failed(&'static str),
}

impl From<passwords::Error> for Refused {
    fn from(error: passwords::Error) -> Self {
        match error {
            passwords::Error::Length => Self::PasswordLength,
            passwords::Error::Busy => Self::Busy,
            passwords::Error::Failed => Self::Failed("the password could not be hashed"),
        }
    }
}

/// A session that has just begun.
#[derive(Debug)]
pub(crate) struct Login {
    /// What the cookie is to hold.
    pub(crate) cookie: Secret,
    pub(crate) caller: Caller,
}

pub(super) fn user_caller(name: &str, role: Role, session: Digest, lasts: Duration) -> Caller {
    let lasts_ms = i64::try_from(lasts.as_millis()).unwrap_or(i64::MAX);
    let expires_ms = now_ms().saturating_add(lasts_ms);
    Caller::User { name: name.to_owned(), role, session, expires_ms }
}
