//! Block devices: /proc/diskstats.

use std::collections::BTreeMap;
use std::time::Duration;

use perfwatch_metrics::disk::DeviceMetrics;

use crate::error::Malformed;
use crate::limit::{ALL_OTHERS, fold_beyond, sum_rates};
use crate::parse::{fill, lines, number, set_text, words};
use crate::rate::{mean_ms, scaled_per_second, scaled_per_second_32};
use crate::rows::{Matcher, Named, Rows};

/// Most block devices that are reported by name. Of more, those with the most I/O since boot are, and the rest
/// is summed up as "all others".
pub const MAX_DEVICES: usize = 512;

/// A sector of /proc/diskstats, whatever the disk's own size of a sector (Documentation/admin-guide/iostats.rst).
const SECTOR_BYTES: u64 = 512;

/// One line of /proc/diskstats.
#[derive(Debug, Default)]
pub struct DeviceReading {
    /// The kernel's name.
    pub name: String,
    /// Completed reads, reads merged, sectors read, ms reading.
    pub reads: [u64; 4],
    /// Completed writes, writes merged, sectors written, ms writing.
    pub writes: [u64; 4],
    /// Whether the kernel says how long they took. Partitions of old kernels do not.
    pub timed: bool,
    /// Requests in flight, ms with any in flight, ms that all took.
    pub queue: [Option<u64>; 3],
    /// Completed discards, discards merged, sectors discarded, ms discarding. Since 4.18.
    pub discards: Option<[u64; 4]>,
    /// Completed flushes, ms flushing. Since 5.5.
    pub flushes: Option<[u64; 2]>,
}

impl DeviceReading {
    /// Count and time of its reads or writes. None where the kernel does not say how long they took.
    fn timed(&self, [count, .., time]: [u64; 4]) -> Option<(u64, u64)> {
        self.timed.then_some((count, time))
    }
}

impl Named for DeviceReading {
    fn name(&self) -> &str {
        &self.name
    }
}

/// Of each device by name, and whether there were too many.
pub(super) fn metrics(
    before: Option<(&[DeviceReading], Duration)>,
    now: &[DeviceReading],
) -> (BTreeMap<String, DeviceMetrics>, bool) {
    let (before, elapsed) = before.unwrap_or_default();
    let mut earlier = Matcher::new(before);
    let mut devices = BTreeMap::new();
    for device in now {
        let metrics = device_metrics(earlier.find(&device.name), elapsed, device);
        devices.insert(device.name.clone(), metrics);
    }
    let volume = |metrics: &DeviceMetrics| metrics.read_bytes.saturating_add(metrics.write_bytes);
    let truncated = fold_beyond(&mut devices, MAX_DEVICES, ALL_OTHERS, volume, add_device);
    (devices, truncated)
}

