//! Histories and comparisons for people, and as CSV.

use std::fmt::Write as _;
use std::io::{self, Write};

use jiff::Timestamp;

use super::{Comparison, Events, History, Points, Series, local};
use crate::terminal::printable;

/// Eight heights.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Writes each series as a table of its steps, gaps drawn together, and the events after.
pub(crate) fn table(out: &mut impl Write, history: &History, events: &Events) -> io::Result<()> {
    for series in &history.series {
        let seconds = history.step_ms as f64 / 1000.0;
        writeln!(out, "{}  in {}, steps of {seconds} s", printable(&series.name), series.unit)?;
        let names: &[&str] = match &series.points {
            // Of one row, mean and extremes are one number.
            Points::Values { count, .. } if count.iter().all(|rows| *rows <= 1) => &["value"],
            Points::Values { increase: None, .. } => &["avg", "min", "max"],
            Points::Values { .. } => &["avg", "min", "max", "increase"],
            Points::Counter { .. } => &["last", "increase"],
        };
        write!(out, "  {:19}", "")?;
        names.iter().try_for_each(|name| write!(out, "  {name:>16}"))?;
        writeln!(out)?;
        // Since when there is nothing.
        let mut missing: Option<i64> = None;
        for (point, t) in history.t.iter().enumerate() {
            let Some(cells) = cells(series, point) else {
                missing.get_or_insert(*t);
                continue;
            };
            if let Some(first) = missing.take() {
                writeln!(out, "  {}  … no data until {}", local(first), local(*t))?;
            }
            write!(out, "  {}", local(*t))?;
            cells.iter().take(names.len()).try_for_each(|cell| write!(out, "  {cell:>16}"))?;
            writeln!(out)?;
        }
        if let Some(first) = missing {
            writeln!(out, "  {}  … no data", local(first))?;
        }
        writeln!(out)?;
    }
    for warning in &history.warnings {
        writeln!(out, "warning: {}", printable(warning))?;
    }
    for event in &events.events {
        writeln!(
            out,
            "{}  {:10}  {}",
            local(event.t),
            printable(&event.kind),
            printable(&event.words())
        )?;
    }
    Ok(())
}

/// The cells of one step. None without a value.
fn cells(series: &Series, point: usize) -> Option<Vec<String>> {
    let number = |values: &[Option<f64>]| {
        values.get(point).copied().flatten().map(|value| format!("{value:.3}"))
    };
    let count = |values: &[Option<u64>]| {
        values.get(point).copied().flatten().map_or("–".to_owned(), |value| value.to_string())
    };
    match &series.points {
        Points::Values { avg, min, max, increase, .. } => {
            let mut cells = vec![number(avg)?, number(min)?, number(max)?];
            cells.extend(increase.as_ref().and_then(|increase| number(increase)));
            Some(cells)
        }
        Points::Counter { last, increase, .. } => {
            last.get(point).copied().flatten()?;
            Some(vec![count(last), count(increase)])
        }
    }
}

/// Writes each series as one line: a bar for each step, least, mean and greatest value.
pub(crate) fn sparklines(out: &mut impl Write, history: &History) -> io::Result<()> {
    let widest = history.series.iter().map(|series| printable(&series.name).chars().count()).max();
    let widest = widest.unwrap_or_default();
    for series in &history.series {
        let values: Vec<Option<f64>> = match &series.points {
            Points::Values { avg, .. } => avg.clone(),
            Points::Counter { increase, .. } => {
                increase.iter().map(|value| value.map(|value| value as f64)).collect()
            }
        };
        let known = || values.iter().copied().flatten();
        let (least, most) = (known().fold(f64::MAX, f64::min), known().fold(f64::MIN, f64::max));
        let bar = |value: &Option<f64>| match value {
            Some(value) if most > least => {
                let height = (value - least) / (most - least) * (BARS.len() - 1) as f64;
                BARS.get(height.round() as usize).copied().unwrap_or(' ')
            }
            Some(_) => BARS[0],
            None => ' ',
        };
        let line: String = values.iter().map(bar).collect();
        let name = printable(&series.name);
        if known().next().is_none() {
            writeln!(out, "{name:<widest$}  no data")?;
        } else {
            writeln!(out, "{name:<widest$}  {line}  {least:.3} to {most:.3} {}", series.unit)?;
        }
    }
    Ok(())
}

/// As CSV: a line for each step of each series that has a value there.
pub(crate) fn csv(out: &mut impl Write, history: &History) -> io::Result<()> {
    writeln!(out, "time,series,avg,min,max,last,increase,count")?;
    for series in &history.series {
        let name = quoted(&series.name);
        for (point, t) in history.t.iter().enumerate() {
            let line = match &series.points {
                Points::Values { avg, min, max, increase, count } => {
                    let cell = |values: &[Option<f64>]| shown(values.get(point).copied().flatten());
                    let Some(rows) = count.get(point).filter(|rows| **rows > 0) else { continue };
                    let all = increase.as_ref().map(|increase| cell(increase)).unwrap_or_default();
                    format!("{},{},{},,{all},{rows}", cell(avg), cell(min), cell(max))
                }
                Points::Counter { last, increase, count } => {
                    let cell = |values: &[Option<u64>]| shown(values.get(point).copied().flatten());
                    let Some(rows) = count.get(point).filter(|rows| **rows > 0) else { continue };
                    format!(",,,{},{},{rows}", cell(last), cell(increase))
                }
            };
            writeln!(out, "{},{name},{line}", iso(*t))?;
        }
    }
    Ok(())
}

