//! The link that makes the first user: for who can read this terminal, or a file that is for PerfWatch's user alone.

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::secret::{Digest, new_secret};
use super::{Access, State};
use crate::files;

/// Holds the link.
const FILE: &str = "setup-link";

/// How long it can be used.
const LIFETIME: Duration = Duration::from_secs(15 * 60);

/// The link that is out.
#[derive(Debug)]
pub(super) struct Setup {
    token: Digest,
    until: Instant,
}

impl Setup {
    /// Whether this token is the one, and in time.
    pub(super) fn fits(&self, token: &str, now: Instant) -> bool {
        Digest::of(token) == self.token && now < self.until
    }
}

impl Access {
    /// Says how the first user is made, if there is none, at a server of these addresses (`http://127.0.0.1:9909`).
    ///
    /// The link is printed on a terminal alone, for what is printed elsewhere is kept as a log. The token stands in the
    /// fragment, which browsers keep to themselves.
    pub(crate) fn offer_setup(self: &Arc<Self>, urls: &[String]) {
        if self.open || !self.needs_setup() {
            // From a start that was killed before it was used.
            remove_file(&self.data);
            return;
        }
        let Ok(token) = new_secret("") else {
            warn!("there are no random bytes for a setup link: `perfwatch user add` makes a user");
            return;
        };
        // A browser cannot open a UNIX socket. Who made it reachable some other way knows where.
        let web = urls.iter().find(|url| url.starts_with("http"));
        let origin = web.map_or("http://localhost:9909", String::as_str);
        // Who listens everywhere is asked here.
        let origin = origin.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:");
        let link = format!("{origin}/setup#{}\n", token.reveal());
        let path = self.data.join(FILE);
        let written = files::replace(&path, link.as_bytes());
        let until = Instant::now() + LIFETIME;
        self.state().setup = Some(Setup { token: Digest::of(token.reveal()), until });
        let minutes = LIFETIME.as_secs() / 60;
        match written {
            Ok(()) => info!(
                file = %path.display(),
                minutes,
                "nobody can log in yet: open the link in this file, or use `perfwatch user add`"
            ),
            Err(error) => warn!(%error, file = %path.display(), "the setup link cannot be written"),
        }
        let mut out = io::stdout();
        if out.is_terminal() {
            // Who closed the terminal finds it in the file.
            let _ = write!(
                out,
                "\nTo set up PerfWatch, open this within {minutes} minutes; it works once:\n\n  {link}\n"
            );
        }
    }
}

impl State {
    /// Drops the link when its time is over, and says whether it just was.
    pub(super) fn expire_setup(&mut self, now: Instant) -> bool {
        let over = self.setup.as_ref().is_some_and(|setup| setup.until <= now);
        if over {
            self.setup = None;
        }
        over
    }
}

/// Removes the file, if it is there.
pub(super) fn remove_file(data: &Path) {
    match fs::remove_file(data.join(FILE)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            warn!(%error, "the file with the setup link, which is of no use any more, stays");
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{Accounts, Role};

    const MINUTE: Duration = Duration::from_secs(60);

    /// The origin and the token of the link that is offered at these addresses, if there is one.
    fn offered(access: &Arc<Access>, urls: &[&str]) -> Option<(String, String)> {
        let urls: Vec<_> = urls.iter().map(|url| (*url).to_owned()).collect();
        access.offer_setup(&urls);
        let link = fs::read_to_string(access.data.join(FILE)).ok()?;
        let (origin, token) = link.split_once("/setup#").unwrap();
        Some((origin.to_owned(), token.trim().to_owned()))
    }

    #[test]
    fn the_link_names_an_address_that_this_host_can_ask() {
        let data = tempfile::tempdir().unwrap();
        let access = Access::start(data.path(), false).unwrap();
        for (urls, origin) in [
            (&["http://127.0.0.1:80"][..], "http://127.0.0.1:80"),
            (&["http://0.0.0.0:9909"], "http://127.0.0.1:9909"),
            (&["https://[::]:9909"], "https://[::1]:9909"),
            (&["unix:/run/perfwatch", "https://10.0.0.1:1"], "https://10.0.0.1:1"),
            (&["unix:/run/perfwatch"], "http://localhost:9909"),
        ] {
            assert_eq!(offered(&access, urls).unwrap().0, origin, "{urls:?}");
        }
    }

    #[test]
    fn the_link_can_be_used_for_a_quarter_of_an_hour() {
        let data = tempfile::tempdir().unwrap();
        let access = Access::start(data.path(), false).unwrap();
        let before = Instant::now();
        let (_, token) = offered(&access, &[]).unwrap();
        let mut state = access.state();
        let setup = state.setup.as_ref().unwrap();
        assert!(setup.fits(&token, before + 14 * MINUTE));
        assert!(!setup.fits(&token[1..], before));
        let until = setup.until;
        assert!(!setup.fits(&token, until) && until < Instant::now() + 16 * MINUTE);
        assert!(!state.expire_setup(before + 14 * MINUTE) && state.setup.is_some());
        assert!(state.expire_setup(until) && state.setup.is_none());
        assert!(!state.expire_setup(until), "it ends once");
    }

    #[test]
    fn with_the_first_user_the_link_is_gone_for_good() {
        let data = tempfile::tempdir().unwrap();
        let access = Access::start(data.path(), false).unwrap();
        offered(&access, &[]).unwrap();
        let mut accounts = Accounts::default();
        access.install(accounts.clone(), None);
        assert!(access.state().setup.is_some() && data.path().join(FILE).exists(), "nobody yet");
        accounts.add_user("ada", Role::Admin, String::new().into()).unwrap();
        access.install(accounts, None);
        assert!(access.state().setup.is_none() && !data.path().join(FILE).exists());
    }

    #[test]
    fn where_nobody_is_to_be_made_there_is_no_link() {
        let data = tempfile::tempdir().unwrap();
        fs::write(data.path().join(FILE), "http://localhost/setup#from an earlier start").unwrap();
        let open = Access::start(data.path(), true).unwrap();
        assert_eq!(offered(&open, &[]), None);
    }
}
