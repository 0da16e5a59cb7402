//! `perfwatch export` and `perfwatch import`.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use jiff::Zoned;
use perfwatch_store::Store;

use super::history::reader;
use crate::cli::{ExportArgs, ExportFormat, ImportArgs};
use crate::config::Settings;
use crate::recorder::nanoseconds;
use crate::transfer;
use crate::when::{Edge, Range, instant};

/// How long an end waits for the disk: everything is durable by then.
const CLOSE_PATIENCE: Duration = Duration::from_secs(120);

/// Writes what is kept to standard output. What is damaged is left out, and makes it fail in the end.
pub(crate) fn export(settings: &Settings, args: &ExportArgs) -> anyhow::Result<ExitCode> {
    let reader = reader(settings)?;
    let span = span(args.from.as_deref(), args.to.as_deref(), &Zoned::now())?;
    let mut out = BufWriter::new(io::stdout().lock());
    let left_out = match args.format {
        ExportFormat::Ndjson => {
            let damaged = transfer::ndjson(&mut out, &reader, span, &args.select)?;
            transfer::LeftOut { damaged, not_later: 0 }
        }
        ExportFormat::Csv => {
            let damaged = transfer::csv(&mut out, &reader, span, &args.select)?;
            transfer::LeftOut { damaged, not_later: 0 }
        }
        ExportFormat::Openmetrics => transfer::openmetrics(&mut out, &reader, span, &args.select)?,
    };
    out.flush()?;
    let mut errors = io::stderr().lock();
    if left_out.not_later > 0 {
        writeln!(
            errors,
            "perfwatch: {} samples were left out: they are not later than the ones before, as after the clock was set \
             back, and OpenMetrics has no such",
            left_out.not_later
        )?;
    }
    if left_out.damaged > 0 {
        writeln!(
            errors,
            "perfwatch: {} damaged pieces of the files were left out",
            left_out.damaged
        )?;
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// What is exported: everything, unless an end is given.
fn span(from: Option<&str>, to: Option<&str>, now: &Zoned) -> anyhow::Result<(i64, i64)> {
    if from.is_some() && to.is_some() {
        let range = Range::parse(from, to, now)?;
        return Ok((nanoseconds(range.from()), nanoseconds(range.to())));
    }
    let at = |text: Option<&str>, edge, otherwise| {
        text.map_or(Ok(otherwise), |text| instant(text, edge, now).map(nanoseconds))
    };
    Ok((at(from, Edge::From, i64::MIN)?, at(to, Edge::To, i64::MAX)?))
}

/// Takes in what `export` wrote.
pub(crate) fn import(settings: &Settings, args: &ImportArgs) -> anyhow::Result<()> {
    let shown = args.file.display();
    let file = (args.file != Path::new("-"))
        .then(|| File::open(&args.file).with_context(|| format!("opening {shown}")))
        .transpose()?;
    let dir = settings.data_dir()?;
    let store = Store::open(&dir, settings.storage.clone(), |_, _| Vec::new())
        .context("opening the history to write (a server that runs on it must be stopped first)")?;
    if let Some((_, reason)) = store.health().trouble {
        anyhow::bail!("opening the history to write: {reason}");
    }
    let (counts, done) = match file {
        Some(file) => transfer::import(&store, BufReader::new(file)),
        None => transfer::import(&store, io::stdin().lock()),
    };
    let closed = store.close(CLOSE_PATIENCE);
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "{} rows imported, {} skipped because they are there already",
        counts.imported, counts.skipped
    )?;
    done.with_context(|| format!("importing {shown}"))?;
    anyhow::ensure!(closed, "the disk takes too long to write the history");
    Ok(())
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn everything_is_exported_unless_an_end_is_given() {
        let now = Timestamp::from_second(1_795_399_920).unwrap().to_zoned(jiff::tz::TimeZone::UTC);
        assert_eq!(span(None, None, &now).unwrap(), (i64::MIN, i64::MAX));
        assert_eq!(span(None, Some("1000"), &now).unwrap(), (i64::MIN, 1_000_000_000));
        assert_eq!(span(Some("1000"), None, &now).unwrap(), (1_000_000_000, i64::MAX));
        assert!(span(Some("now"), Some("now-1h"), &now).is_err());
    }
}
