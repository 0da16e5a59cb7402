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
