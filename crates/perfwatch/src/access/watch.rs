//! The thread that looks whether the file of accounts changed, and writes down when tokens were used.

use std::io;
use std::sync::{Arc, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use tracing::{error, info, warn};

use super::accounts::{Accounts, Found, Token};
use super::{Access, setup};

/// How soon a change made by `perfwatch user` is seen.
const PERIOD: Duration = Duration::from_secs(1);

/// How often it is written down when tokens were used last.
const BETWEEN_NOTES: Duration = Duration::from_secs(600);

/// Looks until nobody else holds the access.
pub(super) fn start(access: &Arc<Access>) -> io::Result<()> {
    let access = Arc::downgrade(access);
    thread::Builder::new().name("accounts".to_owned()).spawn(move || watch(&access))?;
    Ok(())
}

fn watch(access: &Weak<Access>) {
    let mut noted = Instant::now();
    loop {
        thread::sleep(PERIOD);
        let Some(access) = access.upgrade() else { return };
        access.look();
        if access.state().expire_setup(Instant::now()) {
            setup::remove_file(&access.data);
            info!("the setup link is too old now: the next start makes another");
        }
        if noted.elapsed() >= BETWEEN_NOTES {
            noted = Instant::now();
            access.note_tokens();
        }
    }
}

impl Access {
    /// Reads the file for the first time.
    pub(super) fn begin(&self) {
        let mut stamp = self.stamp.lock().unwrap_or_else(PoisonError::into_inner);
        *stamp = self.file.stamp();
        let file = || self.file.path().display();
        let accounts = match self.file.load() {
            Ok(Found::Nothing) => Accounts::default(),
            Ok(Found::Accounts(accounts)) => accounts,
            Ok(Found::Newer) => {
                error!(file = %file(), "these accounts are a newer PerfWatch's: nobody can log in");
                self.state().unusable = Some("a newer PerfWatch wrote them".to_owned());
                return;
            }
            Ok(Found::Damaged(place)) => match self.file.set_aside() {
                Ok(aside) => {
                    error!(
                        file = %file(), place, aside = %aside.display(),
                        "the accounts are damaged and were set aside: nobody can log in until there are new ones"
                    );
                    Accounts::default()
                }
                Err(why) => {
                    error!(file = %file(), place, %why, "the accounts are damaged: nobody can log in");
                    self.state().unusable = Some("they are damaged".to_owned());
                    return;
                }
            },
            Err(why) => {
                error!(%why, "the accounts cannot be read: nobody can log in until they can");
                self.state().unusable = Some(why.to_string());
                return;
            }
        };
        self.install(accounts, None);
    }

    /// Reads the file again if it changed. What cannot be read changes nothing.
    fn look(&self) {
        let mut stamp = self.stamp.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.file.stamp();
        if now == *stamp && self.state().unusable.is_none() {
            return;
        }
        let changed = now != *stamp;
        *stamp = now;
        match self.file.load() {
            Ok(Found::Accounts(accounts)) => {
                info!(users = accounts.users.len(), "the accounts changed");
                self.install(accounts, None);
            }
            Ok(Found::Nothing) if changed => {
                warn!("the file of accounts is gone: they count until the next start");
            }
            Ok(Found::Newer | Found::Damaged(_)) if changed => {
                error!(
                    "the file of accounts was damaged: they count as they were until it is mended"
                );
            }
            Err(why) if changed => {
                error!(%why, "the file of accounts changed and cannot be read: they count as they were");
            }
            Ok(_) | Err(_) => {}
        }
    }

    /// Writes down when tokens were used last, if any was.
    pub(super) fn note_tokens(&self) {
        if !std::mem::take(&mut self.state().tokens_used) {
            return;
        }
        let used = self.tokens();
        let note = |accounts: &mut Accounts| {
            for token in &mut accounts.tokens {
                let is_it = |known: &&Token| known.id == token.id;
                let last = used.iter().find(is_it).and_then(|known| known.last_used_ms);
                token.last_used_ms = token.last_used_ms.max(last);
            }
            Ok(())
        };
        if let Err(why) = self.change_now(note, None) {
            warn!(%why, "it could not be written down when tokens were used");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::access::{AccountsFile, Caller, Role, Scope, Source};

    fn kept(data: &Path) -> Accounts {
        match AccountsFile::of(data).load().unwrap() {
            Found::Accounts(accounts) => accounts,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn when_a_token_was_used_is_remembered_and_written_down() {
        let data = tempfile::tempdir().unwrap();
        let access = Access::start(data.path(), false).unwrap();
        let made = access.make_token("x", Scope::Read, &Caller::Anybody, Source::Local);
        let (secret, token) = made.await.unwrap();
        access.caller(Some(secret.reveal()), None);
        let used = access.tokens()[0].last_used_ms;
        assert!(used >= Some(token.created_ms));
        // What the file says, which is older, does not undo it.
        let accounts = kept(data.path());
        assert_eq!(accounts.tokens[0].last_used_ms, None);
        access.install(accounts, None);
        assert_eq!(access.tokens()[0].last_used_ms, used);
        access.note_tokens();
        assert_eq!(kept(data.path()).tokens[0].last_used_ms, used);
        // Once for each use.
        fs::write(AccountsFile::of(data.path()).path(), "left alone").unwrap();
        access.note_tokens();
        assert!(matches!(AccountsFile::of(data.path()).load(), Ok(Found::Damaged(_))));
    }

    #[test]
    fn a_look_sees_who_was_added_and_no_damage() {
        let data = tempfile::tempdir().unwrap();
        let access = Access::start(data.path(), false).unwrap();
        let file = AccountsFile::of(data.path());
        let add =
            |accounts: &mut Accounts| accounts.add_user("ada", Role::Admin, String::new().into());
        file.change(add).unwrap();
        access.look();
        assert!(!access.needs_setup());
        fs::write(file.path(), "{").unwrap();
        access.look();
        assert!(!access.needs_setup());
        fs::remove_file(file.path()).unwrap();
        access.look();
        assert!(!access.needs_setup());
    }
}
