//! `perfwatch explain`: what stood out at a moment.

use std::io::{self, Write};

use jiff::Zoned;

use super::history::reader;
use crate::cli::{ExplainArgs, ExplainFormat};
use crate::config::Settings;
use crate::history;
use crate::when::{Edge, instant};

/// Prints the verdict.
pub(crate) fn run(settings: &Settings, args: &ExplainArgs) -> anyhow::Result<()> {
    let now = Zoned::now();
    let at = match &args.at {
        Some(text) => instant(text, Edge::To, &now)?.to_zoned(now.time_zone().clone()),
        None => now,
    };
    let verdict = history::verdict(&reader(settings)?, &at)?;
    let mut out = io::BufWriter::new(io::stdout().lock());
    match args.format {
        ExplainFormat::Text => history::explanation(&mut out, &verdict)?,
        ExplainFormat::Json => {
            serde_json::to_writer(&mut out, &verdict).map_err(io::Error::from)?;
            writeln!(out)?;
        }
    }
    Ok(out.flush()?)
}
