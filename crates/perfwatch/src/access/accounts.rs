//! Users and API tokens, in a file of their own: `accounts.json` in the data directory.
//!
//! It is small, is read whole and replaced whole, and may be changed by `perfwatch user` beside a running server, which
//! sees that it changed. One that makes no sense is set aside, and nobody can log in until there are users again. One
//! of a newer version is left as it is, with the same effect.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::secret::Secret;
use crate::files;

/// Its name.
const FILE: &str = "accounts.json";

/// Held by whoever changes it, for the moment that takes.
const LOCK_FILE: &str = "accounts.lock";

/// Version of its form.
const VERSION: u32 = 1;

/// A hundred users and tokens take some 30 KB.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Most users.
pub(crate) const MAX_USERS: usize = 100;

/// Most API tokens.
pub(crate) const MAX_TOKENS: usize = 100;

/// Longest name of a user or token, in bytes.
const MAX_NAME_BYTES: usize = 64;

/// What a user may do.
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    /// See everything and change everything
    Admin,
    /// See everything
    Viewer,
}

/// What an API token may do.
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Scope {
    /// What a viewer may.
    Read,
    /// `GET /metrics` alone.
    Scrape,
    /// What an admin may.
    Admin,
}

/// Somebody who logs in with a password.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) role: Role,
    /// Of the password, in PHC's form.
    pub(crate) hash: Secret,
    /// When that was set, in milliseconds since the epoch.
    pub(crate) password_set_ms: i64,
}

/// A key for programs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Token {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) scope: Scope,
    /// SHA-256 of it.
    pub(crate) digest: Secret,
    /// Who made it: when that user goes, it goes. None: made without a login.
    pub(crate) owner: Option<String>,
    pub(crate) created_ms: i64,
    /// None: never. Up to ten minutes old after a crash.
    pub(crate) last_used_ms: Option<i64>,
}

/// Everybody who may ask.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Accounts {
    version: u32,
    pub(crate) users: Vec<User>,
    pub(crate) tokens: Vec<Token>,
}

impl Default for Accounts {
    fn default() -> Self {
        Self { version: VERSION, users: Vec::new(), tokens: Vec::new() }
    }
}

