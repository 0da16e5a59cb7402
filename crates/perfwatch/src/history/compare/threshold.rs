//! How much may change before a comparison fails.

use std::str::FromStr;

use super::{Comparison, Side, Statistics, percent};
use crate::selector::Selector;

/// Takes one number of the statistics.
type Statistic = fn(&Statistics) -> Option<f64>;

/// What must not happen: `disk.devices.*.write_latency_ms:+50%`, `cpu.usage_percent:p95:+10`.
#[derive(Debug, Clone)]
pub(crate) struct Threshold {
    selector: Selector,
    statistic: Statistic,
    /// Its name.
    statistic_name: &'static str,
    limit: f64,
    percent: bool,
    text: String,
}

impl Threshold {
    /// The series that changed by more than they may, in words. None when there is no series of which it can be told: none
    /// has values on both sides, or a percentage is asked of what was near nothing.
    pub(crate) fn broken_by(&self, comparison: &Comparison) -> Option<Vec<String>> {
        let (mut broken, mut checked) = (Vec::new(), false);
        for one in comparison.series.iter().filter(|one| self.selector.matches(&one.key)) {
            let of = |side: &Side| (self.statistic)(&side.statistics);
            let Some((now, base)) = of(&one.now).zip(of(&one.base)) else { continue };
            let change = match self.percent {
                true if now == base => Some(0.0),
                true => percent(now, base),
                false => Some(now - base),
            };
            let Some(change) = change else { continue };
            checked = true;
            let falls = self.limit.is_sign_negative();
            let beyond = if falls { change < self.limit } else { change > self.limit };
            if beyond {
                let name = self.statistic_name;
                broken.push(format!("{}: {name} {base} → {now} breaks {}", one.name, self.text));
            }
        }
        checked.then_some(broken)
    }

    /// As it was given.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// What it looks at.
    pub(crate) fn selector(&self) -> &Selector {
        &self.selector
    }
}

impl FromStr for Threshold {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || {
            let shown = text.escape_debug();
            format!(
                "`{shown}`: expected SELECT:+50%, SELECT:-5 or SELECT:p95:+50%; before the change may stand mean, median, p95, p99, min or max"
            )
        };
        let (rest, change) = text.rsplit_once(':').ok_or_else(expected)?;
        const STATISTICS: [(&str, Statistic); 6] = [
            ("mean", |of| of.mean),
            ("median", |of| of.median),
            ("p95", |of| of.p95),
            ("p99", |of| of.p99),
            ("min", |of| of.min),
            ("max", |of| of.max),
        ];
        let is_word = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric());
        let (selector, (statistic_name, statistic)) = match rest.rsplit_once(':') {
            Some((selector, name)) if is_word(name) => {
                let found = STATISTICS.iter().find(|(known, _)| *known == name);
                (selector, *found.ok_or_else(expected)?)
            }
            _ => (rest, STATISTICS[0]),
        };
        let percent = change.ends_with('%');
        let number = change.strip_suffix('%').unwrap_or(change);
        let signed = number.starts_with(['+', '-']);
        let limit = number.parse::<f64>().ok().filter(|limit| limit.is_finite() && signed);
        Ok(Self {
            selector: selector.parse()?,
            statistic,
            statistic_name,
            limit: limit.ok_or_else(expected)?,
            percent,
            text: text.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_read() {
        let threshold: Threshold = "disk.devices.*.write_latency_ms:p95:+50%".parse().unwrap();
        assert_eq!(
            (threshold.statistic_name, threshold.limit, threshold.percent),
            ("p95", 50.0, true)
        );
        let threshold: Threshold = "cpu.usage_percent:-5".parse().unwrap();
        assert_eq!(
            (threshold.statistic_name, threshold.limit, threshold.percent),
            ("mean", -5.0, false)
        );
        for nonsense in ["", "cpu", "cpu:50%", "cpu:+x", "cpu:+inf", ":+5", "cpu:p90:+5%"] {
            assert!(nonsense.parse::<Threshold>().is_err(), "{nonsense}");
        }
    }
}
