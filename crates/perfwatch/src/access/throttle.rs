//! Delays after wrong passwords: for each account and for each source, longer with each failure, never for good.
//!
//! A try counts as failed from when it begins until it is known not to be, so that many at once gain nothing. Where an
//! account was logged in to from a source, neither's delay holds, but one for the two together: who fails on purpose
//! elsewhere locks nobody out, nor who fails with other names behind the same proxy or on this host.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use super::secret::Digest;
use crate::source::Source;

/// Failures without any delay.
const FREE_TRIES: u32 = 5;

/// The first delay. Each is twice the one before.
const FIRST_DELAY: Duration = Duration::from_secs(1);

/// Longest delay of an account, and of a source.
const MAX_ACCOUNT_DELAY: Duration = Duration::from_secs(15);
const MAX_SOURCE_DELAY: Duration = Duration::from_secs(30);

/// After this without a failure, earlier ones are forgotten.
const MEMORY: Duration = Duration::from_secs(900);

/// Most accounts and most sources whose failures are remembered: then the one that failed longest ago is forgotten.
/// A failure costs a hash, so that filling this takes minutes.
const MAX_REMEMBERED: usize = 4096;

/// Most pairs of account and source that are known.
const MAX_KNOWN: usize = 1024;

/// Whose failures are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    /// By the digest of its name, whether there is one or not.
    Account(Digest),
    Source(Source),
    /// An account where it was logged in to.
    Known(Digest, Source),
}

impl Key {
    fn max_delay(self) -> Duration {
        match self {
            Self::Account(_) | Self::Known(..) => MAX_ACCOUNT_DELAY,
            Self::Source(_) => MAX_SOURCE_DELAY,
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    last: Instant,
}

/// Who failed how often.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    accounts: HashMap<Key, Failures>,
    sources: HashMap<Key, Failures>,
    known: HashSet<(Digest, Source)>,
}

impl Throttle {
    /// Begins a try at a time. Fails with how long to wait.
    pub(crate) fn begin(
        &mut self,
        user: &str,
        source: Source,
        now: Instant,
    ) -> Result<(), Duration> {
        let account = Digest::of(user);
        let is_known = self.known.contains(&(account, source));
        let (account, source) = if is_known {
            (Key::Known(account, source), None)
        } else {
            (Key::Account(account), Some(Key::Source(source)))
        };
        let of_source = source.map(|source| delay(&self.sources, source, now)).unwrap_or_default();
        let wait = of_source.max(delay(&self.accounts, account, now));
        if !wait.is_zero() {
            return Err(wait);
        }
        if let Some(source) = source {
            fail(&mut self.sources, source, now);
        }
        fail(&mut self.accounts, account, now);
        Ok(())
    }

    /// Says that a try had the right password.
    pub(crate) fn succeeded(&mut self, user: &str, source: Source) {
        let account = Digest::of(user);
        self.accounts.remove(&Key::Account(account));
        self.accounts.remove(&Key::Known(account, source));
        if self.known.contains(&(account, source)) {
            return;
        }
        // Other failures of this source stay: one account's password must not help to guess another's.
        take_back(&mut self.sources, Key::Source(source));
        if self.known.len() >= MAX_KNOWN {
            self.known.clear();
        }
        self.known.insert((account, source));
    }

    /// Says that a try came to no answer.
    pub(crate) fn undecided(&mut self, user: &str, source: Source) {
        let account = Digest::of(user);
        if self.known.contains(&(account, source)) {
            return take_back(&mut self.accounts, Key::Known(account, source));
        }
        take_back(&mut self.accounts, Key::Account(account));
        take_back(&mut self.sources, Key::Source(source));
    }
}

fn delay(failures: &HashMap<Key, Failures>, key: Key, now: Instant) -> Duration {
    let Some(Failures { count, last }) = failures.get(&key) else { return Duration::ZERO };
    let since = now.saturating_duration_since(*last);
    let Some(beyond) = count.checked_sub(FREE_TRIES).filter(|_| since < MEMORY) else {
        return Duration::ZERO;
    };
    let delay = FIRST_DELAY.saturating_mul(1 << beyond.min(16)).min(key.max_delay());
    delay.saturating_sub(since)
}

fn fail(failures: &mut HashMap<Key, Failures>, key: Key, now: Instant) {
    if failures.len() >= MAX_REMEMBERED && !failures.contains_key(&key) {
        failures.retain(|_, known| now.saturating_duration_since(known.last) < MEMORY);
        let oldest = failures.iter().min_by_key(|(_, known)| known.last).map(|(key, _)| *key);
        if let Some(oldest) = oldest.filter(|_| failures.len() >= MAX_REMEMBERED) {
            failures.remove(&oldest);
        }
    }
    let known = failures.entry(key).or_insert(Failures { count: 0, last: now });
    let forgotten = now.saturating_duration_since(known.last) >= MEMORY;
    known.count = if forgotten { 1 } else { known.count.saturating_add(1) };
    known.last = now;
}

fn take_back(failures: &mut HashMap<Key, Failures>, key: Key) {
    let Some(known) = failures.get_mut(&key) else { return };
    known.count = known.count.saturating_sub(1);
    // Or tries that cost nothing would push real failures out.
    if known.count == 0 {
        failures.remove(&key);
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn source(last: u8) -> Source {
        Some(IpAddr::from([10, 0, 0, last])).into()
    }

    #[test]
    fn delays_grow_and_end() {
        let (mut throttle, mut now) = (Throttle::default(), Instant::now());
        let mut waits = Vec::new();
        for _ in 0..12 {
            while let Err(wait) = throttle.begin("a", source(1), now) {
                waits.push(wait.as_secs());
                now += wait;
            }
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
        assert!(throttle.begin("a", source(1), now + MEMORY).is_ok(), "forgotten");
        assert!(throttle.begin("a", source(1), now + MEMORY).is_ok());
    }

    #[test]
    fn an_account_waits_wherever_it_is_tried_from_but_where_its_owner_was() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        throttle.begin("a", source(1), now).unwrap();
        throttle.succeeded("a", source(1));
        for last in 10..10 + FREE_TRIES as u8 {
            throttle.begin("a", source(last), now).unwrap();
        }
        assert!(throttle.begin("a", source(99), now).is_err());
        assert!(throttle.begin("b", source(99), now).is_ok());
        assert!(throttle.begin("a", source(1), now).is_ok(), "no lock-out of the owner");
    }

    #[test]
    fn a_success_elsewhere_gives_a_source_no_new_tries() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        for number in 0..FREE_TRIES {
            throttle.begin(&format!("user{number}"), source(1), now).unwrap();
            if number == 3 {
                throttle.begin("mine", source(1), now).unwrap();
                throttle.succeeded("mine", source(1));
            }
        }
        assert!(throttle.begin("another", source(1), now).is_err());
    }

    #[test]
    fn who_fails_at_its_source_with_other_names_locks_no_owner_out() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        throttle.begin("mine", source(1), now).unwrap();
        throttle.succeeded("mine", source(1));
        for number in 0..FREE_TRIES {
            throttle.begin(&format!("user{number}"), source(1), now).unwrap();
        }
        assert!(throttle.begin("another", source(1), now).is_err());
        for _ in 0..FREE_TRIES {
            throttle.begin("mine", source(1), now).unwrap();
        }
        assert!(throttle.begin("mine", source(1), now).is_err(), "guessing is slow here as well");
    }

