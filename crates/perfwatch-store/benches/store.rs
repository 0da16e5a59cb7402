//! What the store costs, on a recording of a busy host: 947 series at 1 Hz (`host1hz.bin.zst`; rows of little-endian
//! i64: time in ns, then the values, i64::MIN for none; `host1hz.bin.names` says which are counters).
//!
//! `cargo bench -p perfwatch-store -- NAME…` prints one JSON object for each name:
//!
//! - `size`: a day at 1 s and one at 5 s; bytes a value, everything in the directory included, after every row was
//!   read back and compared
//! - `writes`: a day at 1 s, committed every 5 rows; bytes written to the device, CPU time, memory
//! - `month`: 30 days at 1 s, then questions with a cold cache (needs root for that, and half a gigabyte in /var/tmp)
//! - `month-5s`: the same at 5 s, which has a fifth of the rows
//! - `year`: a year of minutes, then a year in points of an hour
//!
//! The recording is repeated as often as needed, its counters going on from where they stood.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::{self, File};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use perfwatch_store::{
    GroupRow, GroupRows, Kind, Layout, Options, Query, Reader, Resolution, Row, Series, Store,
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 86_400 * SECOND;

/// Where stores are made: on a disk, which /tmp often is not.
const SCRATCH: &str = "/var/tmp";

fn main() -> Result<()> {
    let recording = Recording::load()?;
    // cargo passes `--bench`.
    for name in std::env::args().skip(1).filter(|argument| !argument.starts_with('-')) {
        let figures = match name.as_str() {
            "size" => size(&recording)?,
            "writes" => writes(&recording)?,
            "month" => month(&recording, SECOND)?,
            "month-5s" => month(&recording, 5 * SECOND)?,
            "year" => year(&recording)?,
            other => {
                let known = "size, writes, month, month-5s and year";
                return Err(format!("{other}: known are {known}").into());
            }
        };
        let fields: Vec<_> =
            figures.iter().map(|(name, value)| format!("\"{name}\":{value:.4}")).collect();
        println!("{{{}}}", fields.join(","));
    }
    Ok(())
}

type Figures = BTreeMap<String, f64>;

/// The recording, and its series.
struct Recording {
    rows: Vec<Vec<i64>>,
    layout: Arc<Layout>,
    counter: Vec<bool>,
}

impl Recording {
    fn load() -> Result<Self> {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches");
        let bytes = zstd::stream::decode_all(File::open(dir.join("host1hz.bin.zst"))?)?;
        let text = fs::read_to_string(dir.join("host1hz.bin.names"))?;
        let (mut names, mut counter) = (Vec::new(), Vec::new());
        for line in text.lines() {
            let mut words = line.splitn(3, ' ');
            counter.push(words.next() == Some("c"));
            names.push(words.nth(1).ok_or("a line without a name")?.to_owned());
        }
        let series = names.iter().zip(&counter).map(|(name, counter)| Series {
            name: name.as_str().into(),
            kind: if *counter { Kind::Counter } else { Kind::Gauge },
        });
        let layout = Layout::new("host", series);
        let numbers: Vec<i64> = bytes
            .chunks_exact(8)
            .map(|bytes| bytes.iter().rev().fold(0, |number, byte| number << 8 | i64::from(*byte)))
            .collect();
        let rows = numbers.chunks_exact(names.len() + 1).map(<[i64]>::to_vec).collect();
        Ok(Self { rows, layout, counter })
    }

    /// Row `number` of a host that goes on and on: its time, what it covers, and the values.
    fn row(&self, number: usize, interval: i64, start: i64) -> (i64, Vec<Option<i64>>) {
        // Slower sampling sees every fifth row; where it is only about time, one row is as good as another.
        let stride = if interval == 5 * SECOND { 5 } else { 1 };
        let seen = number * stride;
        let (round, place) = (seen / self.rows.len(), seen % self.rows.len());
        let (row, first) = (&self.rows[place], &self.rows[0]);
        let last = &self.rows[self.rows.len() - 1];
        // The recording's own jitter, on a grid of the interval.
        let jitter = (row[0] - first[0]) - place as i64 * SECOND;
        let time = start + number as i64 * interval + jitter.clamp(0, SECOND / 2);
        let values = (1..row.len()).map(|column| {
            let value = Some(row[column]).filter(|value| *value != i64::MIN)?;
            let grown = if self.counter[column - 1] { last[column] - first[column] } else { 0 };
            Some(value.wrapping_add(grown.wrapping_mul(round as i64)))
        });
        (time, values.collect())
    }

    /// Appends so many rows, committing every `commit` of them. Returns how many values those are.
    fn fill(
        &self,
        store: &Store,
        count: usize,
        interval: i64,
        start: i64,
        commit: usize,
    ) -> Result<u64> {
        let (mut before, mut values_in_all) = (None, 0);
        for number in 0..count {
            let (time, values) = self.row(number, interval, start);
            values_in_all += values.iter().flatten().count() as u64;
            let covered = before.replace(time).map_or(0, |before| time - before) as u64;
            let layout = Arc::clone(&self.layout);
            store.append(Row { time, groups: vec![GroupRow { layout, covered, values }] });
            if (number + 1) % commit == 0 && !store.flush(Duration::from_secs(60)) {
                return Err("a commit took more than a minute".into());
            }
        }
        store.flush(Duration::from_secs(60));
        Ok(values_in_all)
    }
}

