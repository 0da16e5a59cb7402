//! Starting on files of whoever made them to do harm, with checksums that are right: it always starts, takes rows in
//! and answers.

#![no_main]

#[path = "../memory_disk.rs"]
mod memory_disk;

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use memory_disk::MemoryDisk;
use perfwatch_store::{
    Error, GroupRow, Kind, Layout, Options, Query, Resolution, Row, Series, Store,
};

const NAMES: [&str; 4] =
    ["raw-00000002.seg", "1m-00000003.hot", "raw-00000004.hot", "00000005.events"];

/// The year 2100, later than whatever the files say with good reason.
const TIME: i64 = 4_102_444_800_000_000_000;

const PATIENCE: Duration = Duration::from_secs(4);

fuzz_target!(|content: &[u8]| {
    let disk = MemoryDisk::with(&NAMES, content);
    let store = Store::on(disk, Options::default(), |_, _| Vec::new()).unwrap();
    let series = Series { name: "answer".into(), kind: Kind::Gauge };
    let layout = Layout::new("group of its own", [series]);
    let groups = vec![GroupRow { layout, covered: 0, values: vec![Some(42)] }];
    store.append(Row { time: TIME, groups });
    let query = Query { from: TIME, to: TIME + 1, resolution: Resolution::Step(1) };
    let answer = store.reader().query(&query, |group, _| group == "group of its own");
    match answer {
        Ok(answer) => assert!(answer.series.iter().any(|(_, points)| points[0].max == 42)),
        // Rows that claim to be of all times.
        Err(Error::TooMuch(_)) => {}
        Err(error) => panic!("{error}"),
    }
    store.close(PATIENCE);
});
