//! What `perfwatch import` is given: NDJSON, CSV and OpenMetrics. What was taken in is exported and, imported once more, is
//! there already.

#![no_main]
#![allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    reason = "the program has more uses for these modules"
)]

#[path = "../memory_disk.rs"]
mod memory_disk;

// Modules of the program, which is no library.
#[path = "../../crates/perfwatch/src"]
mod program {
    pub(crate) mod groups;
    pub(crate) mod history;
    pub(crate) mod journal;
    pub(crate) mod recorder;
    pub(crate) mod selector;
    pub(crate) mod terminal;
    pub(crate) mod transfer;
    pub(crate) mod when;

    pub(crate) mod prometheus {
        mod name;
        mod text;

        pub(crate) use name::{family, in_base_unit, in_own_unit, is_counter};
        pub(crate) use text::label;
    }
}

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use memory_disk::MemoryDisk;
use perfwatch_store::{Options, Store};
use program::*;

const PATIENCE: Duration = Duration::from_secs(4);

const ALL: (i64, i64) = (i64::MIN, i64::MAX);

/// A history that keeps everything, however old.
fn history() -> Store {
    let options = Options { keep: [Duration::MAX; 3], ..Options::default() };
    Store::on(MemoryDisk::with(&[], &[]), options, |_, _| Vec::new()).unwrap()
}

fuzz_target!(|input: &[u8]| {
    let store = history();
    let (counts, _) = transfer::import(&store, input);
    if counts.imported > 0 {
        let reader = store.reader();
        let (mut json, mut csv, mut open_metrics) = (Vec::new(), Vec::new(), Vec::new());
        assert_eq!(transfer::ndjson(&mut json, &reader, ALL, &[]).unwrap(), 0);
        assert_eq!(transfer::csv(&mut csv, &reader, ALL, &[]).unwrap(), 0);
        let left_out = transfer::openmetrics(&mut open_metrics, &reader, ALL, &[]).unwrap();
        assert_eq!(left_out.damaged, 0);
        for export in [json, csv] {
            let (again, done) = transfer::import(&store, &*export);
            done.unwrap();
            assert_eq!((again.imported, again.skipped), (0, counts.imported));
        }
        let other = history();
        let (_, done) = transfer::import(&other, &*open_metrics);
        done.unwrap();
        other.close(PATIENCE);
    }
    store.close(PATIENCE);
});
