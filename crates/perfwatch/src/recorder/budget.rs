//! How many events of a kind are told in an hour. What flaps must not fill the events' files.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Most events of a kind in an hour.
const MAX_OF_KIND: u32 = 120;

/// Most of them about one thing.
const MAX_OF_ONE: u32 = 12;

const PERIOD: Duration = Duration::from_secs(3600);

/// What was told within the hour.
#[derive(Debug, Default)]
pub(super) struct Budget(HashMap<&'static str, Spent>);

/// Of one kind.
#[derive(Debug)]
struct Spent {
    since: Instant,
    all: u32,
    /// By what it was about. No more than [`MAX_OF_KIND`] entries.
    of_one: HashMap<String, u32>,
}

/// Whether an event may be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leave {
    /// It may.
    Given,
    /// It may, and it is the last of its kind or of its thing within the hour.
    Last,
    /// It may not.
    Refused,
}

impl Budget {
    /// Whether an event of this kind about this thing may be told now, which counts as told.
    pub(super) fn ask(&mut self, now: Instant, kind: &'static str, about: &str) -> Leave {
        let begin = || Spent { since: now, all: 0, of_one: HashMap::new() };
        let spent = self.0.entry(kind).or_insert_with(begin);
        if now.saturating_duration_since(spent.since) >= PERIOD {
            *spent = begin();
        }
        let of_one = spent.of_one.get(about).copied().unwrap_or_default();
        if spent.all >= MAX_OF_KIND || of_one >= MAX_OF_ONE {
            return Leave::Refused;
        }
        spent.all += 1;
        spent.of_one.insert(about.to_owned(), of_one + 1);
        if spent.all == MAX_OF_KIND || of_one + 1 == MAX_OF_ONE {
            Leave::Last
        } else {
            Leave::Given
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_that_flaps_leaves_room_for_others() {
        let mut budget = Budget::default();
        let start = Instant::now();
        let flaps: Vec<_> = (0..20).map(|_| budget.ask(start, "link", "eth0")).collect();
        assert_eq!(flaps.iter().filter(|leave| **leave == Leave::Given).count(), 11);
        assert_eq!((flaps[11], flaps[12]), (Leave::Last, Leave::Refused));
        assert_eq!(budget.ask(start, "link", "eth1"), Leave::Given);
        assert_eq!(budget.ask(start, "device", "eth0"), Leave::Given);
        let others = (0..200).map(|n| budget.ask(start, "link", &format!("veth{n}")));
        let refused = others.filter(|leave| *leave == Leave::Refused).count();
        assert_eq!(refused, 200 - (120 - 12 - 1));
        assert_eq!(budget.ask(start + PERIOD, "link", "eth0"), Leave::Given, "an hour later");
    }
}