/// Keeps everything, whatever its age.
fn keep_all() -> Options {
    let year = Duration::from_secs(2 * 365 * 86_400);
    Options { keep: [year; 3], max_bytes: 1 << 40, ..Options::default() }
}

fn open(path: &Path) -> Result<Store> {
    Ok(Store::open(path, keep_all(), |_, _| Vec::new())?)
}

fn scratch() -> Result<tempfile::TempDir> {
    Ok(tempfile::tempdir_in(SCRATCH)?)
}

/// A whole hour in 2026.
const START: i64 = 1_790_000_400 * SECOND / (3600 * SECOND) * (3600 * SECOND);

fn size(recording: &Recording) -> Result<Figures> {
    let mut figures = Figures::new();
    for (name, interval) in [("1s", SECOND), ("5s", 5 * SECOND)] {
        let dir = scratch()?;
        let store = open(dir.path())?;
        let count = (DAY / interval) as usize;
        let started = cpu_seconds()?;
        let values = recording.fill(&store, count, interval, START, 60)?;
        store.close(Duration::from_secs(60));
        figures.insert(
            format!("{name}.encoded_million_per_s"),
            million(values, cpu_seconds()? - started),
        );
        let started = cpu_seconds()?;
        let read = read_back(recording, dir.path(), interval)?;
        figures.insert(
            format!("{name}.decoded_million_per_s"),
            million(values, cpu_seconds()? - started),
        );
        if read != values {
            return Err(format!("{values} values went in, {read} came out").into());
        }
        let bytes = bytes_by_kind(dir.path())?;
        let of = |kinds: &[&str]| kinds.iter().filter_map(|kind| bytes.get(*kind)).sum::<u64>();
        let all: u64 = bytes.values().sum();
        let per_value = |bytes: u64| bytes as f64 / values as f64;
        figures.insert(format!("{name}.bytes_per_value"), per_value(all));
        figures
            .insert(format!("{name}.raw_bytes_per_value"), per_value(of(&["raw.seg", "raw.hot"])));
        figures.insert(format!("{name}.values"), values as f64);
    }
    Ok(figures)
}

fn million(values: u64, seconds: f64) -> f64 {
    values as f64 / 1e6 / seconds
}

/// Reads every row and compares it with what went in. Returns how many values there are.
fn read_back(recording: &Recording, path: &Path, interval: i64) -> Result<u64> {
    let reader = Reader::open(path)?;
    let (mut number, mut values) = (0, 0);
    let mut wrong = None;
    let mut compare = |group: &GroupRows| {
        for (row, time) in group.times.iter().enumerate() {
            let (expected_time, expected) = recording.row(number, interval, START);
            let found = group.series.iter().map(|(_, values)| values[row]);
            if *time != expected_time || !found.clone().eq(expected) {
                wrong.get_or_insert(number);
            }
            values += found.flatten().count() as u64;
            number += 1;
        }
    };
    let all = (i64::MIN, i64::MAX);
    let damaged = reader.chunks(
        all,
        |_| true,
        |chunk| {
            chunk.groups.iter().for_each(&mut compare);
            ControlFlow::Continue(())
        },
    )?;
    match wrong {
        _ if damaged > 0 => Err(format!("{damaged} parts could not be read").into()),
        Some(row) => Err(format!("row {row} is not what went in").into()),
        None => Ok(values),
    }
}

/// Bytes in the directory: `raw.seg`, `1m.hot` and so on.
fn bytes_by_kind(path: &Path) -> Result<BTreeMap<String, u64>> {
    let mut bytes = BTreeMap::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let kind = match (name.split_once('-'), name.rsplit_once('.')) {
            (Some((tier, _)), Some((_, extension))) => format!("{tier}.{extension}"),
            _ => "other".to_owned(),
        };
        *bytes.entry(kind).or_default() += entry.metadata()?.len();
    }
    Ok(bytes)
}

fn writes(recording: &Recording) -> Result<Figures> {
    let dir = scratch()?;
    let store = open(dir.path())?;
    let (written, cpu) = (proc_number("io", "write_bytes:")?, cpu_seconds()?);
    recording.fill(&store, (DAY / SECOND) as usize, SECOND, START, 5)?;
    let written = proc_number("io", "write_bytes:")? - written;
    Ok(Figures::from([
        ("device_mb_a_day".to_owned(), written as f64 / 1e6),
        ("cpu_s_a_day".to_owned(), cpu_seconds()? - cpu),
        ("rss_mb".to_owned(), proc_number("status", "VmHWM:")? as f64 / 1024.0),
    ]))
}

