//! Who may hold how many connections.
//!
//! Everybody shares one number of places, but not to the last one: some are kept from other hosts, so that a page
//! opened on this machine works however many of them come, and fewer from this machine's own ports, so that who has the
//! UNIX socket gets in. When places run out, the connection that has been there longest without asking anything makes
//! room: connections that only hold on cost those that ask nothing.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::task::AbortHandle;

use crate::source::Source;

/// Most connections at a time, WebSockets included. One more takes the place of one that asked nothing, or is closed.
pub(crate) const MAX_CONNECTIONS: usize = 2048;

/// Most connections of one other host: several browsers with several pages each, and a scraper.
const MAX_PER_SOURCE: usize = 256;

/// File descriptors that are not for connections: the collectors', the history's, and some to spare.
const RESERVED_DESCRIPTORS: u64 = 256;

/// All places.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    total: usize,
    held: Arc<Mutex<Held>>,
}

#[derive(Debug, Default)]
struct Held {
    connections: usize,
    by_source: HashMap<Source, usize>,
    /// Connections that have asked nothing yet, the oldest first.
    silent: BTreeMap<u64, AbortHandle>,
    newest: u64,
}

impl Places {
    /// As many places as there are file descriptors for, after raising their limit as far as this process may.
    pub(crate) fn new() -> Self {
        let limit = getrlimit(Resource::Nofile);
        let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
        let descriptors = if raised.is_ok() { limit.maximum } else { limit.current };
        let free = descriptors.map_or(u64::MAX, |descriptors| {
            // Where there are few, a quarter is for connections.
            descriptors - RESERVED_DESCRIPTORS.min(descriptors / 4 * 3)
        });
        Self::with(usize::try_from(free).unwrap_or(usize::MAX).min(MAX_CONNECTIONS))
    }

    fn with(total: usize) -> Self {
        Self { total, held: Arc::default() }
    }

    /// A place, or None if this source can have none.
    pub(crate) fn take(&self, source: Source) -> Option<Place> {
        let mut held = lock(&self.held);
        let of_source = held.by_source.get(&source).copied().unwrap_or(0);
        if matches!(source, Source::Remote(_)) && of_source >= MAX_PER_SOURCE {
            return None;
        }
        if held.connections >= self.total.saturating_sub(leaves(source, self.total)) {
            let (_, longest) = held.silent.pop_first()?;
            longest.abort();
        }
        held.connections += 1;
        *held.by_source.entry(source).or_default() += 1;
        held.newest += 1;
        Some(Place { number: held.newest, source, held: Arc::clone(&self.held) })
    }

    /// Connections at the moment.
    #[cfg(test)]
    fn connections(&self) -> usize {
        lock(&self.held).connections
    }
}

/// The place of one connection, free again when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    number: u64,
    source: Source,
    held: Arc<Mutex<Held>>,
}

impl Place {
    /// The connection's task, which is ended when its place is needed before it has asked anything.
    pub(crate) fn may_be_ended(&self, task: AbortHandle) {
        lock(&self.held).silent.insert(self.number, task);
    }

    /// Connections at the moment, this one included.
    pub(crate) fn connections(&self) -> usize {
        lock(&self.held).connections
    }

    /// The connection has asked something.
    pub(crate) fn asked(&self) {
        lock(&self.held).silent.remove(&self.number);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = lock(&self.held);
        held.silent.remove(&self.number);
        held.connections -= 1;
        if let Some(count) = held.by_source.get_mut(&self.source) {
            *count -= 1;
            if *count == 0 {
                held.by_source.remove(&self.source);
            }
        }
    }
}

/// Of so many places in total, how many a source must leave to others.
fn leaves(source: Source, total: usize) -> usize {
    match source {
        Source::Remote(_) => total / 8,
        Source::Loopback => total / 64,
        Source::Local => 0,
    }
}

fn lock(held: &Mutex<Held>) -> MutexGuard<'_, Held> {
    // Counting does not panic.
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(address: &str) -> Source {
        Some(address.parse::<std::net::IpAddr>().unwrap()).into()
    }

    /// A connection's task that goes on until it is ended.
    fn task() -> tokio::task::JoinHandle<()> {
        tokio::spawn(std::future::pending())
    }

    #[test]
    fn places_are_kept_from_others_and_from_each_host() {
        let places = Places::with(2048);
        let mut taken: Vec<_> = (0..).map_while(|_| places.take(source("10.0.0.1"))).collect();
        assert_eq!(taken.len(), MAX_PER_SOURCE);
        for host in 2..20 {
            taken.extend((0..).map_while(|_| places.take(source(&format!("10.0.0.{host}")))));
        }
        assert_eq!(taken.len(), 2048 - 256, "other hosts leave an eighth");
        taken.extend((0..).map_while(|_| places.take(Source::Loopback)));
        assert_eq!(taken.len(), 2048 - 32);
        taken.extend((0..).map_while(|_| places.take(Source::Local)));
        assert_eq!(taken.len(), 2048);
        taken.clear();
        assert_eq!(places.connections(), 0);
        assert!(lock(&places.held).by_source.is_empty());
    }

    #[tokio::test]
    async fn who_was_longest_silent_makes_room() {
        let places = Places::with(3);
        let mut tasks: Vec<_> = (0..3).map(|_| task()).collect();
        let taken: Vec<_> = tasks
            .iter()
            .map(|task| {
                let place = places.take(Source::Loopback).unwrap();
                place.may_be_ended(task.abort_handle());
                place
            })
            .collect();
        taken[0].asked();
        let _fourth = places.take(Source::Loopback).unwrap();
        assert!(tasks.remove(1).await.unwrap_err().is_cancelled());
        let _fifth = places.take(Source::Loopback).unwrap();
        assert!(tasks.remove(1).await.unwrap_err().is_cancelled());
        assert!(places.take(Source::Loopback).is_none(), "nobody is silent any more");
        assert!(!tasks[0].is_finished());
    }
}