/// Milliseconds since the epoch in ISO 8601.
pub(crate) fn iso(ms: i64) -> String {
    Timestamp::from_millisecond(ms).unwrap_or_default().to_string()
}

fn shown<T: ToString>(value: Option<T>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

/// A cell of CSV by RFC 4180.
pub(crate) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

/// Writes the statistics of both sides, one series after the other.
pub(crate) fn comparison_table(out: &mut impl Write, comparison: &Comparison) -> io::Result<()> {
    for one in &comparison.series {
        let percent = one.change_percent.map(|percent| format!(" ({percent:+.1} %)"));
        let change = one
            .change
            .map(|change| format!("{change:+.3} {}{}", one.unit, percent.unwrap_or_default()));
        let change = change.unwrap_or_else(|| "not comparable".to_owned());
        writeln!(out, "{}  {change}", printable(&one.name))?;
        let mut line = String::new();
        for name in ["mean", "median", "p95", "p99", "min", "max", "coverage"] {
            // Writing to a string cannot fail.
            let _ = write!(line, "  {name:>14}");
        }
        writeln!(out, "  {:6}{line}", "")?;
        for (name, side) in [("now", &one.now), ("base", &one.base)] {
            let of = &side.statistics;
            write!(out, "  {name:6}")?;
            for value in [of.mean, of.median, of.p95, of.p99, of.min, of.max] {
                let cell = value.map_or("–".to_owned(), |value| format!("{value:.3}"));
                write!(out, "  {cell:>14}")?;
            }
            writeln!(out, "  {:>12.1} %", of.coverage * 100.0)?;
        }
    }
    if comparison.series.is_empty() {
        writeln!(out, "no such series in either range")?;
    } else {
        let seconds = comparison.statistics_step_ms as f64 / 1000.0;
        writeln!(out, "median and percentiles are of means over {seconds} s")?;
    }
    for warning in &comparison.warnings {
        writeln!(out, "warning: {}", printable(warning))?;
    }
    Ok(())
}

/// As CSV: a line for each side of each series.
pub(crate) fn comparison_csv(out: &mut impl Write, comparison: &Comparison) -> io::Result<()> {
    writeln!(out, "series,side,mean,median,p95,p99,min,max,coverage,change,change_percent")?;
    for one in &comparison.series {
        for (name, side) in [("now", &one.now), ("base", &one.base)] {
            let of = &side.statistics;
            let cells = [of.mean, of.median, of.p95, of.p99, of.min, of.max, Some(of.coverage)];
            let changes = [one.change, one.change_percent];
            let cells: Vec<_> = cells.into_iter().chain(changes).map(shown).collect();
            writeln!(out, "{},{name},{}", quoted(&one.name), cells.join(","))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of one series with steps of two minutes.
    fn table_of(values: &[Option<f64>]) -> String {
        let t: Vec<i64> = (0..values.len() as i64).map(|point| point * 120_000).collect();
        let count = values.iter().map(|value| u64::from(value.is_some())).collect();
        let (avg, min, max) = (values.to_vec(), values.to_vec(), values.to_vec());
        let points = Points::Values { avg, min, max, increase: None, count };
        let (id, labels) = ("cpu.usage_percent", Default::default());
        let series = vec![Series { id, labels, unit: "%", points, name: id.to_owned() }];
        let (step_ms, resolution_ms) = (120_000, Some(5_000));
        let history = History { t, step_ms, resolution_ms, series, warnings: Vec::new() };
        let events = Events { events: Vec::new(), warnings: Vec::new() };
        let mut out = Vec::new();
        table(&mut out, &history, &events).unwrap();
        String::from_utf8(out).unwrap()
    }

    /// The steps of a table: the time of each line, and what stands there.
    fn check(values: &[Option<f64>], expected: &[(i64, &str)]) {
        let table = table_of(values);
        let lines: Vec<&str> = table.lines().skip(2).filter(|line| !line.is_empty()).collect();
        let expected: Vec<String> = expected
            .iter()
            .map(|(minute, what)| format!("  {}  {what}", local(minute * 60_000)))
            .collect();
        assert_eq!(lines, expected);
    }

    #[test]
    fn a_gap_lasts_until_the_next_line() {
        let value = "           1.000";
        let until = |minute: i64| format!("… no data until {}", local(minute * 60_000));
        let one = Some(1.0);
        check(&[one, None, None, one], &[(0, value), (2, &until(6)), (6, value)]);
        check(&[one, None, one], &[(0, value), (2, &until(4)), (4, value)]);
        check(&[None, one], &[(0, &until(2)), (2, value)]);
        check(&[one, None, None], &[(0, value), (2, "… no data")]);
        check(&[None, None], &[(0, "… no data")]);
    }
}
