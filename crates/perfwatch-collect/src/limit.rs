//! What happens beyond a limit on how many things are reported by name.

use std::collections::BTreeMap;

use crate::rate::thousandths;

/// The key under which the rest is summed up. No interface or block device can be called so: the kernel
/// allows no blank in an interface's name and gives none to a device.
pub const ALL_OTHERS: &str = "all others";

/// Keeps the `limit` heaviest entries by name and adds up the rest as `others`. Says whether there was a rest.
/// The sums of counters fall when an entry moves out of the rest; the sums of rates are right at every tick.
pub(crate) fn fold_beyond<M>(
    entries: &mut BTreeMap<String, M>,
    limit: usize,
    others: &str,
    weight: impl Fn(&M) -> u64,
    add: impl Fn(&mut M, &M),
) -> bool {
    let Some(excess) = entries.len().checked_sub(limit).filter(|excess| *excess > 0) else {
        return false;
    };
    let mut weights: Vec<(u64, String)> =
        entries.iter().map(|(name, entry)| (weight(entry), name.clone())).collect();
    weights.sort_unstable();
    let mut sum: Option<M> = None;
    for (_, name) in weights.iter().take(excess) {
        let Some(entry) = entries.remove(name) else { continue };
        match &mut sum {
            Some(sum) => add(sum, &entry),
            None => sum = Some(entry),
        }
    }
    entries.extend(sum.map(|sum| (others.to_owned(), sum)));
    true
}

/// Adds a rate. An entry without one, such as a new one, adds nothing; only when none has one is there none.
pub(crate) fn sum_rates(sum: &mut Option<f64>, one: Option<f64>) {
    *sum = match (*sum, one) {
        (Some(a), Some(b)) => Some(thousandths(a + b)),
        (known, None) | (None, known) => known,
    };
}
