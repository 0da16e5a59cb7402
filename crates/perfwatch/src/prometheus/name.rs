//! The name and the base unit of a metric in Prometheus: the one place that knows them.
//!
//! `network.interfaces.bytes_recv` is `perfwatch_network_interfaces_recv_bytes_total`: the id, with its unit at the end and in
//! full, and `_total` after a counter's. Values are converted in writing, by moving the point, so that no digit is lost on
//! the way there and back.

use perfwatch_metrics::{Kept, Kind, MetricDef, Unit};

/// How a unit of the catalog is told.
struct Base {
    /// The word for it in ids, which gives way to `suffix`.
    word: &'static str,
    suffix: &'static str,
    scale: Scale,
}

/// What a value is multiplied by.
#[derive(Clone, Copy)]
enum Scale {
    /// Ten to the power of this.
    Tens(i32),
    /// 1,024.
    Kibi,
}

const fn base(unit: Unit) -> Base {
    let (word, suffix, scale) = match unit {
        Unit::Percent => ("percent", "ratio", Scale::Tens(-2)),
        Unit::Bytes => ("bytes", "bytes", Scale::Tens(0)),
        Unit::BytesPerSecond => ("bytes", "bytes_per_second", Scale::Tens(0)),
        Unit::KilobytesPerSecond => ("", "bytes_per_second", Scale::Kibi),
        Unit::Count => ("count", "", Scale::Tens(0)),
        Unit::PacketsPerSecond | Unit::FaultsPerSecond => ("", "per_second", Scale::Tens(0)),
        Unit::OperationsPerSecond => ("iops", "operations_per_second", Scale::Tens(0)),
        Unit::PagesPerSecond => ("", "pages_per_second", Scale::Tens(0)),
        Unit::Microseconds => ("us", "seconds", Scale::Tens(-6)),
        Unit::Milliseconds => ("ms", "seconds", Scale::Tens(-3)),
        Unit::Seconds => ("seconds", "seconds", Scale::Tens(0)),
        Unit::Megahertz => ("mhz", "hertz", Scale::Tens(6)),
        Unit::Gigahertz => ("ghz", "hertz", Scale::Tens(9)),
        Unit::PerCycle | Unit::Flag => ("", "", Scale::Tens(0)),
        Unit::PerThousandInstructions => ("mpki", "per_instruction", Scale::Tens(-3)),
        Unit::EventsPerSecond => ("", "per_second", Scale::Tens(0)),
        Unit::Celsius => ("celsius", "celsius", Scale::Tens(0)),
        Unit::Joules => ("joules", "joules", Scale::Tens(0)),
        Unit::Watts => ("watts", "watts", Scale::Tens(0)),
        Unit::Text => ("", "", Scale::Tens(0)),
    };
    Base { word, suffix, scale }
}

/// The name of a metric's family: of a counter, without `_total`.
pub(crate) fn family(def: &MetricDef) -> String {
    let (object, last) = def.id.rsplit_once('.').unwrap_or(("", def.id));
    let Base { word, suffix, .. } = base(def.unit);
    let stem = if last == "per_sec" { "" } else { last.strip_suffix("_per_sec").unwrap_or(last) };
    let stem = without(stem, word);
    let stem = if def.unit == Unit::Percent { without(stem, "pct") } else { stem };
    // Only a counter may end so.
    let stem =
        if def.kind == Kind::Gauge && suffix.is_empty() { without(stem, "total") } else { stem };
    let parts = [object, stem, suffix].into_iter().filter(|part| !part.is_empty());
    of(&parts.collect::<Vec<_>>().join("."))
}

/// `perfwatch_` and words, with underscores between them.
pub(super) fn of(id: &str) -> String {
    let legal = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
    format!("perfwatch_{}", id.chars().map(legal).collect::<String>())
}

/// A name without a word at one of its ends.
fn without<'n>(name: &'n str, word: &str) -> &'n str {
    if word.is_empty() {
        return name;
    }
    if name == word {
        return "";
    }
    let ended = name.strip_suffix(word).and_then(|rest| rest.strip_suffix('_'));
    let begun = || name.strip_prefix(word).and_then(|rest| rest.strip_prefix('_'));
    ended.or_else(begun).unwrap_or(name)
}

/// Whether it is one to Prometheus, reported or kept.
pub(crate) fn is_counter(def: &MetricDef) -> bool {
    matches!(def.kept, Kept::Counter | Kept::Counter32)
}

/// A number of the catalog's unit, in the base unit.
pub(crate) fn in_base_unit(unit: Unit, number: &str) -> String {
    match base(unit).scale {
        Scale::Tens(exponent) => shifted(number, exponent),
        // Its values are rates, which are floats.
        Scale::Kibi => number.parse().map(|value: f64| (value * 1024.0).to_string()).ok(),
    }
    .unwrap_or_else(|| number.to_owned())
}

