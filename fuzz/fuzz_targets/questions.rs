//! What people ask and set: selectors, times, ranges, shifts, thresholds, and values of settings.

#![no_main]
#![allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    reason = "the program has more uses for these modules"
)]

use std::str::FromStr;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use libfuzzer_sys::fuzz_target;
use perfwatch_metrics::{SeriesKey, catalog};

// Modules of the program, which is no library.
#[path = "../../crates/perfwatch/src"]
mod program {
    pub(crate) mod groups;
    pub(crate) mod history;
    pub(crate) mod journal;
    pub(crate) mod recorder;
    pub(crate) mod selector;
    pub(crate) mod terminal;
    pub(crate) mod when;
}
#[path = "../../crates/perfwatch/src/config"]
mod config {
    pub(crate) mod values;
}

use config::values;
use history::Threshold;
use program::*;
use selector::Selector;
use when::{Range, Shift};

fuzz_target!(|input: (i64, &str, &str, &str)| {
    let (now, first, second, third) = input;
    let Ok(now) = Timestamp::from_millisecond(now) else { return };
    // A zone with summer time.
    let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
    let now = now.to_zoned(zone);
    if let Ok(range) = Range::parse(Some(first), Some(second), &now) {
        assert!(range.from() < range.to(), "{range:?}");
        if let Ok(shift) = Shift::parse(third, &now) {
            if let Ok(other) = shift.other_side(&range) {
                assert!(other.from() < other.to(), "{other:?}");
            }
            let _ = shift.partner(&range, range.from());
        }
    }
    if let Ok(selector) = Selector::from_str(third) {
        let _ = selector.no_such_metric();
        for def in catalog().take(3) {
            let labels = vec![first.to_owned(); def.labels().count()];
            let _ = selector.matches(&SeriesKey { def, labels });
        }
    }
    let _ = Threshold::from_str(third);
    // A series' name is a selector of that series.
    if let Some(key) = SeriesKey::parse(third) {
        let again = SeriesKey::parse(&key.to_string()).map(|again| again.to_string());
        assert_eq!(again, Some(key.to_string()));
    }
    if let Ok(interval) = values::Interval::from_str(third) {
        assert!((500..=60_000).contains(&interval.0.as_millis()));
    }
    let _ = (values::Keep::from_str(third), values::KeepRaw::from_str(third));
    let _ = values::duration(third);
    let _ = (values::ByteCount::from_str(third), values::CpuPercent::from_str(third));
});
