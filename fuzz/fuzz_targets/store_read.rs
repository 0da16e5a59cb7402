//! A file of a store, or a backup, from whoever made it to do harm: every checksum counts as right when fuzzed, so what is
//! fuzzed are records, heads of chunks, lists of series, indexes, columns and events.

#![no_main]

#[path = "../memory_disk.rs"]
mod memory_disk;

use std::ops::ControlFlow;

use libfuzzer_sys::fuzz_target;
use memory_disk::MemoryDisk;
use perfwatch_store::{Query, Reader, Resolution};

const MINUTE: i64 = 60_000_000_000;

fuzz_target!(|content: &[u8]| {
    let reader = Reader::on(MemoryDisk::with(&["/"], content));
    let extents = reader.extent().unwrap_or_default();
    for (_, from, to) in &extents {
        for resolution in
            [Resolution::Points(100), Resolution::Step(MINUTE), Resolution::Step(60 * MINUTE)]
        {
            let query = Query { from: *from, to: to.saturating_add(1), resolution };
            if let Ok(answer) = reader.query(&query, |_, _| true) {
                assert!(answer.series.iter().all(|(_, points)| points.len() == answer.points));
            }
        }
    }
    let all = (i64::MIN, i64::MAX);
    let _ = reader.chunks(all, |_| true, |chunk| {
        for group in &chunk.groups {
            let rows = group.times.len();
            assert!(group.series.iter().all(|(_, values)| values.len() == rows));
        }
        ControlFlow::Continue(())
    });
    let _ = reader.events(all);
    let _ = reader.check(|_| {});
    let _ = reader.info();
});
