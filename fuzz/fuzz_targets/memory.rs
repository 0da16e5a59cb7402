//! /proc/meminfo, /proc/vmstat and /proc/zoneinfo.

#![no_main]

use libfuzzer_sys::fuzz_target;
use perfwatch_collect::memory::{
    Meminfo, MeminfoLines, Vmstat, parse_meminfo, parse_vmstat, parse_zoneinfo,
};

fuzz_target!(|text: &[u8]| {
    let _ = parse_meminfo(text, &mut Meminfo::default(), &mut MeminfoLines::default());
    let _ = parse_vmstat(text, &mut Vmstat::default());
    parse_zoneinfo(text);
});