/// A number of the base unit, in the catalog's. None when it is not in plain decimals.
pub(crate) fn in_own_unit(unit: Unit, number: &str) -> Option<String> {
    match base(unit).scale {
        Scale::Tens(exponent) => shifted(number, exponent.checked_neg()?),
        Scale::Kibi => number.parse().map(|value: f64| (value / 1024.0).to_string()).ok(),
    }
}

/// A number in plain decimals times ten to the power of `exponent`, without zeros that say nothing.
pub(super) fn shifted(number: &str, exponent: i32) -> Option<String> {
    let unsigned = number.strip_prefix('-').unwrap_or(number);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let digits = format!("{whole}{fraction}");
    if whole.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let point = i32::try_from(whole.len()).ok()?.checked_add(exponent)?;
    let before = usize::try_from(point.max(0)).ok()?;
    let zeros = usize::try_from(point.min(0).unsigned_abs()).ok()?;
    let digits = format!("{}{digits}", "0".repeat(zeros));
    let digits = format!("{digits:0<before$}");
    let (whole, fraction) = digits.split_at_checked(before)?;
    let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
    let sign = if number.len() > unsigned.len() { "-" } else { "" };
    let whole = if whole.is_empty() { "0" } else { whole };
    let separator = if fraction.is_empty() { "" } else { "." };
    Some(format!("{sign}{whole}{separator}{fraction}"))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use perfwatch_metrics::catalog;
    use perfwatch_metrics::catalog::hidden;
    use proptest::prelude::*;

    use super::*;

    fn name(id: &str) -> String {
        family(catalog().chain(hidden()).find(|def| def.id == id).unwrap())
    }

    #[test]
    fn a_name_ends_in_its_base_unit() {
        for (id, named) in [
            ("cpu.usage_percent", "perfwatch_cpu_usage_ratio"),
            ("cpu.per_core", "perfwatch_cpu_per_core_ratio"),
            ("cpu.frequency_mhz", "perfwatch_cpu_frequency_hertz"),
            ("memory.total_bytes", "perfwatch_memory_total_bytes"),
            ("memory.hugepages_total", "perfwatch_memory_hugepages"),
            ("memory.pgpgin_per_sec", "perfwatch_memory_pgpgin_bytes_per_second"),
            ("network.interfaces.bytes_recv", "perfwatch_network_interfaces_recv_bytes"),
            (
                "network.interfaces.bytes_recv_per_sec",
                "perfwatch_network_interfaces_recv_bytes_per_second",
            ),
            ("network.connections.udp_count", "perfwatch_network_connections_udp"),
            ("disk.devices.read_iops", "perfwatch_disk_devices_read_operations_per_second"),
            ("disk.devices.read_latency_ms", "perfwatch_disk_devices_read_latency_seconds"),
        ] {
            assert_eq!(name(id), named);
        }
    }

    #[test]
    fn no_two_metrics_have_the_same_name() {
        let names: HashSet<_> = catalog().chain(hidden()).map(family).collect();
        assert_eq!(names.len(), catalog().chain(hidden()).count());
    }

    #[test]
    fn values_are_in_base_units() {
        for (unit, own, base) in [
            (Unit::Percent, "12.34", "0.1234"),
            (Unit::Percent, "100", "1"),
            (Unit::Percent, "0.5", "0.005"),
            (Unit::Milliseconds, "18446744073709551615", "18446744073709551.615"),
            (Unit::Milliseconds, "7000", "7"),
            (Unit::Megahertz, "2596.098", "2596098000"),
            (Unit::Celsius, "-3.5", "-3.5"),
            (Unit::KilobytesPerSecond, "1.5", "1536"),
        ] {
            assert_eq!(in_base_unit(unit, own), base);
            assert_eq!(in_own_unit(unit, base).as_deref(), Some(own));
        }
        for nonsense in ["", "-", ".5", "1e3", "NaN", "+1", "1.2.3", "١"] {
            assert_eq!(in_own_unit(Unit::Percent, nonsense), None, "{nonsense}");
        }
    }

    proptest! {
        #[test]
        fn the_point_moves_there_and_back(number in -1e15..1e15_f64, exponent in -9..9_i32) {
            let written = number.to_string();
            let there = shifted(&written, exponent).unwrap();
            prop_assert_eq!(shifted(&there, -exponent).unwrap(), written);
            let exact = number * 10_f64.powi(exponent);
            prop_assert!((there.parse::<f64>().unwrap() - exact).abs() <= exact.abs() * 1e-12);
        }
    }
}
