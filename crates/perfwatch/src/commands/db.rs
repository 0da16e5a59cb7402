//! `perfwatch db`: what the files hold, whether they are sound, and a copy of them.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use perfwatch_store::{Checked, Copied, Damage, Info, Options, Reader, TIERS, compact};
use serde_json::{Value, json};

use super::history::reader;
use crate::cli::{DbCommand, DbFormat};
use crate::config::Settings;
use crate::growth::{Forecast, days};
use crate::history::{MS, local};
use crate::table::binary;
use crate::terminal::printable;

/// Most damaged spots that are listed as JSON. What is beyond is counted.
const MAX_SPOTS: usize = 10_000;

/// Runs a subcommand.
pub(crate) fn run(settings: &Settings, command: &DbCommand) -> anyhow::Result<ExitCode> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let mut code = ExitCode::SUCCESS;
    match command {
        DbCommand::Check { format } => code = check(&mut out, &reader(settings)?, *format)?,
        DbCommand::Info { format } => {
            let info = reader(settings)?.info()?;
            match format {
                DbFormat::Table => info_table(&mut out, &info, &settings.storage)?,
                DbFormat::Json => writeln!(out, "{}", info_json(&info, &settings.storage))?,
            }
        }
        DbCommand::Backup { file, force } => {
            let copied = reader(settings)?
                .backup(file, *force)
                .context("making a backup (--force replaces one that is there)")?;
            report(&mut out, &copied, file)?;
        }
        DbCommand::Restore { file } => {
            let backup = Reader::open(file).context("opening the backup")?;
            let dir = settings.data_dir()?;
            let copied = backup.restore(&dir, &settings.storage).context("restoring a backup")?;
            report(&mut out, &copied, &dir)?;
        }
        DbCommand::Compact => {
            let dir = settings.data_dir()?;
            // A directory is not made only to be compacted.
            Reader::open(&dir).context("opening the history")?;
            let done = compact(&dir, &settings.storage).context("compacting the history")?;
            writeln!(
                out,
                "{} in {} files before, {} in {} files after",
                bytes(done.bytes_before),
                done.files_before,
                bytes(done.bytes_after),
                done.files_after
            )?;
            for (count, what) in [
                (done.expired, "files were removed because their time was over"),
                (done.duplicates, "pieces were there twice"),
                (done.damaged, "damaged pieces were dropped"),
            ] {
                if count > 0 {
                    writeln!(out, "{count} {what}")?;
                }
            }
        }
    }
    out.flush()?;
    Ok(code)
}

fn bytes(count: u64) -> String {
    binary(count as f64, "B")
}

fn report(out: &mut impl Write, copied: &Copied, to: &Path) -> io::Result<()> {
    let rows: Vec<_> = TIERS
        .iter()
        .zip(&copied.rows)
        .filter(|(_, rows)| **rows > 0)
        .map(|(tier, rows)| format!("{rows} rows of {}", tier.name))
        .collect();
    let rows = if rows.is_empty() { "no rows".to_owned() } else { rows.join(", ") };
    writeln!(
        out,
        "{rows} and {} events written to {}: {}",
        copied.events,
        printable(&to.display().to_string()),
        bytes(copied.bytes)
    )?;
    if copied.damaged > 0 {
        writeln!(out, "warning: {} damaged pieces were copied as they are", copied.damaged)?;
    }
    Ok(())
}

