//! Who may: users with passwords and sessions, tokens for programs, and the one link that makes the first user.
//!
//! Everything is decided from memory. The file of accounts is read when it changed, which a thread looks for every second, and
//! whatever ends there ends here at once, open streams included.

mod accounts;
mod audit;
mod caller;
mod pass;
mod passwords;
mod secret;
mod sessions;
mod setup;
mod throttle;
mod token;
mod watch;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::watch::Sender;
use tokio::task::spawn_blocking;

pub(crate) use crate::source::Source;
pub(crate) use accounts::{
    Accounts, AccountsFile, Error as AccountsError, Found, Role, Scope, Token, now_ms,
};
pub(crate) use audit::{Action, Audit, Entry};
pub(crate) use caller::{Caller, Login, Refused};
pub(crate) use pass::Pass;
pub(crate) use passwords::{MAX_HASHES, hash as hash_password};
pub(crate) use secret::{Digest, Secret};

use accounts::{Stamp, User};
use caller::user_caller;
use passwords::Hashing;
use secret::new_secret;
use sessions::Sessions;
use setup::Setup;
use throttle::Throttle;

/// Everything there is to know about who may.
#[derive(Debug)]
pub(crate) struct Access {
    data: PathBuf,
    file: AccountsFile,
    /// How the file looked when it was read last; held while it is read or changed.
    stamp: Mutex<Stamp>,
    state: Mutex<State>,
    /// Held by who changes the file: however long a disk takes, one thread alone waits for it.
    changing: Arc<tokio::sync::Mutex<()>>,
    hashing: Hashing,
    /// Told when anything ended.
    ended: Sender<()>,
    audit: Audit,
    /// Whether everybody may do everything.
    open: bool,
}

#[derive(Debug, Default)]
struct State {
    accounts: Accounts,
    /// Why the file cannot be used.
    unusable: Option<String>,
    sessions: Sessions,
    throttle: Throttle,
    setup: Option<Setup>,
    /// Whether a token was used since the file was written.
    tokens_used: bool,
}

impl Access {
    /// Reads the accounts of a data directory. Whatever state they are in, it begins. `open`: everybody may do everything.
    pub(crate) fn start(data: &Path, open: bool) -> io::Result<Arc<Self>> {
        let access = Arc::new(Self {
            data: data.to_owned(),
            file: AccountsFile::of(data),
            stamp: Mutex::default(),
            state: Mutex::default(),
            changing: Arc::default(),
            hashing: Hashing::default(),
            ended: Sender::new(()),
            audit: Audit::start(data)?,
            open,
        });
        access.begin();
        watch::start(&access)?;
        Ok(access)
    }

