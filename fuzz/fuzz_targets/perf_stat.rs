//! What `perf stat -x, -I` prints, in pieces of any size.

#![no_main]

use libfuzzer_sys::fuzz_target;
use perfwatch_collect::perf::stat::csv::{Count, Interval, Intervals};

fuzz_target!(|input: (u8, &[u8])| {
    let (size, text) = input;
    let (whole, pieces) = (intervals(text, text.len()), intervals(text, size.into()));
    assert_eq!(whole, pieces, "how it is read decides nothing");
    for interval in &whole {
        assert!(interval.length_ns > 0);
        for count in &interval.counts {
            if let Count::Counted { running_ns, enabled_ns, .. } = count {
                assert!(running_ns <= enabled_ns);
            }
        }
    }
});

fn intervals(text: &[u8], size: usize) -> Vec<Interval> {
    let (mut parser, mut found) = (Intervals::default(), Vec::new());
    for piece in text.chunks(size.max(1)) {
        parser.feed(piece, |interval| found.push(interval));
    }
    found.extend(parser.settle());
    found
}
