//! scratch
#![allow(clippy::unwrap_used)]
use perfwatch_store::*;
use std::sync::Arc;
use std::time::{Duration, Instant};

fn main() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/");
    let raw =
        zstd::stream::decode_all(std::fs::File::open(format!("{dir}host1hz.bin.zst")).unwrap())
            .unwrap();
    let names = std::fs::read_to_string(format!("{dir}host1hz.bin.names")).unwrap();
    let series: Vec<Series> = names
        .lines()
        .map(|l| {
            let mut w = l.splitn(3, ' ');
            let k = w.next().unwrap();
            w.next();
            Series {
                name: w.next().unwrap().into(),
                kind: if k == "c" { Kind::Counter } else { Kind::Gauge },
            }
        })
        .collect();
    let n = series.len();
    let layout = Layout::new("host", series);
    let all: Vec<i64> = raw.chunks(8).map(|c| i64::from_le_bytes(c.try_into().unwrap())).collect();
    let rows: Vec<&[i64]> = all.chunks(n + 1).collect();
    for every in [1, 5] {
        let tmp = tempfile::tempdir_in("/var/tmp").unwrap();
        let store = Store::open(
            tmp.path(),
            Options { commit_interval: Duration::from_millis(1), ..Options::default() },
            |_, _| Vec::new(),
        )
        .unwrap();
        let start = Instant::now();
        let mut before = None;
        let mut samples = 0u64;
        for row in rows.iter().step_by(every) {
            let covered = before.map_or(0, |b| (row[0] - b) as u64);
            before = Some(row[0]);
            let values: Vec<_> = row[1..].iter().map(|v| (*v != i64::MIN).then_some(*v)).collect();
            samples += values.iter().flatten().count() as u64;
            store.append(Row {
                time: row[0],
                groups: vec![GroupRow { layout: Arc::clone(&layout), covered, values }],
            });
        }
        println!("{:?}", store.flush(Duration::from_secs(60)));
        println!("{every} ingest {:?} samples {samples}", start.elapsed());
        let q = Instant::now();
        let a = store
            .reader()
            .query(
                &Query {
                    from: rows[0][0],
                    to: rows[rows.len() - 1][0] + 1,
                    resolution: Resolution::Points(1000),
                },
                |_, s| &*s.name == "stat.ctxt",
            )
            .unwrap();
        println!(
            "query {:?} step {} points {} n={}",
            q.elapsed(),
            a.step,
            a.points,
            a.series.len()
        );
        let total: u128 = a.series[0].1.iter().map(|s| s.sum as u128).sum();
        let ctxt = names.lines().position(|l| l.ends_with("stat.ctxt")).unwrap();
        println!(
            "increase {total} expected {}",
            rows[(rows.len() - 1) / every * every][ctxt + 1] - rows[0][ctxt + 1]
        );
        println!("{:?} {:?}", store.reader().extent().unwrap(), store.health());
        store.close(Duration::from_secs(10));
        let mut by: std::collections::BTreeMap<String, u64> = Default::default();
        for e in std::fs::read_dir(tmp.path()).unwrap() {
            let e = e.unwrap();
            println!("{:?} {}", e.file_name(), e.metadata().unwrap().len());
            *by.entry("all".into()).or_default() += e.metadata().unwrap().len();
        }
        println!("{}: {:.3} B/sample", every, by["all"] as f64 / samples as f64);
    }
}
