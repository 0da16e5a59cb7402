//! Block devices in compressed memory: /sys/block/zram*/mm_stat.

use std::collections::BTreeMap;
use std::sync::Arc;

use perfwatch_metrics::memory::ZramMetrics;

use crate::error::{Malformed, Problem};
use crate::host::Host;
use crate::listing::{Kind, Listing};
use crate::parse::{fill, set_text, words};
use crate::rows::Rows;

/// Most devices that are reported, those of the lowest numbers. One for each CPU was a habit once.
pub const MAX_ZRAM: usize = 64;

const DEVICES: Kind<1> = Kind {
    directory: "block",
    name: "zram",
    by_number: false,
    files: ["mm_stat"],
    limit: MAX_ZRAM,
};

/// What the kernel said of a device.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct ZramReading {
    name: String,
    sizes: [u64; 3],
}

/// The devices of a host.
#[derive(Debug)]
pub(super) struct Zram(Listing<1>);

impl Zram {
    pub(super) fn new(host: &Arc<Host>) -> Self {
        Self(Listing::new(host, &DEVICES))
    }

    /// Says whether [`MAX_ZRAM`] cut some off.
    pub(super) fn read(
        &mut self,
        into: &mut Rows<ZramReading>,
        problems: &mut Vec<Problem>,
    ) -> bool {
        into.clear();
        self.0.read("zram", problems, |name, [mm_stat]| {
            let sizes = mm_stat.parse(parse_mm_stat)?;
            let row = into.next_row();
            set_text(&mut row.name, name.as_bytes());
            row.sizes = sizes;
            Ok(())
        })
    }
}

pub(super) fn metrics(now: &[ZramReading]) -> BTreeMap<String, ZramMetrics> {
    let metrics = |device: &ZramReading| {
        let [data_bytes, compressed_bytes, used_bytes] = device.sizes;
        (device.name.clone(), ZramMetrics { data_bytes, compressed_bytes, used_bytes })
    };
    now.iter().map(metrics).collect()
}

/// Size of the data, of the data compressed, and of the memory it takes, in bytes:
/// `      4096       87    12288        0    12288        0        0        0        0`. Since kernel 4.2.
pub fn parse_mm_stat(text: &[u8]) -> Result<[u64; 3], Malformed> {
    let mut sizes = [0; 3];
    fill(&mut sizes, words(text), 0)?;
    Ok(sizes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonsense_is_refused() {
        assert_eq!(parse_mm_stat(b"  4096  87 12288 0 12288 0\n"), Ok([4096, 87, 12288]));
        for (text, says) in [
            ("4096 87\n", "1: expected 3 counters, found 2"),
            ("4096 -1 0\n", "1: not a number: -1"),
        ] {
            assert_eq!(parse_mm_stat(text.as_bytes()).unwrap_err().to_string(), says);
        }
    }
}