/// Why accounts were not changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// There is no such user or token.
    #[error("there is no {0} of this name")]
    Absent(&'static str),
    /// There is one already.
    #[error("there is a user of this name")]
    Exists,
    /// As many as there may be.
    #[error("there are {0} already, as many as there may be")]
    TooMany(usize),
    /// The last admin can neither go nor become a viewer.
    #[error("this is the only admin")]
    LastAdmin,
    /// The name is none.
    #[error("{0}")]
    BadName(&'static str),
    /// Another password was set while this one was checked.
    #[error("the password was changed meanwhile")]
    Superseded,
    /// Setting up is over: there are users.
    #[error("there are users already")]
    AlreadySetUp,
    /// The file could not be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
}

impl Accounts {
    /// The user of a name.
    pub(crate) fn user(&self, name: &str) -> Option<&User> {
        self.users.iter().find(|user| user.name == name)
    }

    /// The user of a name, to be changed.
    pub(crate) fn user_mut(&mut self, name: &str) -> Result<&mut User, Error> {
        self.users.iter_mut().find(|user| user.name == name).ok_or(Error::Absent("user"))
    }

    /// Adds a user.
    pub(crate) fn add_user(&mut self, name: &str, role: Role, hash: Secret) -> Result<(), Error> {
        check_name(name)?;
        if self.user(name).is_some() {
            return Err(Error::Exists);
        }
        if self.users.len() >= MAX_USERS {
            return Err(Error::TooMany(MAX_USERS));
        }
        self.users.push(User { name: name.to_owned(), role, hash, password_set_ms: now_ms() });
        Ok(())
    }

    /// Removes a user and the tokens the user made, and says how many those were.
    pub(crate) fn remove_user(&mut self, name: &str) -> Result<usize, Error> {
        let user = self.user(name).ok_or(Error::Absent("user"))?;
        let admins = self.users.iter().filter(|user| user.role == Role::Admin).count();
        if user.role == Role::Admin && admins == 1 && self.users.len() > 1 {
            return Err(Error::LastAdmin);
        }
        self.users.retain(|user| user.name != name);
        let before = self.tokens.len();
        self.tokens.retain(|token| token.owner.as_deref() != Some(name));
        Ok(before - self.tokens.len())
    }

    /// Gives a user another password.
    pub(crate) fn set_password(&mut self, name: &str, hash: Secret) -> Result<(), Error> {
        let user = self.user_mut(name)?;
        user.hash = hash;
        // Two within a millisecond are two all the same.
        user.password_set_ms = now_ms().max(user.password_set_ms.saturating_add(1));
        Ok(())
    }

    /// Adds a token.
    pub(crate) fn add_token(&mut self, token: Token) -> Result<(), Error> {
        check_name(&token.name)?;
        if self.tokens.len() >= MAX_TOKENS {
            return Err(Error::TooMany(MAX_TOKENS));
        }
        self.tokens.push(token);
        Ok(())
    }

    /// Removes a token and says what it was called.
    pub(crate) fn remove_token(&mut self, id: &str) -> Result<String, Error> {
        let index = self.tokens.iter().position(|token| token.id == id);
        Ok(self.tokens.remove(index.ok_or(Error::Absent("token"))?).name)
    }
}

/// Names are shown in logs, terminals and pages: letters, digits and what else is harmless everywhere.
fn check_name(name: &str) -> Result<(), Error> {
    if name.is_empty() || name.len() > MAX_NAME_BYTES {
        return Err(Error::BadName("a name has 1 to 64 bytes"));
    }
    let harmless = |c: char| c.is_alphanumeric() || " ._-@+".contains(c);
    if name.trim() != name || !name.chars().all(harmless) {
        return Err(Error::BadName(
            "a name is made of letters, digits and . _ - @ +, with spaces between them only",
        ));
    }
    Ok(())
}

/// What a look at the file found.
#[derive(Debug)]
pub(crate) enum Found {
    /// No file: nobody was added yet.
    Nothing,
    Accounts(Accounts),
    /// Written by a newer PerfWatch.
    Newer,
    /// It makes no sense.
    Damaged(String),
}

/// By what a changed file is known.
pub(crate) type Stamp = Option<(u64, i64, i64, u64)>;

/// The file of accounts.
#[derive(Debug)]
pub(crate) struct AccountsFile {
    path: PathBuf,
}

impl AccountsFile {
    /// That of a data directory.
    pub(crate) fn of(data: &Path) -> Self {
        Self { path: data.join(FILE) }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Another after every change. None: not there, or not to be seen.
    pub(crate) fn stamp(&self) -> Stamp {
        let found = fs::metadata(&self.path).ok()?;
        Some((found.ino(), found.mtime(), found.mtime_nsec(), found.len()))
    }

    /// Reads it.
    pub(crate) fn load(&self) -> Result<Found, Error> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let dir = self.path.parent().unwrap_or(Path::new("."));
        // As the history has it: whoever may write there makes users of their own.
        if fs::metadata(dir).is_ok_and(|dir| dir.mode() & 0o022 != 0) {
            let why = "others may write to its directory (chmod 700 mends that)";
            return Err(self.error(io::Error::new(io::ErrorKind::PermissionDenied, why)));
        }
        let bytes = match files::read(&self.path, MAX_FILE_BYTES) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
                return Ok(Found::Damaged(error.to_string()));
            }
            Err(error) => return Err(self.error(error)),
        };
        match serde_json::from_slice::<Version>(&bytes) {
            Ok(Version { version }) if version > VERSION => return Ok(Found::Newer),
            _ => {}
        }
        // What the parser says of it may repeat a hash: where it stands must do.
        let damaged = |error: serde_json::Error| {
            Found::Damaged(format!("line {}, column {}", error.line(), error.column()))
        };
        Ok(serde_json::from_slice(&bytes).map_or_else(damaged, Found::Accounts))
    }

    /// Moves a damaged file out of the way, and says where to.
    pub(crate) fn set_aside(&self) -> Result<PathBuf, Error> {
        let aside = self.path.with_file_name(format!("{FILE}.damaged-{}", now_ms()));
        fs::rename(&self.path, &aside).map_err(|error| self.error(error))?;
        Ok(aside)
    }

    /// Reads it, lets it be changed, and writes it, while nobody else does. One that cannot be used is not
    /// overwritten.
    pub(crate) fn change<T, E: From<Error>>(
        &self,
        change: impl FnOnce(&mut Accounts) -> Result<T, E>,
    ) -> Result<(T, Accounts), E> {
        let dir = self.path.parent().unwrap_or(Path::new("."));
        let failed = |error: io::Error| E::from(self.error(error));
        files::make_directory(dir).map_err(failed)?;
        let lock: File = files::open_to_append(&dir.join(LOCK_FILE)).map_err(failed)?;
        lock.lock().map_err(failed)?;
        let mut accounts = match self.load()? {
            Found::Nothing => Accounts::default(),
            Found::Accounts(accounts) => accounts,
            Found::Newer => return Err(failed(io::Error::other("written by a newer PerfWatch"))),
            Found::Damaged(place) => {
                return Err(failed(io::Error::other(format!("damaged ({place})"))));
            }
        };
        let done = change(&mut accounts)?;
        let bytes = serde_json::to_vec_pretty(&accounts);
        let bytes = bytes.map_err(|error| failed(io::Error::other(error)))?;
        files::replace(&self.path, &bytes).map_err(failed)?;
        Ok((done, accounts))
    }

    /// Of a file that was there.
    pub(crate) fn gone(&self) -> Error {
        self.error(io::Error::new(io::ErrorKind::NotFound, "the file of accounts is gone"))
    }

    fn error(&self, source: io::Error) -> Error {
        Error::File { path: self.path.clone(), source }
    }
}

