//! `perfwatch user`: who may log in. Works on the file of accounts, which a running server reads again.

use std::fs;
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::Path;

use anyhow::{Context, bail};
use clap::ValueEnum;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

use crate::access::{
    Accounts, AccountsError, AccountsFile, Action, Entry, Found, Secret, Token, hash_password,
};
use crate::cli::{PasswordArgs, UserCommand};
use crate::config::Settings;
use crate::terminal::printable;

/// What is said where there is no user, and what makes one.
pub(super) const NOBODY: &str = "nobody can log in yet";
pub(super) const ADD_USER: &str = "perfwatch user add NAME";

/// Longest line that is read for a password: longer ones are refused anyway.
const MAX_LINE_BYTES: u64 = 4096;

/// Adds, lists, removes, gives another password, or makes and revokes a token.
pub(crate) fn run(settings: &Settings, command: &UserCommand) -> anyhow::Result<()> {
    let data = settings.data_dir()?;
    let file = AccountsFile::of(&data);
    let change =
        |action, name: &str, change: &dyn Fn(&mut Accounts) -> Result<usize, AccountsError>| {
            let (done, _) = file.change(change)?;
            let audited = Entry::new(action, None, &"command line").to(name).append(&data);
            audited.with_context(|| format!("writing the audit log in {}", data.display()))?;
            anyhow::Ok(done)
        };
    match command {
        UserCommand::Add { name, role, password } => {
            let hash = hash_password(new_password(password)?.reveal())?;
            change(Action::UserAdded, name, &|accounts| {
                accounts.add_user(name, *role, hash.clone()).map(|()| 0)
            })?;
            say(&format!("{} can log in now", printable(name)))
        }
        UserCommand::Password { name, password } => {
            let hash = hash_password(new_password(password)?.reveal())?;
            change(Action::PasswordChanged, name, &|accounts| {
                accounts.set_password(name, hash.clone()).map(|()| 0)
            })?;
            say(&format!("{} has another password; every session of it ends", printable(name)))
        }
        UserCommand::Remove { name } => {
            let tokens = change(Action::UserRemoved, name, &|accounts| accounts.remove_user(name))?;
            say(&format!("{} is gone, and {tokens} tokens with it", printable(name)))
        }
        UserCommand::Token { name, scope } => {
            let (secret, token) = Token::made(name, *scope, None).context("making a token")?;
            change(Action::TokenMade, name, &|accounts| {
                accounts.add_token(token.clone()).map(|()| 0)
            })?;
            say(secret.reveal())
        }
        UserCommand::Revoke { id } => {
            change(Action::TokenRemoved, id, &|accounts| accounts.remove_token(id).map(|_| 0))?;
            say(&format!("{} is no token any more", printable(id)))
        }
        UserCommand::List => list(&file),
    }
}

/// The accounts that there are: none where there is no file.
pub(super) fn accounts(file: &AccountsFile) -> anyhow::Result<Accounts> {
    match file.load()? {
        Found::Nothing => Ok(Accounts::default()),
        Found::Accounts(accounts) => Ok(accounts),
        Found::Newer => bail!("{}: written by a newer PerfWatch", file.path().display()),
        Found::Damaged(place) => bail!("{}: damaged ({place})", file.path().display()),
    }
}

fn list(file: &AccountsFile) -> anyhow::Result<()> {
    let accounts = accounts(file)?;
    if accounts.users.is_empty() {
        writeln!(io::stderr(), "{NOBODY}: {ADD_USER}")?;
    }
    let mut out = io::stdout().lock();
    for user in &accounts.users {
        let role = word(&user.role);
        writeln!(out, "{role:<6}  {}", printable(&user.name))?;
    }
    for token in &accounts.tokens {
        let scope = word(&token.scope);
        writeln!(out, "{scope:<6}  {}, token {}", printable(&token.name), printable(&token.id))?;
    }
    Ok(())
}

/// As it is typed at the command line.
fn word(choice: &impl ValueEnum) -> String {
    choice.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

fn say(text: &str) -> anyhow::Result<()> {
    Ok(writeln!(io::stdout(), "{text}")?)
}

/// A password: from the file that is named, else typed twice at a terminal, else a line of standard input.
fn new_password(args: &PasswordArgs) -> anyhow::Result<Secret> {
    if let Some(path) = &args.password_file {
        return from_file(path);
    }
    if !io::stdin().is_terminal() {
        return line(io::stdin().lock());
    }
    let first = typed("Password: ")?;
    if typed("Again: ")?.reveal() != first.reveal() {
        bail!("the two are not the same");
    }
    Ok(first)
}

fn from_file(path: &Path) -> anyhow::Result<Secret> {
    let reading = || format!("reading the password from {}", path.display());
    let file = fs::File::open(path).with_context(reading)?;
    line(io::BufReader::new(file)).with_context(reading)
}

fn line(input: impl BufRead) -> anyhow::Result<Secret> {
    let mut line = String::new();
    input.take(MAX_LINE_BYTES).read_line(&mut line).context("reading a password")?;
    let length = line.trim_end_matches(['\n', '\r']).len();
    line.truncate(length);
    Ok(line.into())
}

/// Asks at the terminal, which shows nothing of what is typed.
fn typed(prompt: &str) -> anyhow::Result<Secret> {
    let (terminal, mut out) = (io::stdin(), io::stderr());
    write!(out, "{prompt}")?;
    out.flush()?;
    let shown = tcgetattr(&terminal).context("asking for the terminal's modes")?;
    let mut hidden = shown.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&terminal, OptionalActions::Flush, &hidden).context("hiding what is typed")?;
    let typed = line(terminal.lock());
    tcsetattr(&terminal, OptionalActions::Flush, &shown).context("showing what is typed")?;
    writeln!(out)?;
    typed
}