fn device_metrics(
    before: Option<&DeviceReading>,
    elapsed: Duration,
    now: &DeviceReading,
) -> DeviceMetrics {
    let [read_count, reads_merged, read_sectors, read_time_ms] = now.reads;
    let [write_count, writes_merged, write_sectors, write_time_ms] = now.writes;
    let [in_flight, io_time_ms, weighted_io_time_ms] = now.queue;
    let [discards, discards_merged, discarded_sectors, discard_time_ms] = columns(now.discards);
    let [flushes, flush_time_ms] = columns(now.flushes);
    let rate = |scale: f64, of: fn(&DeviceReading) -> Option<u64>| {
        scaled_per_second(scale, of(before?)?, of(now)?, elapsed)
    };
    // Times are kept in 32 bits.
    let time_rate = |scale: f64, of: fn(&DeviceReading) -> Option<u64>| {
        scaled_per_second_32(scale, of(before?)?, of(now)?, elapsed)
    };
    let latency = |of: fn(&DeviceReading) -> Option<(u64, u64)>| {
        let ((count_before, time_before), (count, time)) = (of(before?)?, of(now)?);
        mean_ms((time_before, time), (count_before, count))
    };
    DeviceMetrics {
        read_bytes: read_sectors.saturating_mul(SECTOR_BYTES),
        write_bytes: write_sectors.saturating_mul(SECTOR_BYTES),
        read_bytes_per_sec: rate(SECTOR_BYTES as f64, |device| Some(device.reads[2])),
        write_bytes_per_sec: rate(SECTOR_BYTES as f64, |device| Some(device.writes[2])),
        read_count,
        write_count,
        read_iops: rate(1.0, |device| Some(device.reads[0])),
        write_iops: rate(1.0, |device| Some(device.writes[0])),
        read_time_ms,
        write_time_ms,
        read_latency_ms: latency(|device| device.timed(device.reads)),
        write_latency_ms: latency(|device| device.timed(device.writes)),
        utilization_percent: time_rate(0.1, |device| device.queue[1]),
        queue_depth: time_rate(0.001, |device| device.queue[2]),
        in_flight,
        io_time_ms,
        weighted_io_time_ms,
        reads_merged: now.timed.then_some(reads_merged),
        writes_merged: now.timed.then_some(writes_merged),
        reads_merged_per_sec: rate(1.0, |device| device.timed.then_some(device.reads[1])),
        writes_merged_per_sec: rate(1.0, |device| device.timed.then_some(device.writes[1])),
        discards,
        discard_iops: rate(1.0, |device| Some(device.discards?[0])),
        discard_bytes: discarded_sectors.map(|sectors| sectors.saturating_mul(SECTOR_BYTES)),
        discard_bytes_per_sec: rate(SECTOR_BYTES as f64, |device| Some(device.discards?[2])),
        discard_time_ms,
        discard_latency_ms: latency(|device| {
            let [count, .., time] = device.discards?;
            Some((count, time))
        }),
        flushes,
        flush_iops: rate(1.0, |device| Some(device.flushes?[0])),
        flush_time_ms,
        flush_latency_ms: latency(|device| {
            let [count, time] = device.flushes?;
            Some((count, time))
        }),
        discards_merged,
    }
}

/// Columns that a kernel has all of, or none.
fn columns<const COUNT: usize>(columns: Option<[u64; COUNT]>) -> [Option<u64>; COUNT] {
    columns.map_or([None; COUNT], |columns| columns.map(Some))
}

/// Adds a device to the sum of the rest. Means of unlike devices, their latency and how busy they are, say nothing: the rest has
/// none.
fn add_device(sum: &mut DeviceMetrics, one: &DeviceMetrics) {
    let add = |sum: &mut u64, one: u64| *sum = sum.saturating_add(one);
    let add_known = |sum: &mut Option<u64>, one: Option<u64>| {
        *sum = sum.zip(one).map(|(sum, one)| sum.saturating_add(one));
    };
    add(&mut sum.read_bytes, one.read_bytes);
    add(&mut sum.write_bytes, one.write_bytes);
    add(&mut sum.read_count, one.read_count);
    add(&mut sum.write_count, one.write_count);
    add(&mut sum.read_time_ms, one.read_time_ms);
    add(&mut sum.write_time_ms, one.write_time_ms);
    add_known(&mut sum.in_flight, one.in_flight);
    add_known(&mut sum.weighted_io_time_ms, one.weighted_io_time_ms);
    add_known(&mut sum.reads_merged, one.reads_merged);
    add_known(&mut sum.writes_merged, one.writes_merged);
    add_known(&mut sum.discards, one.discards);
    add_known(&mut sum.discard_bytes, one.discard_bytes);
    add_known(&mut sum.discard_time_ms, one.discard_time_ms);
    add_known(&mut sum.flushes, one.flushes);
    add_known(&mut sum.flush_time_ms, one.flush_time_ms);
    add_known(&mut sum.discards_merged, one.discards_merged);
    for (sum, one) in [
        (&mut sum.read_bytes_per_sec, one.read_bytes_per_sec),
        (&mut sum.write_bytes_per_sec, one.write_bytes_per_sec),
        (&mut sum.read_iops, one.read_iops),
        (&mut sum.write_iops, one.write_iops),
        (&mut sum.queue_depth, one.queue_depth),
        (&mut sum.reads_merged_per_sec, one.reads_merged_per_sec),
        (&mut sum.writes_merged_per_sec, one.writes_merged_per_sec),
        (&mut sum.discard_iops, one.discard_iops),
        (&mut sum.discard_bytes_per_sec, one.discard_bytes_per_sec),
        (&mut sum.flush_iops, one.flush_iops),
    ] {
        sum_rates(sum, one);
    }
    sum.io_time_ms = None;
    for mean in [
        &mut sum.utilization_percent,
        &mut sum.read_latency_ms,
        &mut sum.write_latency_ms,
        &mut sum.discard_latency_ms,
        &mut sum.flush_latency_ms,
    ] {
        *mean = None;
    }
}

