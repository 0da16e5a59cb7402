//! Mount tables.

#![no_main]

use std::collections::BTreeSet;

use libfuzzer_sys::fuzz_target;
use perfwatch_collect::disk::{parse_mount_ids, parse_mounts};

fuzz_target!(|text: &[u8]| {
    parse_mount_ids(text);
    let types = BTreeSet::from([b"ext4".to_vec(), b"xfs".to_vec()]);
    if let Ok(mounts) = parse_mounts(text, &types) {
        let places: BTreeSet<_> = mounts.iter().map(|mount| &mount.mountpoint).collect();
        assert_eq!(places.len(), mounts.len(), "a place is mounted once");
        assert!(mounts.iter().all(|mount| !mount.device.contains("loop")));
    }
});
