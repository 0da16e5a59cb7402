//! `perfwatch query` and `perfwatch compare`: history from the files themselves, beside a running server too.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Context;
use jiff::Zoned;
use perfwatch_store::{Reader, Resolution};

use crate::cli::{CompareArgs, CompareFormat, QueryArgs, QueryFormat};
use crate::config::Settings;
use crate::history::{self, CompareRequest};
use crate::selector::Selector;
use crate::terminal::printable;
use crate::when::{Range, Shift};

/// How `--fail-if` exits when it holds.
const BROKEN: u8 = 3;

/// Prints series.
pub(crate) fn query(settings: &Settings, args: &QueryArgs) -> anyhow::Result<()> {
    any_metric(&args.select)?;
    let reader = reader(settings)?;
    let range = Range::parse(args.range.from.as_deref(), args.range.to.as_deref(), &Zoned::now())?;
    let resolution = Resolution::Points(args.points);
    let found = history::series(&reader, &args.select, &range, resolution)?;
    let is_empty = found.series.is_empty();
    let why_empty =
        is_empty.then(|| history::why_empty(&reader, &range, resolution)).transpose()?;
    if matches!(args.format, QueryFormat::Csv | QueryFormat::Sparkline) {
        let mut errors = io::stderr().lock();
        for line in found.warnings.iter().chain(&why_empty) {
            writeln!(errors, "perfwatch: {}", printable(line))?;
        }
    }
    let mut out = io::BufWriter::new(io::stdout().lock());
    match args.format {
        QueryFormat::Table => {
            if let Some(why) = why_empty {
                writeln!(out, "{why}")?;
            }
            history::table(&mut out, &found, &history::events(&reader, &range)?)?;
        }
        QueryFormat::Csv => history::csv(&mut out, &found)?,
        QueryFormat::Json => {
            serde_json::to_writer(&mut out, &found).map_err(io::Error::from)?;
            writeln!(out)?;
        }
        QueryFormat::Sparkline => history::sparklines(&mut out, &found)?,
    }
    Ok(out.flush()?)
}

/// Prints two stretches side by side, and fails when one of the thresholds is broken.
pub(crate) fn compare(settings: &Settings, args: &CompareArgs) -> anyhow::Result<ExitCode> {
    let reader = reader(settings)?;
    let now = Zoned::now();
    let range = Range::parse(args.range.from.as_deref(), args.range.to.as_deref(), &now)?;
    let shift = Shift::parse(&args.vs, &now)?;
    let mut selectors = args.select.clone();
    selectors.extend(args.fail_if.iter().map(|threshold| threshold.selector().clone()));
    anyhow::ensure!(!selectors.is_empty(), "say what to compare, such as cpu.usage_percent");
    any_metric(&selectors)?;
    let request = CompareRequest {
        selectors: &selectors,
        range,
        other: shift.other_side(&range)?,
        shift: &shift,
        points: args.points,
    };
    let comparison = history::compare(&reader, &request)?;
    // First, so that nobody who stops reading keeps a threshold from being told.
    let (mut broken, mut unchecked) = (Vec::new(), Vec::new());
    for threshold in &args.fail_if {
        match threshold.broken_by(&comparison) {
            Some(lines) => broken.extend(lines),
            None => unchecked.push(threshold.text()),
        }
    }
    let mut errors = io::stderr().lock();
    for line in &broken {
        writeln!(errors, "perfwatch: {}", printable(line))?;
    }
    for text in &unchecked {
        let text = printable(text);
        writeln!(errors, "perfwatch: {text}: nothing to compare, or a percentage of nothing")?;
    }
    let code = match (broken.is_empty(), unchecked.is_empty()) {
        (false, _) => ExitCode::from(BROKEN),
        (true, false) => ExitCode::FAILURE,
        (true, true) => ExitCode::SUCCESS,
    };
    drop(errors);
    let mut out = io::BufWriter::new(io::stdout().lock());
    match args.format {
        CompareFormat::Table => history::comparison_table(&mut out, &comparison)?,
        CompareFormat::Csv => history::comparison_csv(&mut out, &comparison)?,
        CompareFormat::Json => {
            serde_json::to_writer(&mut out, &comparison).map_err(io::Error::from)?;
            writeln!(out)?;
        }
    }
    match out.flush() {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(code),
    }
}

/// Fails when none of the selectors could mean a metric.
fn any_metric(selectors: &[Selector]) -> anyhow::Result<()> {
    let unknown: Vec<_> = selectors.iter().filter_map(Selector::no_such_metric).collect();
    anyhow::ensure!(unknown.len() < selectors.len(), "{}", printable(&unknown.join("; ")));
    Ok(())
}

/// Reads the files of the settings' directory.
pub(crate) fn reader(settings: &Settings) -> anyhow::Result<Reader> {
    let dir = settings.data_dir()?;
    Reader::open(&dir).context("history is kept by `perfwatch serve`; --data says where")
}