    #[test]
    fn an_account_that_many_sources_try_waits_fifteen_seconds_at_most() {
        let (mut throttle, mut now) = (Throttle::default(), Instant::now());
        let mut waits = Vec::new();
        for last in 0..12 {
            while let Err(wait) = throttle.begin("a", source(last), now) {
                waits.push(wait.as_secs());
                now += wait;
            }
        }
        assert_eq!(waits, [1, 2, 4, 8, 15, 15, 15]);
    }

    #[test]
    fn a_try_without_an_answer_counts_for_nothing() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        let mut try_often = |times: u32| {
            for _ in 0..times {
                throttle.begin("a", source(1), now).unwrap();
                throttle.undecided("a", source(1));
            }
            assert!(throttle.accounts.is_empty() && throttle.sources.is_empty());
            throttle.begin("a", source(1), now).unwrap();
            throttle.succeeded("a", source(1));
        };
        try_often(2 * FREE_TRIES);
        // Where it was logged in to as well.
        try_often(2 * FREE_TRIES);
    }

    #[test]
    fn a_host_is_one_source_whatever_its_addresses() {
        let of = |address: &str| Source::from(Some(address.parse::<IpAddr>().unwrap()));
        for (one, other, same) in [
            ("10.0.0.1", "::ffff:10.0.0.1", true),
            ("10.0.0.1", "10.0.0.2", false),
            ("127.0.0.1", "127.9.9.9", true),
            ("127.0.0.1", "::1", true),
            ("2001:db8:0:1::1", "2001:db8:0:1:ffff:ffff:ffff:ffff", true),
            ("2001:db8:0:1::1", "2001:db8:0:2::1", false),
        ] {
            assert_eq!(of(one) == of(other), same, "{one} and {other}");
        }
        assert_eq!(of("2001:db8:0:1::1").to_string(), "2001:db8:0:1::");
        assert_eq!(Source::from(None).to_string(), "local");
    }

    #[test]
    fn of_too_many_failures_the_oldest_is_forgotten() {
        let (mut failures, start) = (HashMap::new(), Instant::now());
        let key = |number: usize| Key::Account(Digest::of(&number.to_string()));
        let at = |number: usize| start + Duration::from_millis(number as u64);
        (0..MAX_REMEMBERED).for_each(|number| fail(&mut failures, key(number), at(number)));
        assert_eq!(failures.len(), MAX_REMEMBERED);
        // One that is known takes nobody's place.
        fail(&mut failures, key(0), at(MAX_REMEMBERED));
        assert!(failures.len() == MAX_REMEMBERED && failures[&key(0)].count == 2);
        fail(&mut failures, key(MAX_REMEMBERED), at(MAX_REMEMBERED + 1));
        assert!(failures.len() == MAX_REMEMBERED && !failures.contains_key(&key(1)));
        // And those that are too old to matter, all at once.
        fail(&mut failures, key(MAX_REMEMBERED + 1), at(MAX_REMEMBERED - 1) + MEMORY);
        assert_eq!(failures.len(), 3);
    }

    #[test]
    fn memory_is_bounded() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        for number in 0..10_000_u32 {
            let source = Some(IpAddr::from(number.to_be_bytes())).into();
            throttle.begin(&number.to_string(), source, now).unwrap();
            throttle.succeeded(&format!("{number}"), source);
            throttle.begin(&number.to_string(), source, now).unwrap();
        }
        assert!(throttle.accounts.len() <= MAX_REMEMBERED);
        assert!(throttle.sources.len() <= MAX_REMEMBERED);
        assert!((2..=MAX_KNOWN).contains(&throttle.known.len()));
    }
}
