//! A snapshot for people: one line for each series, from the catalog.

use std::io::{self, Write};

use perfwatch_metrics::{SeriesKey, Snapshot, State, Unit, Value};

use crate::terminal::printable;

/// Writes every value of the snapshot, and then what is missing.
pub(crate) fn write(out: &mut impl Write, snapshot: &Snapshot) -> io::Result<()> {
    let mut rows: Vec<(String, String)> = Vec::new();
    snapshot.visit(&mut |def, labels, value| {
        rows.push((SeriesKey::new(def, labels).to_string(), shown(def.unit, value)));
    });
    let widest = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
    writeln!(
        out,
        "{}  {}",
        printable(snapshot.host.hostname.as_deref().unwrap_or("?")),
        snapshot.timestamp
    )?;
    for (name, value) in rows {
        writeln!(out, "{name:<widest$}  {value}")?;
    }
    for (name, section) in snapshot.status.sections() {
        if section.state != State::Ok {
            let reason = printable(section.reason.as_deref().unwrap_or_default());
            writeln!(out, "{name}: {}: {reason}", section.state.word())?;
        }
        for (part, why) in &section.parts {
            writeln!(
                out,
                "{name}.{}: {}: {}",
                printable(part),
                why.state.word(),
                printable(&why.reason)
            )?;
        }
    }
    Ok(())
}

fn shown(unit: Unit, value: Value<'_>) -> String {
    match (unit, value) {
        (_, Value::Text(text)) => printable(text),
        (Unit::Bytes, Value::Integer(bytes)) => binary(bytes as f64, "B"),
        (Unit::BytesPerSecond, Value::Float(rate)) => binary(rate, "B/s"),
        (Unit::Flag, Value::Integer(flag)) => if flag == 0 { "no" } else { "yes" }.to_owned(),
        (Unit::Count, Value::Integer(count)) => count.to_string(),
        (Unit::Count, Value::Float(number)) => format!("{number:.2}"),
        (_, Value::Integer(count)) => format!("{count} {}", unit.symbol()),
        (_, Value::Float(number)) => format!("{number:.2} {}", unit.symbol()),
    }
}

/// With a binary prefix: `1.50 MiB`.
pub(crate) fn binary(value: f64, unit: &str) -> String {
    const PREFIXES: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    let mut scaled = value;
    let mut prefixes = PREFIXES.iter();
    let mut prefix = prefixes.next().unwrap_or(&"");
    for larger in prefixes {
        if scaled < 1024.0 {
            break;
        }
        scaled /= 1024.0;
        prefix = larger;
    }
    let digits = if prefix.is_empty() { 0 } else { 2 };
    format!("{scaled:.digits$} {prefix}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_binary_prefixes() {
        assert_eq!(binary(0.0, "B"), "0 B");
        assert_eq!(binary(1023.0, "B"), "1023 B");
        assert_eq!(binary(1536.0, "B/s"), "1.50 KiB/s");
        assert_eq!(binary(u64::MAX as f64, "B"), "16.00 EiB");
    }

    #[test]
    fn what_has_no_unit_is_shown_without_one() {
        for (unit, value, text) in [
            (Unit::Flag, Value::Integer(0), "no"),
            (Unit::Flag, Value::Integer(1), "yes"),
            (Unit::Count, Value::Integer(3), "3"),
            (Unit::Count, Value::Float(16.6), "16.60"),
            (Unit::Celsius, Value::Float(40.0), "40.00 °C"),
            (Unit::Seconds, Value::Integer(2), "2 s"),
        ] {
            assert_eq!(shown(unit, value), text);
        }
    }
}
