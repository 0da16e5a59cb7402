//! kill -9, a thousand times, on one directory: the test runs itself as a child that appends rows and says which are
//! acknowledged, and kills it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use perfwatch_store::{GroupRow, Kind, Layout, Options, Reader, Row, Store};

use crate::load::{BEGIN, SECOND, series};
use crate::rng::Rng;
use crate::truth::each_group;

const KILLS: u64 = 1_000;
const CHECK_EVERY: u64 = 50;

/// Tells the test that it is the child, and of which run.
const DIRECTORY: &str = "PERFWATCH_KILL_DIRECTORY";
const RUN: &str = "PERFWATCH_KILL_RUN";

/// Numbers of rows begin with this times the number of the run.
const RUN_NUMBERS: u64 = 100_000;

/// Rows between two acknowledgements.
const ROWS: u64 = 3;

/// A row's time says its number.
fn time(number: u64) -> i64 {
    let (run, row) = (number / RUN_NUMBERS, number % RUN_NUMBERS);
    BEGIN + (run * 1800) as i64 * SECOND + row as i64 * SECOND / 4
}

fn gauge(number: u64) -> i64 {
    (number * 7919 % 10_007) as i64
}

#[test]
fn child() {
    let Ok(directory) = std::env::var(DIRECTORY) else { return };
    let run: u64 = std::env::var(RUN).unwrap().parse().unwrap();
    let options = Options { commit_interval: Duration::from_millis(1), ..Options::default() };
    let store = Store::open(Path::new(&directory), options, |_, _| Vec::new()).unwrap();
    let layout = Layout::new(
        "g",
        [series("number", Kind::Counter), series("g", Kind::Gauge), series("run", Kind::Gauge)],
    );
    // The test harness has begun a line.
    println!("\nopen {:?}", store.health().trouble);
    for number in run * RUN_NUMBERS.. {
        let values = vec![Some(number as i64), Some(gauge(number)), Some(run as i64)];
        let group = GroupRow { layout: layout.clone(), covered: SECOND as u64 / 4, values };
        store.append(Row { time: time(number), groups: vec![group] });
        if number % ROWS == ROWS - 1 {
            assert!(store.flush(Duration::from_secs(30)));
            println!("acknowledged {number}");
        }
    }
}

fn spawn(directory: &Path, run: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill::child", "--nocapture", "--test-threads=1"])
        .env(DIRECTORY, directory)
        .env(RUN, run.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Runs a child until some time after its first acknowledgement, and returns its last.
fn run_and_kill(directory: &Path, run: u64, after: Duration) -> u64 {
    let mut child = spawn(directory, run);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut last = None;
    let mut opened = false;
    for line in lines.by_ref() {
        let line = line.unwrap();
        opened |= line == "open None";
        last = line.strip_prefix("acknowledged ").map(|number| number.parse().unwrap());
        if last.is_some() {
            break;
        }
    }
    let Some(mut last) = last else {
        let output = child.wait_with_output().unwrap();
        panic!("run {run} did not start: {}", String::from_utf8_lossy(&output.stderr));
    };
    assert!(opened, "run {run} started with trouble");
    thread::sleep(after);
    child.kill().unwrap();
    child.wait().unwrap();
    for line in lines {
        // The last line may be cut off.
        let number = line.unwrap().strip_prefix("acknowledged ").and_then(|n| n.parse().ok());
        last = number.filter(|number| number % ROWS == ROWS - 1 && *number > last).unwrap_or(last);
    }
    last
}

/// Reads everything and checks it against what was acknowledged by each run. Returns the number of rows.
fn check(directory: &Path, acknowledged: &BTreeMap<u64, u64>) -> usize {
    let mut rows = BTreeMap::new();
    let reader = Reader::open(directory).unwrap();
    let read = each_group(&reader, |group| {
        let column = |name: &str| {
            let found = group.series.iter().find(|(series, _)| &*series.name == name);
            found.unwrap().1.clone()
        };
        let (numbers, gauges) = (column("number"), column("g"));
        for ((at, number), value) in group.times.iter().zip(numbers).zip(gauges) {
            let number = number.unwrap() as u64;
            assert_eq!((*at, value), (time(number), Some(gauge(number))), "row {number}");
            assert!(rows.insert(number, ()).is_none(), "row {number} is there twice");
        }
    });
    assert_eq!(read.unwrap(), 0);
    let mut known = 0;
    for (run, last) in acknowledged {
        let first = run * RUN_NUMBERS;
        let of_run: Vec<u64> = rows.range(first..first + RUN_NUMBERS).map(|(n, ())| *n).collect();
        let newest = of_run.last().copied().unwrap_or_default();
        assert!(newest >= *last, "run {run}: acknowledged {last}, there is {newest}");
        let whole: Vec<u64> = (first..=newest).collect();
        assert_eq!(of_run, whole, "run {run} has holes");
        known += of_run.len();
    }
    assert_eq!(known, rows.len(), "rows of runs there never were");
    let aside = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name());
    let aside: Vec<_> = aside.filter(|name| name.to_string_lossy().contains("corrupt")).collect();
    assert!(aside.is_empty(), "{aside:?}");
    known
}

#[test]
fn a_thousand_kills_lose_and_double_nothing_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let began = Instant::now();
    let mut rng = Rng::new(9);
    let mut acknowledged = BTreeMap::new();
    let mut rows = 0;
    for run in 1..=KILLS {
        // Most die early, some have the time to make a block.
        let most = if rng.one_in(20) { 150_000 } else { 8_000 };
        let last = run_and_kill(directory.path(), run, Duration::from_micros(rng.below(most)));
        acknowledged.insert(run, last);
        if run % CHECK_EVERY == 0 {
            rows = check(directory.path(), &acknowledged);
        }
    }
    println!("{KILLS} kills, {rows} rows, {:.0?}", began.elapsed());
}
