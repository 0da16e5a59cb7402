//! What history takes, what it will take, and how much of it fits.

use std::time::Duration;

use perfwatch_store::{Info, Options, TierInfo};

/// Below so much recorded time nobody can say what a day takes.
const LEAST_SEEN: Duration = Duration::from_secs(600);

const DAY: Duration = Duration::from_secs(86_400);

/// What a tier takes and will take.
pub(crate) struct Growth {
    pub(crate) bytes_per_value: Option<f64>,
    pub(crate) bytes_per_day: Option<f64>,
    /// Bytes of everything that it is to keep.
    pub(crate) needs: Option<f64>,
}

impl Growth {
    fn of(tier: &TierInfo, keep: Duration) -> Self {
        let covered = Duration::from_nanos(tier.covered);
        let bytes_per_day = (covered >= LEAST_SEEN)
            .then(|| tier.bytes as f64 / covered.as_secs_f64() * DAY.as_secs_f64());
        Self {
            bytes_per_value: (tier.values > 0).then(|| tier.bytes as f64 / tier.values as f64),
            bytes_per_day,
            needs: bytes_per_day.map(|bytes| bytes * days(keep)),
        }
    }
}

/// Bytes that a day of one tier takes. None while there is too little to tell.
pub(crate) fn tier_bytes_per_day(tier: &TierInfo) -> Option<u64> {
    Growth::of(tier, DAY).bytes_per_day.map(|bytes| bytes as u64)
}

/// Bytes that a day of everything takes. None while there is too little to tell.
pub(crate) fn bytes_per_day(info: &Info, options: &Options) -> Option<u64> {
    let tiers = Forecast::of(info, options).tiers;
    let of_raw = tiers.first()?.bytes_per_day?;
    let others: f64 = tiers.iter().skip(1).filter_map(|tier| tier.bytes_per_day).sum();
    Some((of_raw + others) as u64)
}

/// What everything will take.
pub(crate) struct Forecast {
    pub(crate) tiers: Vec<Growth>,
    /// Bytes of everything that is to be kept, of the tiers that there is something of, without a cap.
    pub(crate) wanted: f64,
    /// The same with the cap.
    pub(crate) needs: f64,
    /// Days of raw rows that fit under the cap beside the rollups, at most those that are kept.
    pub(crate) raw_days: Option<f64>,
    /// Free space that is left to others.
    pub(crate) min_free: u64,
}

impl Forecast {
    pub(crate) fn of(info: &Info, options: &Options) -> Self {
        let tiers: Vec<_> = info
            .tiers
            .iter()
            .zip(options.keep)
            .map(|(tier, keep)| Growth::of(tier, keep))
            .collect();
        let needs = |tier: &Growth| tier.needs.unwrap_or_default();
        let wanted: f64 = tiers.iter().map(needs).sum();
        let cap = options.max_bytes as f64;
        // When there is too much, raw rows go first.
        let room = cap - tiers.iter().skip(1).map(needs).sum::<f64>();
        let raw_days = tiers.first().and_then(|raw| raw.bytes_per_day).map(|bytes| {
            let kept = days(options.keep[0]);
            (room / bytes).clamp(0.0, kept)
        });
        let min_free = options.min_free(info.space.1);
        Self { tiers, wanted, needs: wanted.min(cap), raw_days, min_free }
    }
}

/// How many days that is.
pub(crate) fn days(keep: Duration) -> f64 {
    keep.as_secs_f64() / DAY.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_rows_get_what_the_rollups_leave() {
        let tier = |bytes, days: u64| TierInfo {
            bytes,
            covered: days * DAY.as_nanos() as u64,
            ..TierInfo::default()
        };
        // 100 MB a day of raw rows and 1 MB a day of minutes.
        let info = Info {
            tiers: [tier(200_000_000, 2), tier(2_000_000, 2), TierInfo::default()],
            ..Info::default()
        };
        let options = Options { max_bytes: 1_180_000_000, ..Options::default() };
        let forecast = Forecast::of(&info, &options);
        assert_eq!(forecast.wanted, 3_180_000_000.0);
        assert_eq!(forecast.needs, 1_180_000_000.0);
        assert_eq!(forecast.raw_days, Some(10.0));
        let options = Options { max_bytes: u64::MAX, ..Options::default() };
        assert_eq!(Forecast::of(&info, &options).raw_days, Some(30.0));
        assert_eq!(Forecast::of(&Info::default(), &options).raw_days, None);
    }
}
