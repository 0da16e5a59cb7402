//! `perfwatch catalog`: every metric, described.

use std::io::{self, Write};

use perfwatch_metrics::{Kind, MetricDef, catalog};

use crate::cli::CatalogArgs;
use crate::http::Catalog;
use crate::prometheus;

/// Prints the catalog.
pub(crate) fn run(args: &CatalogArgs) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    if args.markdown {
        out.write_all(markdown().as_bytes())?;
    } else {
        serde_json::to_writer_pretty(&mut out, &Catalog::new()).map_err(io::Error::from)?;
        writeln!(out)?;
    }
    Ok(out.flush()?)
}

/// `docs/metrics.md`.
fn markdown() -> String {
    let mut text = String::from(
        "# Metrics\n\nWritten by `perfwatch catalog --markdown`. A metric's id is its path in the snapshot's JSON; \
         braces hold the labels that tell its series apart. In Prometheus (`GET /metrics`) it is called as the last column \
         says, in base units; with `metrics.node_names = false` it is called the second of two.\n",
    );
    let mut section = "";
    for def in catalog() {
        let this = def.id.rsplit_once('.').map_or("", |(section, _)| section);
        if this != section {
            section = this;
            text.push_str(&format!("\n## {section}\n\n| metric | kind | unit | meaning | source | Prometheus |\n|---|---|---|---|---|---|\n"));
        }
        text.push_str(&row(def));
    }
    text
}

fn row(def: &MetricDef) -> String {
    let labels: Vec<_> = def.labels().collect();
    let labels =
        if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
    let kind = match def.kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Info => "info",
    };
    let (id, unit, title, help, source) =
        (def.id, def.unit.symbol(), def.title(), def.help(), def.source);
    let (node, own) = prometheus::names_of(def);
    let names = node.map_or_else(|| format!("`{own}`"), |node| format!("`{node}`, `{own}`"));
    format!("| `{id}{labels}` | {kind} | {unit} | **{title}.** {help} | {source} | {names} |\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `UPDATE_DOCS=1 cargo test` writes it anew.
    #[test]
    fn the_document_of_metrics_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, markdown()).unwrap();
        }
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(committed == markdown(), "docs/metrics.md is old: run `just docs`");
    }
}
