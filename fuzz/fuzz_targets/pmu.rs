//! Events of PMUs as sysfs writes them: formats on all lines but the last, the event on that. And what resctrl says.

#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use perfwatch_collect::perf::CpuList;
use perfwatch_collect::pmu::{encode, parse_format};
use perfwatch_collect::resctrl::parse_value;

fuzz_target!(|text: &[u8]| {
    let mut lines: Vec<_> = text.split(|byte| *byte == b'\n').collect();
    let event = lines.pop().unwrap_or_default();
    let mut formats = BTreeMap::new();
    for (name, line) in ('a'..='z').zip(lines) {
        if let Ok(format) = parse_format(line) {
            // Whatever has a place fits into a word, and nothing has none.
            assert_eq!(format.place(0), Some(0));
            formats.insert(name.to_string(), format);
        }
    }
    let _ = encode(event, &formats);
    let _ = parse_value(event);
    let _ = String::from_utf8_lossy(event).parse::<CpuList>();
});