/// Reads /proc/diskstats: `254  0 vda 4475 2398 759498 2273 368 3264 71912 433 0 1188 2892 …`. After the name come
/// 11 counters (since 2.6), 15 with discards (4.18) or 17 with flushes (5.5). Partitions before 2.6.25 have
/// four: reads, sectors read, writes, sectors written. Loop devices are left out.
pub fn parse_diskstats(text: &[u8], into: &mut Rows<DeviceReading>) -> Result<(), Malformed> {
    /// Words of an old partition's line: major, minor, name and four counters.
    const OLD_PARTITION_WORDS: usize = 7;
    into.clear();
    for (index, line) in lines(text) {
        let mut columns = words(line).skip(2);
        let Some(name) = columns.next() else {
            return Err(Malformed::at(index, "no device"));
        };
        if name.starts_with(b"loop") {
            continue;
        }
        let row = into.next_row();
        set_text(&mut row.name, name);
        row.timed =
            words(line).take(OLD_PARTITION_WORDS.saturating_add(1)).count() != OLD_PARTITION_WORDS;
        if !row.timed {
            let mut old = [0; 4];
            fill(&mut old, columns, index)?;
            let [reads, sectors_read, writes, sectors_written] = old;
            row.reads = [reads, 0, sectors_read, 0];
            row.writes = [writes, 0, sectors_written, 0];
            (row.queue, row.discards, row.flushes) = ([None; 3], None, None);
        } else {
            fill(&mut row.reads, columns.by_ref(), index)?;
            fill(&mut row.writes, columns.by_ref(), index)?;
            row.queue = std::array::from_fn(|_| columns.next().and_then(number));
            row.discards = all(&mut columns);
            row.flushes = all(&mut columns);
        }
    }
    Ok(())
}

