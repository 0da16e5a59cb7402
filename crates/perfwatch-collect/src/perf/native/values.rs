//! What a read of a group says.

use crate::perf::kernel::Kernel;
use crate::perf::layout::MAX_MEMBERS;

/// Bytes that a read of the largest group takes: how many, time enabled, time running, values.
const READ_BYTES: usize = 8 * (3 + MAX_MEMBERS);

/// One reading of a group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Values {
    pub(super) enabled: u64,
    pub(super) running: u64,
    pub(super) values: [u64; MAX_MEMBERS],
}

impl Values {
    /// None when anything went backwards.
    pub(super) fn since(&self, before: &Self) -> Option<Self> {
        let mut delta = Self {
            enabled: self.enabled.checked_sub(before.enabled)?,
            running: self.running.checked_sub(before.running)?,
            ..Self::default()
        };
        let pairs = self.values.iter().zip(before.values);
        for (slot, (now, before)) in delta.values.iter_mut().zip(pairs) {
            *slot = now.checked_sub(before)?;
        }
        Some(delta)
    }
}

/// What would have been counted in all the time in which it was to be.
pub(super) fn scaled(value: u64, enabled: u64, running: u64) -> u64 {
    if running == enabled {
        return value;
    }
    let all = u128::from(value).saturating_mul(enabled.into()).checked_div(running.into());
    u64::try_from(all.unwrap_or_default()).unwrap_or(u64::MAX)
}

/// Reads a group, and says of how many. None for a counter that does not answer.
pub(super) fn read<K: Kernel>(kernel: &K, leader: &K::Counter) -> Option<(u64, Values)> {
    let mut bytes = [0; READ_BYTES];
    let length = kernel.read(leader, &mut bytes).ok()?;
    let (words, _) = bytes.get(..length)?.as_chunks::<8>();
    let mut words = words.iter().map(|word| u64::from_ne_bytes(*word));
    let (members, enabled, running) = (words.next()?, words.next()?, words.next()?);
    let mut values = Values { enabled, running, ..Values::default() };
    for (slot, value) in values.values.iter_mut().zip(words) {
        *slot = value;
    }
    Some((members, values))
}
