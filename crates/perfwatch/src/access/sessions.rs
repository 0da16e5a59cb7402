//! Who is logged in. In memory: a restart of PerfWatch ends every session.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::secret::Digest;

/// A session that nothing was asked with for so long has ended. An open live stream asks.
const IDLE: Duration = Duration::from_secs(12 * 3600);

/// However much is asked with it, it ends after this.
const LIFETIME: Duration = Duration::from_secs(7 * 86_400);

/// Most sessions of a user, and in all; then the one that was used longest ago ends.
const MAX_OF_A_USER: usize = 16;
const MAX_SESSIONS: usize = 512;

/// One login.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) user: String,
    began: Instant,
    used: Instant,
}

impl Session {
    /// When it ends if nothing is asked with it.
    fn ends(&self) -> Instant {
        (self.used + IDLE).min(self.began + LIFETIME)
    }

    /// How long it lasts if nothing is asked with it.
    pub(crate) fn lasts(&self, now: Instant) -> Duration {
        self.ends().saturating_duration_since(now)
    }
}

/// Every login, by the digest of its cookie.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    all: HashMap<Digest, Session>,
}

impl Sessions {
    /// Begins a session.
    pub(crate) fn begin(&mut self, id: Digest, user: &str, now: Instant) -> Session {
        self.all.retain(|_, session| session.ends() > now);
        if self.all.values().filter(|session| session.user == user).count() >= MAX_OF_A_USER {
            self.end_oldest(|session| session.user == user);
        }
        if self.all.len() >= MAX_SESSIONS {
            self.end_oldest(|_| true);
        }
        let session = Session { user: user.to_owned(), began: now, used: now };
        self.all.insert(id, session.clone());
        session
    }

    fn end_oldest(&mut self, among: impl Fn(&Session) -> bool) {
        let among = self.all.iter().filter(|(_, session)| among(session));
        if let Some(oldest) = among.min_by_key(|(_, session)| session.used).map(|(id, _)| *id) {
            self.all.remove(&oldest);
        }
    }

    /// The session of a cookie, which counts as used now.
    pub(crate) fn used(&mut self, id: &Digest, now: Instant) -> Option<&Session> {
        let session = self.all.get_mut(id).filter(|session| session.ends() > now)?;
        session.used = now;
        Some(session)
    }

    /// Ends a session.
    pub(crate) fn end(&mut self, id: &Digest) {
        self.all.remove(id);
    }

    /// Ends every session that does not stay.
    pub(crate) fn retain(&mut self, mut stays: impl FnMut(&Digest, &Session) -> bool) {
        self.all.retain(|id, session| stays(id, session));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: usize) -> Digest {
        Digest::of(&number.to_string())
    }

    #[test]
    fn sessions_end_when_idle_and_in_any_case() {
        let (mut sessions, start) = (Sessions::default(), Instant::now());
        sessions.begin(id(1), "a", start);
        assert!(sessions.used(&id(1), start + IDLE).is_none());
        sessions.begin(id(2), "a", start);
        let mut now = start;
        while now < start + LIFETIME {
            assert!(sessions.used(&id(2), now).is_some());
            now += IDLE / 2;
        }
        assert!(sessions.used(&id(2), start + LIFETIME).is_none());
    }

    #[test]
    fn a_session_lasts_half_a_day_and_never_beyond_a_week() {
        const HOUR: Duration = Duration::from_secs(3600);
        let (mut sessions, start) = (Sessions::default(), Instant::now());
        assert_eq!(sessions.begin(id(1), "a", start).lasts(start), 12 * HOUR);
        let hours = |sessions: &mut Sessions, after: Duration| {
            let now = start + after;
            sessions.used(&id(1), now).map(|session| session.lasts(now).as_secs() / 3600)
        };
        let asked = (0..8 * 24).step_by(11).map(|hour| hours(&mut sessions, hour * HOUR));
        let asked: Vec<_> = asked.flatten().collect();
        assert_eq!(asked, [[12; 15].as_slice(), &[3]].concat());
    }

    #[test]
    fn there_are_not_more_than_there_may_be() {
        let (mut sessions, start) = (Sessions::default(), Instant::now());
        for number in 0..1000 {
            let now = start + Duration::from_secs(number as u64);
            sessions.begin(id(number), "one", now);
            sessions.begin(id(number + 5000), &format!("user {number}"), now);
        }
        assert_eq!(sessions.all.len(), MAX_SESSIONS);
        let of_one = sessions.all.values().filter(|session| session.user == "one").count();
        assert_eq!(of_one, MAX_OF_A_USER);
        assert!(sessions.all.contains_key(&id(999)), "the newest stay");
    }
}