/// The next numbers, if they are all there.
fn all<'a, const COUNT: usize>(
    columns: &mut impl Iterator<Item = &'a [u8]>,
) -> Option<[u64; COUNT]> {
    let mut numbers = [0; COUNT];
    for slot in &mut numbers {
        *slot = number(columns.next()?)?;
    }
    Some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diskstats(text: &str) -> Result<Rows<DeviceReading>, Malformed> {
        let mut rows = Rows::default();
        parse_diskstats(text.as_bytes(), &mut rows).map(|()| rows)
    }

    fn device(before: &str, now: &str) -> DeviceMetrics {
        let (before, now) = (diskstats(before).unwrap(), diskstats(now).unwrap());
        metrics(Some((&before, Duration::from_secs(2))), &now).0.remove("sda").unwrap()
    }

    #[test]
    fn every_age_of_the_kernel_is_read() {
        let lines = "8 0 sda 1 2 3 4 5 6 7 8 9 10 11\n8 1 sda1 1 3 5 7\n7 0 loop0 1 2 3 4 5 6 7 8 9 10 11\n\
                     8 16 sdb 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15\n8 32 sdc 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17\n";
        let rows = diskstats(lines).unwrap();
        let names: Vec<_> = rows.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(names, ["sda", "sda1", "sdb", "sdc"]);
        for row in rows.iter().filter(|row| row.name != "sda1") {
            assert_eq!((row.reads, row.writes), ([1, 2, 3, 4], [5, 6, 7, 8]));
            assert_eq!(row.queue, [Some(9), Some(10), Some(11)]);
            let discards = (row.name != "sda").then_some([12, 13, 14, 15]);
            let flushes = (row.name == "sdc").then_some([16, 17]);
            assert_eq!((row.discards, row.flushes), (discards, flushes), "{}", row.name);
        }
        assert_eq!(rows[1].reads, [1, 0, 3, 0]);
        assert_eq!(rows[1].writes, [5, 0, 7, 0]);
        assert_eq!(rows[1].queue, [None; 3]);
    }

    #[test]
    fn latency_is_the_mean_over_the_interval() {
        let device = device(
            "8 0 sda 10 0 100 50 10 0 0 70 0 0 0\n",
            "8 0 sda 14 0 300 60 10 0 0 70 0 0 0\n",
        );
        assert_eq!((device.read_latency_ms, device.write_latency_ms), (Some(2.5), None));
        assert_eq!((device.read_iops, device.read_bytes_per_sec), (Some(2.0), Some(51_200.0)));
        assert_eq!((device.read_bytes, device.read_time_ms), (300 * 512, 60));
    }

    #[test]
    fn how_busy_a_device_was_comes_from_its_times() {
        let device = device(
            "8 0 sda 10 1 0 0 10 7 0 0 3 4294967000 4294966296 5 0 80 10 2 1\n",
            "8 0 sda 10 5 0 0 10 7 0 0 2 1204 3000 9 0 96 30 4 7\n",
        );
        // 1,500 and 4,000 ms in two seconds, past 2^32.
        assert_eq!((device.utilization_percent, device.queue_depth), (Some(75.0), Some(2.0)));
        assert_eq!((device.in_flight, device.reads_merged_per_sec), (Some(2), Some(2.0)));
        assert_eq!((device.discard_iops, device.discard_bytes_per_sec), (Some(2.0), Some(4096.0)));
        assert_eq!((device.discard_latency_ms, device.flush_latency_ms), (Some(5.0), Some(3.0)));
    }

    #[test]
    fn what_a_kernel_does_not_count_is_null() {
        let old = device("8 0 sda 1 3 5 7\n", "8 0 sda 1 3 5 7\n");
        assert_eq!((old.utilization_percent, old.reads_merged, old.in_flight), (None, None, None));
        let text = "8 0 sda 1 2 3 4 5 6 7 8 9 10 11\n";
        let device = device(text, text);
        assert_eq!((device.utilization_percent, device.discard_iops), (Some(0.0), None));
        assert_eq!((device.discards, device.flushes, device.flush_latency_ms), (None, None, None));
    }

    #[test]
    fn a_device_that_was_made_anew_has_no_rates() {
        let device =
            device("8 0 sda 10 0 100 50 1 0 8 70 0 0 0\n", "8 0 sda 1 0 8 1 2 0 16 80 0 0 0\n");
        assert_eq!((device.read_iops, device.read_latency_ms), (None, None));
        assert_eq!(device.write_latency_ms, Some(10.0));
    }

    #[test]
    fn nonsense_is_refused_with_its_line() {
        for (text, says) in [
            ("8 0\n", "1: no device"),
            ("8 0 sda\n", "1: expected 4 counters, found 0"),
            ("8 0 sda 1 2 3 4 5 6 7 x\n", "1: not a number: x"),
        ] {
            assert_eq!(diskstats(text).unwrap_err().to_string(), says);
        }
    }
}