/// Milliseconds since the epoch.
pub(crate) fn now_ms() -> i64 {
    Timestamp::now().as_millisecond()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn hash() -> Secret {
        Secret::from("$argon2id$".to_owned())
    }

    #[test]
    fn names_are_harmless_everywhere() {
        for name in ["admin", "Ada Lovelace", "a@b.example", "Jürgen", "x", &"x".repeat(64)] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        for name in ["", " a", "a ", "a\n", "<b>", "a\u{202e}b", "\"", "a/b", &"x".repeat(65)] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn the_last_admin_stays_while_there_are_others() {
        let mut accounts = Accounts::default();
        accounts.add_user("a", Role::Admin, hash()).unwrap();
        accounts.add_user("v", Role::Viewer, hash()).unwrap();
        assert!(matches!(accounts.add_user("a", Role::Viewer, hash()), Err(Error::Exists)));
        assert!(matches!(accounts.remove_user("a"), Err(Error::LastAdmin)));
        accounts.add_user("b", Role::Admin, hash()).unwrap();
        accounts.remove_user("b").unwrap();
        assert!(matches!(accounts.remove_user("b"), Err(Error::Absent(_))));
        accounts.remove_user("v").unwrap();
        accounts.remove_user("a").unwrap();
        assert!(accounts.users.is_empty());
    }

    fn token(name: &str, owner: Option<&str>) -> Token {
        Token {
            id: format!("id of {name}"),
            name: name.to_owned(),
            scope: Scope::Read,
            digest: hash(),
            owner: owner.map(str::to_owned),
            created_ms: 0,
            last_used_ms: None,
        }
    }

    #[test]
    fn with_a_user_go_the_tokens_that_the_user_made() {
        let mut accounts = Accounts::default();
        for name in ["a", "b"] {
            accounts.add_user(name, Role::Admin, hash()).unwrap();
        }
        for (name, owner) in [("1", Some("a")), ("2", Some("b")), ("3", None), ("4", Some("b"))] {
            accounts.add_token(token(name, owner)).unwrap();
        }
        assert_eq!(accounts.remove_user("b").unwrap(), 2);
        let left = |accounts: &Accounts| accounts.tokens.iter().map(|t| t.name.clone()).collect();
        let names: Vec<_> = left(&accounts);
        assert_eq!(names, ["1", "3"]);
        assert_eq!(accounts.remove_token("id of 3").unwrap(), "3");
        assert!(matches!(accounts.remove_token("id of 3"), Err(Error::Absent(_))));
        assert_eq!(left(&accounts), ["1"]);
    }

    #[test]
    fn there_are_no_more_users_and_tokens_than_there_may_be() {
        let mut accounts = Accounts::default();
        for number in 0..100 {
            accounts.add_user(&format!("user {number}"), Role::Viewer, hash()).unwrap();
            accounts.add_token(token(&format!("token {number}"), None)).unwrap();
        }
        let one_more = accounts.add_user("another", Role::Admin, hash());
        assert!(matches!(one_more, Err(Error::TooMany(100))));
        assert!(matches!(accounts.add_token(token("another", None)), Err(Error::TooMany(100))));
    }

    #[test]
    fn passwords_set_within_a_millisecond_are_told_apart() {
        let mut accounts = Accounts::default();
        accounts.add_user("a", Role::Admin, hash()).unwrap();
        let mut times = vec![accounts.user("a").unwrap().password_set_ms];
        for _ in 0..10 {
            accounts.set_password("a", hash()).unwrap();
            times.push(accounts.user("a").unwrap().password_set_ms);
        }
        assert!(times.is_sorted_by(|earlier, later| earlier < later), "{times:?}");
    }

    #[test]
    fn where_others_may_write_there_are_no_accounts() {
        let dir = tempfile::tempdir().unwrap();
        let file = AccountsFile::of(dir.path());
        let add = |accounts: &mut Accounts| accounts.add_user("a", Role::Admin, hash());
        for (mode, usable) in [(0o777, false), (0o1777, false), (0o770, false), (0o755, true)] {
            fs::set_permissions(dir.path(), fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(file.load().is_ok(), usable, "{mode:o}");
            assert_eq!(file.change(add).is_ok(), usable, "{mode:o}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_not_taken_for_damage() {
        let dir = tempfile::tempdir().unwrap();
        let file = AccountsFile::of(dir.path());
        fs::write(file.path(), vec![b' '; 1 << 20]).unwrap();
        assert!(matches!(file.load(), Ok(Found::Damaged(why)) if why.starts_with("line ")));
        fs::write(file.path(), vec![b' '; (1 << 20) + 1]).unwrap();
        assert!(matches!(file.load(), Ok(Found::Damaged(why)) if why.starts_with("more than ")));
        fs::remove_file(file.path()).unwrap();
        fs::create_dir(file.path()).unwrap();
        assert!(matches!(file.load(), Err(Error::File { .. })));
    }

    #[test]
    fn a_changed_file_is_for_its_owner_alone_and_what_is_damaged_is_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let file = AccountsFile::of(&dir.path().join("new"));
        assert!(matches!(file.load().unwrap(), Found::Nothing));
        let add = |accounts: &mut Accounts| accounts.add_user("a", Role::Admin, hash());
        file.change(add).unwrap();
        let before = file.stamp();
        file.change(|accounts| accounts.set_password("a", hash())).unwrap();
        assert_ne!(file.stamp(), before);
        assert_eq!(fs::metadata(file.path()).unwrap().mode() & 0o777, 0o600);
        for (text, newer) in [("{\"version\":2}", true), ("{\"version\":1,", false), ("", false)] {
            fs::write(file.path(), text).unwrap();
            assert_eq!(matches!(file.load().unwrap(), Found::Newer), newer, "{text}");
            assert!(file.change(add).is_err());
            assert_eq!(fs::read_to_string(file.path()).unwrap(), text);
        }
    }
}