    /// Where what was done is written down.
    pub(crate) fn audit(&self) -> &Audit {
        &self.audit
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is nobody yet who could log in.
    pub(crate) fn needs_setup(&self) -> bool {
        let state = self.state();
        state.accounts.users.is_empty() && state.unusable.is_none()
    }

    /// Whose request it is. What is in a header that only programs send goes before a cookie.
    pub(crate) fn caller(&self, bearer: Option<&str>, cookie: Option<&str>) -> Caller {
        if self.open {
            return Caller::Anybody;
        }
        match (bearer, cookie) {
            (Some(token), _) => self.state().token(token),
            (None, Some(cookie)) => self.state().session(Digest::of(cookie)),
            (None, None) => Caller::Nobody,
        }
    }

    /// Logs in.
    pub(crate) async fn log_in(
        &self,
        user: &str,
        password: Secret,
        source: Source,
    ) -> Result<Login, Refused> {
        if self.needs_setup() {
            return Err(Refused::SetupNeeded);
        }
        let known = self.check_password(user, password, source, Action::LoginFailed).await?;
        let login = self.begin_session(user, &known)?;
        self.audit.say(Action::Login, Some(user), source);
        Ok(login)
    }

    /// Checks a password, with delays after wrong ones, and returns the hash that it fits.
    async fn check_password(
        &self,
        user: &str,
        password: Secret,
        source: Source,
        failure: Action,
    ) -> Result<Secret, Refused> {
        let hash = {
            let mut state = self.state();
            if let Some(reason) = &state.unusable {
                return Err(Refused::Unusable(reason.clone()));
            }
            state.throttle.begin(user, source, Instant::now()).map_err(Refused::Wait)?;
            state.accounts.user(user).map(|user| user.hash.clone())
        };
        match (self.hashing.verify(password, hash.clone()).await, hash) {
            (Ok(true), Some(hash)) => {
                self.state().throttle.succeeded(user, source);
                Ok(hash)
            }
            (Ok(_), hash) => {
                // What was typed for a name that does not exist may be a password.
                self.audit.say(failure, hash.map(|_| user), source);
                Err(Refused::Wrong)
            }
            (Err(error), _) => {
                self.state().throttle.undecided(user, source);
                Err(error.into())
            }
        }
    }

    /// Begins a session of a user, if the password is still what was checked.
    fn begin_session(&self, name: &str, hash: &Secret) -> Result<Login, Refused> {
        let cookie = new_secret("").map_err(|_| Refused::Failed("there are no random bytes"))?;
        let mut state = self.state();
        let user = state.accounts.user(name).filter(|user| user.hash.reveal() == hash.reveal());
        let role = user.ok_or(Refused::Wrong)?.role;
        let (id, now) = (Digest::of(cookie.reveal()), Instant::now());
        let lasts = state.sessions.begin(id, name, now).lasts(now);
        drop(state);
        // The sessions that had to make room may have had streams.
        self.ended.send_replace(());
        let caller = user_caller(name, role, id, lasts);
        Ok(Login { cookie, caller })
    }

    /// Ends a session.
    pub(crate) fn log_out(&self, caller: &Caller, source: Source) {
        let Caller::User { name, session, .. } = caller else { return };
        self.state().sessions.end(session);
        self.ended.send_replace(());
        self.audit.say(Action::Logout, Some(name), source);
    }

    /// Makes the first user, by the setup link.
    pub(crate) async fn set_up(
        self: &Arc<Self>,
        token: &str,
        user: &str,
        password: Secret,
        source: Source,
    ) -> Result<Login, Refused> {
        if !self.needs_setup() {
            return Err(AccountsError::AlreadySetUp.into());
        }
        let fits = |setup: &Setup| setup.fits(token, Instant::now());
        if !self.state().setup.as_ref().is_some_and(fits) {
            return Err(Refused::SetupLink);
        }
        let hash = self.hashing.hash(password).await?;
        let (name, kept) = (user.to_owned(), hash.clone());
        self.change(
            move |accounts| {
                if !accounts.users.is_empty() {
                    return Err(AccountsError::AlreadySetUp);
                }
                accounts.add_user(&name, Role::Admin, kept)
            },
            None,
        )
        .await?;
        self.audit.say(Action::Setup, Some(user), source);
        self.begin_session(user, &hash)
    }

    /// Gives whoever is logged in another password, and ends that user's other sessions.
    pub(crate) async fn change_password(
        self: &Arc<Self>,
        caller: &Caller,
        (current, new): (Secret, Secret),
        source: Source,
    ) -> Result<(), Refused> {
        let Caller::User { name, session, .. } = caller else { return Err(Refused::Wrong) };
        let known = self.check_password(name, current, source, Action::LoginFailed).await?;
        let hash = self.hashing.hash(new).await?;
        // Before the file changes, which would end this session as well.
        let (owner, stays) = (name.clone(), *session);
        let change = move |accounts: &mut Accounts| {
            // Somebody may have set another meanwhile, to lock out who knows this one.
            let stands = |user: &User| user.hash.reveal() == known.reveal();
            if !accounts.user(&owner).is_some_and(stands) {
                return Err(AccountsError::Superseded);
            }
            accounts.set_password(&owner, hash)
        };
        self.change(change, Some(stays)).await?;
        self.audit.say(Action::PasswordChanged, Some(name), source);
        Ok(())
    }

    /// Every token.
    pub(crate) fn tokens(&self) -> Vec<Token> {
        self.state().accounts.tokens.clone()
    }

    /// Makes a token, and returns it with the entry that is kept of it.
    pub(crate) async fn make_token(
        self: &Arc<Self>,
        name: &str,
        scope: Scope,
        caller: &Caller,
        source: Source,
    ) -> Result<(Secret, Token), Refused> {
        let owner = match caller {
            Caller::Token { owner, .. } => owner.clone(),
            other => other.user().map(str::to_owned),
        };
        let (secret, token) = Token::made(name, scope, owner)
            .map_err(|_| Refused::Failed("there are no random bytes"))?;
        let kept = token.clone();
        self.change(move |accounts| accounts.add_token(kept), None).await?;
        let who = caller.name();
        self.audit.note(Entry::new(Action::TokenMade, who.as_deref(), &source).to(&token.name));
        Ok((secret, token))
    }

    /// Removes a token.
    pub(crate) async fn remove_token(
        self: &Arc<Self>,
        id: &str,
        caller: &Caller,
        source: Source,
    ) -> Result<(), Refused> {
        let removed = id.to_owned();
        let name = self.change(move |accounts| accounts.remove_token(&removed), None).await?;
        let who = caller.name();
        self.audit.note(Entry::new(Action::TokenRemoved, who.as_deref(), &source).to(name));
        Ok(())
    }

    /// Changes the file, on a thread that may wait for the disk. `stays`: the session that does not end.
    async fn change<T: Send + 'static>(
        self: &Arc<Self>,
        change: impl FnOnce(&mut Accounts) -> Result<T, AccountsError> + Send + 'static,
        stays: Option<Digest>,
    ) -> Result<T, AccountsError> {
        let access = Arc::clone(self);
        let turn = Arc::clone(&self.changing).lock_owned().await;
        let changed = spawn_blocking(move || {
            // Kept when whoever asked has gone away.
            let _turn = turn;
            access.change_now(change, stays)
        });
        joined(changed.await)
    }

