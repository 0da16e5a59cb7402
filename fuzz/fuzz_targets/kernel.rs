//! The small files of the kernel.

#![no_main]

use libfuzzer_sys::fuzz_target;
use perfwatch_collect::kernel::{parse_file_nr, parse_threads, parse_uptime};

fuzz_target!(|bytes: &[u8]| {
    let _ = parse_uptime(bytes);
    let _ = parse_file_nr(bytes);
    let _ = parse_threads(bytes);
});
