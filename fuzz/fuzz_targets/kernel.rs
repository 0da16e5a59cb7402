//! The small files of the kernel, and what it says of this process.

#![no_main]

use libfuzzer_sys::fuzz_target;
use perfwatch_collect::kernel::{parse_file_nr, parse_threads, parse_uptime};
use perfwatch_collect::own;

fuzz_target!(|bytes: &[u8]| {
    let _ = parse_uptime(bytes);
    let _ = parse_file_nr(bytes);
    let _ = parse_threads(bytes);
    let _ = own::parse_stat(bytes);
});