    fn change_now<T>(
        &self,
        change: impl FnOnce(&mut Accounts) -> Result<T, AccountsError>,
        stays: Option<Digest>,
    ) -> Result<T, AccountsError> {
        let mut stamp = self.stamp.lock().unwrap_or_else(PoisonError::into_inner);
        // What is not there would count as no users, and be written as such.
        if self.file.stamp().is_none() && !self.state().accounts.users.is_empty() {
            return Err(self.file.gone());
        }
        let (done, accounts) = self.file.change(change)?;
        *stamp = self.file.stamp();
        self.install(accounts, stays);
        Ok(done)
    }

    /// Puts accounts in force: sessions end whose user is gone or has another password, but the one that stays.
    fn install(&self, mut accounts: Accounts, stays: Option<Digest>) {
        let mut guard = self.state();
        let state = &mut *guard;
        let (before, sessions) = (&state.accounts, &mut state.sessions);
        sessions.retain(|id, session| {
            let set =
                |accounts: &Accounts| accounts.user(&session.user).map(|user| user.password_set_ms);
            set(&accounts).is_some() && (stays == Some(*id) || set(&accounts) == set(before))
        });
        for token in &mut accounts.tokens {
            let known = before.tokens.iter().find(|known| known.id == token.id);
            token.last_used_ms = token.last_used_ms.max(known.and_then(|known| known.last_used_ms));
        }
        if !accounts.users.is_empty() && state.setup.take().is_some() {
            setup::remove_file(&self.data);
        }
        state.accounts = accounts;
        state.unusable = None;
        drop(guard);
        self.ended.send_replace(());
    }

    /// For what stays open: says whether it still may.
    pub(crate) fn pass(self: &Arc<Self>, caller: Caller) -> Pass {
        Pass::new(Arc::clone(self), caller, self.ended.subscribe())
    }
}

impl State {
    fn session(&mut self, id: Digest) -> Caller {
        let now = Instant::now();
        let Some(session) = self.sessions.used(&id, now) else { return Caller::Nobody };
        let Some(user) = self.accounts.user(&session.user) else { return Caller::Nobody };
        user_caller(&user.name, user.role, id, session.lasts(now))
    }

    fn token(&mut self, token: &str) -> Caller {
        let digest = Digest::of(token).text();
        let known = self.accounts.tokens.iter_mut();
        let Some(token) = known.into_iter().find(|known| known.digest.reveal() == digest) else {
            return Caller::Nobody;
        };
        token.last_used_ms = Some(now_ms());
        self.tokens_used = true;
        let Token { id, scope, owner, .. } = &*token;
        Caller::Token { id: id.clone(), scope: *scope, owner: owner.clone() }
    }
}

fn joined<T>(
    outcome: Result<Result<T, AccountsError>, tokio::task::JoinError>,
) -> Result<T, AccountsError> {
    let failed =
        |error| AccountsError::File { path: PathBuf::new(), source: io::Error::other(error) };
    outcome.unwrap_or_else(|error| Err(failed(error)))
}

#[cfg(test)]
mod tests;