fn month(recording: &Recording, interval: i64) -> Result<Figures> {
    const DAYS: i64 = 30;
    let dir = scratch()?;
    let store = open(dir.path())?;
    let cpu = cpu_seconds()?;
    let rows = (DAYS * DAY / interval) as usize;
    let values = recording.fill(&store, rows, interval, START, 600)?;
    let mut figures = Figures::from([
        ("ingest_cpu_s".to_owned(), cpu_seconds()? - cpu),
        ("values".to_owned(), values as f64),
        ("mb".to_owned(), bytes_by_kind(dir.path())?.values().sum::<u64>() as f64 / 1e6),
    ]);
    store.close(Duration::from_secs(60));
    drop(store);
    let end = START + DAYS * DAY;
    let seven: Vec<&str> = SEVEN.to_vec();
    for (range, seconds) in [
        ("15m", 900),
        ("1h", 3600),
        ("6h", 6 * 3600),
        ("8h", 8 * 3600),
        ("24h", 86_400),
        ("7d", 7 * 86_400),
        ("10d", 10 * 86_400),
        ("20d", 20 * 86_400),
        ("30d", 30 * 86_400),
    ] {
        for names in [&seven[..1], &seven[..]] {
            let resolution = Resolution::Points(1000);
            let query = Query { from: end - seconds * SECOND, to: end, resolution };
            let (cold, first) = timed(dir.path(), names, &[query])?;
            figures.insert(format!("{range}.{}.warm_index_ms", names.len()), cold);
            figures.insert(format!("{range}.{}.first_question_ms", names.len()), first);
        }
    }
    let day = |back: i64| Query {
        from: end - (back + 1) * DAY,
        to: end - back * DAY,
        resolution: Resolution::Points(2000),
    };
    let (cold, first) = timed(dir.path(), &seven[..1], &[day(0), day(7)])?;
    figures.insert("compare.1.warm_index_ms".to_owned(), cold);
    figures.insert("compare.1.first_question_ms".to_owned(), first);
    let (cold, _) = timed(dir.path(), &seven, &[day(0), day(7)])?;
    figures.insert("compare.7.warm_index_ms".to_owned(), cold);
    Ok(figures)
}

/// Busy ones, far from each other in the recording.
const SEVEN: [&str; 7] = [
    "stat.ctxt",
    "stat.cpu.0",
    "mem.MemFree",
    "vm.pgfault",
    "vm.nr_dirty",
    "stat.softirq.3",
    "mem.Cached",
];

fn year(recording: &Recording) -> Result<Figures> {
    let dir = scratch()?;
    let store = open(dir.path())?;
    recording.fill(&store, 365 * 1440, 60 * SECOND, START, 600)?;
    store.close(Duration::from_secs(60));
    drop(store);
    let resolution = Resolution::Step(3600 * SECOND);
    let query = Query { from: START, to: START + 365 * DAY, resolution };
    let (cold, first) = timed(dir.path(), &SEVEN[..1], &[query])?;
    Ok(Figures::from([
        ("year.1.warm_index_ms".to_owned(), cold),
        ("year.1.first_question_ms".to_owned(), first),
    ]))
}

/// Milliseconds that questions take with a cold page cache, medians of several: for a reader that knows the files, and for
/// a new one.
fn timed(path: &Path, names: &[&str], queries: &[Query]) -> Result<(f64, f64)> {
    const ROUNDS: usize = 7;
    let ask = |reader: &Reader| -> Result<f64> {
        let started = Instant::now();
        for query in queries {
            let answer = reader.query(query, |_, series| names.contains(&&*series.name))?;
            if answer.series.len() != names.len() || answer.damaged > 0 {
                return Err(
                    format!("{} of {} series found", answer.series.len(), names.len()).into()
                );
            }
        }
        Ok(started.elapsed().as_secs_f64() * 1000.0)
    };
    let known = Reader::open(path)?;
    ask(&known)?;
    let (mut warm, mut first) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        drop_caches()?;
        warm.push(ask(&known)?);
        drop_caches()?;
        first.push(ask(&Reader::open(path)?)?);
    }
    let median = |mut times: Vec<f64>| {
        times.sort_unstable_by(f64::total_cmp);
        times[times.len() / 2]
    };
    Ok((median(warm), median(first)))
}

fn drop_caches() -> Result<()> {
    rustix::fs::sync();
    fs::write("/proc/sys/vm/drop_caches", "3")
        .map_err(|error| format!("dropping caches: {error}").into())
}

/// CPU time of this process so far, all threads.
fn cpu_seconds() -> Result<f64> {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Ok(time.tv_sec as f64 + time.tv_nsec as f64 / 1e9)
}

/// A number of a file of this process in /proc.
fn proc_number(file: &str, name: &str) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/self/{file}"))?;
    let line = text.lines().find(|line| line.starts_with(name)).ok_or("no such line")?;
    Ok(line.split_ascii_whitespace().nth(1).ok_or("no number")?.parse()?)
}