fn check(out: &mut impl Write, reader: &Reader, format: DbFormat) -> anyhow::Result<ExitCode> {
    let mut spots = Vec::new();
    let mut written = Ok(());
    let checked = reader.check(|damage| match format {
        DbFormat::Table if written.is_ok() => written = writeln!(out, "{}", spot(&damage)),
        DbFormat::Json if spots.len() < MAX_SPOTS => spots.push(spot_json(&damage)),
        _ => {}
    })?;
    written?;
    match format {
        DbFormat::Table => check_table(out, &checked)?,
        DbFormat::Json => {
            let cut_off = checked.cut_off.iter();
            let cut_off = cut_off.map(|(file, bytes)| json!({ "file": file, "bytes": bytes }));
            let summary = json!({
                "files": checked.files,
                "bytes": checked.bytes,
                "records": checked.records,
                "frames": checked.frames,
                "damaged": checked.damaged,
                "damage": spots,
                "cut_off": cut_off.collect::<Vec<_>>(),
                "set_aside": checked.set_aside,
            });
            writeln!(out, "{summary}")?;
        }
    }
    Ok(if checked.damaged > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// A damaged spot as a line.
fn spot(damage: &Damage) -> String {
    let file = match damage.file.as_str() {
        "" => String::new(),
        name => format!("{}: ", printable(name)),
    };
    let length = match damage.bytes {
        0 => String::new(),
        bytes => format!(" ({bytes} bytes)"),
    };
    let tier = damage.tier.map(|tier| format!(" of tier {tier}")).unwrap_or_default();
    let times = damage.times.map(|(from, to)| format!(", {} to {}", time(from), time(to)));
    let (offset, what) = (damage.offset, printable(&damage.what));
    format!("{file}at byte {offset}{length}: lost: {what}{tier}{}", times.unwrap_or_default())
}

fn time(ns: i64) -> String {
    local(ns.div_euclid(MS))
}

fn spot_json(damage: &Damage) -> Value {
    json!({
        "file": damage.file,
        "offset": damage.offset,
        "bytes": damage.bytes,
        "lost": damage.what,
        "tier": damage.tier,
        "from_ms": damage.times.map(|(from, _)| from.div_euclid(MS)),
        "to_ms": damage.times.map(|(_, to)| to.div_euclid(MS)),
    })
}

fn check_table(out: &mut impl Write, checked: &Checked) -> io::Result<()> {
    for (file, bytes) in &checked.cut_off {
        let file = if file.is_empty() { "the file" } else { file };
        writeln!(
            out,
            "{}: ends within a record of {bytes} bytes, as while it is written or after a power cut: nothing is lost \
             that was said to be durable",
            printable(file)
        )?;
    }
    for name in &checked.set_aside {
        writeln!(out, "{}: nothing in it could be read, and it was set aside", printable(name))?;
    }
    writeln!(
        out,
        "{} files, {}, {} records, {} pieces: {}",
        checked.files,
        bytes(checked.bytes),
        checked.records,
        checked.frames,
        match checked.damaged {
            0 => "all sound".to_owned(),
            1 => "1 damaged spot".to_owned(),
            spots => format!("{spots} damaged spots"),
        }
    )
}

fn info_table(out: &mut impl Write, info: &Info, options: &Options) -> io::Result<()> {
    let forecast = Forecast::of(info, options);
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "–".to_owned());
    writeln!(
        out,
        "{:5} {:>6} {:>11} {:>10}  {:19}  {:19} {:>11} {:>11} {:>9} {:>11}",
        "tier", "files", "size", "rows", "from", "to", "bytes/value", "a day", "kept", "will need"
    )?;
    for (number, tier) in info.tiers.iter().enumerate() {
        let Some((growth, name)) = forecast.tiers.get(number).zip(TIERS.get(number)) else {
            continue;
        };
        let keep = options.keep.get(number).copied().unwrap_or_default();
        writeln!(
            out,
            "{:5} {:>6} {:>11} {:>10}  {:19}  {:19} {:>11} {:>11} {:>9} {:>11}",
            name.name,
            tier.files,
            bytes(tier.bytes),
            tier.rows,
            or_dash(tier.times.map(|(from, _)| time(from))),
            or_dash(tier.times.map(|(_, to)| time(to))),
            or_dash(growth.bytes_per_value.map(|bytes| format!("{bytes:.3}"))),
            or_dash(growth.bytes_per_day.map(|bytes| binary(bytes, "B"))),
            format!("{} d", days(keep)),
            or_dash(growth.needs.map(|bytes| binary(bytes, "B"))),
        )?;
    }
    writeln!(out)?;
    writeln!(
        out,
        "{} in all; {} series now, {} in the kept samples; {} events",
        bytes(info.bytes),
        info.series_now,
        info.series,
        info.events
    )?;
    let (free, all) = info.space;
    writeln!(
        out,
        "at most {} are kept (max_bytes), and {} of the disk's {} stay free (min_free_bytes); {} are free now",
        bytes(options.max_bytes),
        bytes(forecast.min_free),
        bytes(all),
        bytes(free)
    )?;
    match forecast.raw_days {
        Some(raw) => {
            writeln!(out, "this will need about {}", binary(forecast.needs, "B"))?;
            if raw < days(options.keep[0]) {
                writeln!(
                    out,
                    "warning: only about {raw:.1} days of every sample fit under max_bytes, of the {} that are to be \
                     kept",
                    days(options.keep[0])
                )?;
            }
            let room = free.saturating_add(info.bytes).saturating_sub(forecast.min_free);
            if forecast.needs > room as f64 {
                writeln!(out, "warning: the disk has room for about {} of it", bytes(room))?;
            }
        }
        None => writeln!(out, "nothing can be said of a day before ten minutes are recorded")?,
    }
    if info.damaged_bytes > 0 {
        let damaged = bytes(info.damaged_bytes);
        writeln!(out, "warning: {damaged} are damaged: `perfwatch db check` says what is lost")?;
    }
    for name in &info.set_aside {
        writeln!(out, "set aside, because nothing in it could be read: {}", printable(name))?;
    }
    Ok(())
}

fn info_json(info: &Info, options: &Options) -> Value {
    let forecast = Forecast::of(info, options);
    let whole = |bytes: f64| bytes.round() as u64;
    let mut tiers = Vec::new();
    for (number, tier) in info.tiers.iter().enumerate() {
        let growth = forecast.tiers.get(number);
        tiers.push(json!({
            "tier": TIERS.get(number).map(|tier| tier.name),
            "files": tier.files,
            "bytes": tier.bytes,
            "rows": tier.rows,
            "values": tier.values,
            "from_ms": tier.times.map(|(from, _)| from.div_euclid(MS)),
            "to_ms": tier.times.map(|(_, to)| to.div_euclid(MS)),
            "bytes_per_value": growth.and_then(|growth| growth.bytes_per_value),
            "bytes_per_day": growth.and_then(|growth| growth.bytes_per_day).map(whole),
            "keep_seconds": options.keep.get(number).map(Duration::as_secs),
            "will_need_bytes": growth.and_then(|growth| growth.needs).map(whole),
        }));
    }
    json!({
        "bytes": info.bytes,
        "tiers": tiers,
        "series": info.series,
        "series_now": info.series_now,
        "events": info.events,
        "damaged_bytes": info.damaged_bytes,
        "set_aside": info.set_aside,
        "max_bytes": options.max_bytes,
        "min_free_bytes": forecast.min_free,
        "free_bytes": info.space.0,
        "disk_bytes": info.space.1,
        "wanted_bytes": whole(forecast.wanted),
        "will_need_bytes": whole(forecast.needs),
        "raw_days_that_fit": forecast.raw_days,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spot_is_told_in_a_line() {
        let damage = Damage {
            file: "raw-00000001.seg".to_owned(),
            offset: 77,
            bytes: 9,
            what: "720 rows of cpu".to_owned(),
            tier: Some("raw"),
            times: Some((0, 1_000_000_000)),
        };
        let line = spot(&damage);
        assert!(line.starts_with(
            "raw-00000001.seg: at byte 77 (9 bytes): lost: 720 rows of cpu of tier raw, 19"
        ));
    }
}
