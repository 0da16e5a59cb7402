//! /proc/meminfo, /proc/vmstat and /proc/zoneinfo; what sysfs says of NUMA nodes and zram.

#![no_main]

use libfuzzer_sys::fuzz_target;
use perfwatch_collect::memory::{
    Allocations, Meminfo, MeminfoLines, Vmstat, parse_meminfo, parse_mm_stat, parse_node_meminfo,
    parse_numastat, parse_vmstat, parse_zoneinfo,
};

fuzz_target!(|text: &[u8]| {
    let _ = parse_meminfo(text, &mut Meminfo::default(), &mut MeminfoLines::default());
    let _ = parse_vmstat(text, &mut Vmstat::default());
    parse_zoneinfo(text);
    let _ = parse_node_meminfo(text);
    let _ = parse_numastat(text, &mut Allocations::default());
    let _ = parse_mm_stat(text);
});
