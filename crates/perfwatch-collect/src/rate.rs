//! The only place that subtracts counters.
//!
//! A counter that went backwards gives None: never 0, which would be a lie, and never a spike. Only of counters
//! that the kernel keeps in 32 bits is a fall taken for a wrap.

use std::time::Duration;

/// Two readings closer than this give no rate: the kernel's own counters are not exact over less.
const MIN_ELAPSED: Duration = Duration::from_millis(1);

/// A fall of a 32-bit counter is a wrap when it grew by less than this across 2^32, else a reset. 2^28 ms of disk
/// time are three days: more than any interval can hold, on 1,000 requests in flight.
const WRAP_WINDOW: u64 = 1 << 28;

/// Where a counter of 32 bits begins anew.
const WRAP: u64 = 1 << 32;

/// How much a counter grew. None when it was reset.
pub fn increase(before: u64, now: u64) -> Option<u64> {
    now.checked_sub(before)
}

/// As [`increase`], for a counter that the kernel keeps in 32 bits and lets wrap.
pub fn increase_32(before: u64, now: u64) -> Option<u64> {
    increase(before, now).or_else(|| {
        let grown = WRAP.checked_sub(before)?.checked_add(now)?;
        (grown < WRAP_WINDOW).then_some(grown)
    })
}

/// As [`increase`], for the sum of counters that the kernel keeps in 32 bits each, of which one may wrap.
pub fn increase_of_columns(before: u64, now: u64) -> Option<u64> {
    increase(before, now).or_else(|| {
        let grown = WRAP.checked_sub(before.checked_sub(now)?)?;
        (grown < WRAP_WINDOW).then_some(grown)
    })
}

/// How much a counter grew per second, to a thousandth.
pub fn per_second(before: u64, now: u64, elapsed: Duration) -> Option<f64> {
    scaled_per_second(1.0, before, now, elapsed)
}

/// As [`per_second`], for a counter that the kernel keeps in 32 bits and lets wrap.
pub fn per_second_32(before: u64, now: u64, elapsed: Duration) -> Option<f64> {
    per_second(0, increase_32(before, now)?, elapsed)
}

/// As [`per_second`], times a scale: of microseconds per second a share of time in percent (10^-4), of pages bytes.
pub fn scaled_per_second(scale: f64, before: u64, now: u64, elapsed: Duration) -> Option<f64> {
    if elapsed < MIN_ELAPSED {
        return None;
    }
    increase(before, now).map(|grown| thousandths(grown as f64 * scale / elapsed.as_secs_f64()))
}

/// As [`scaled_per_second`], for a counter that the kernel keeps in 32 bits and lets wrap.
pub fn scaled_per_second_32(scale: f64, before: u64, now: u64, elapsed: Duration) -> Option<f64> {
    if elapsed < MIN_ELAPSED {
        return None;
    }
    increase_32(before, now).map(|grown| thousandths(grown as f64 * scale / elapsed.as_secs_f64()))
}

/// Mean time in ms of what was completed, to a thousandth, from the kernel's 32-bit sum of times and its count. None
/// when nothing was completed or one of the two was reset.
pub fn mean_ms(
    (sum_before, sum_now): (u64, u64),
    (count_before, count_now): (u64, u64),
) -> Option<f64> {
    let (sum, count) = (increase_32(sum_before, sum_now)?, increase(count_before, count_now)?);
    (count > 0).then(|| thousandths(sum as f64 / count as f64))
}

/// `part` of `whole` in percent, to a hundredth. None when the whole is nothing.
pub fn percent(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| (part as f64 / whole as f64 * 10_000.0).round() / 100.0)
}

/// Rounded to a thousandth: more digits would claim more than the clocks can tell.
pub fn thousandths(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn counter_going_backwards_gives_no_rate() {
        assert_eq!(per_second(1000, 10, SECOND), None);
        assert_eq!(per_second(u64::MAX, 0, SECOND), None);
        assert_eq!(per_second(u64::from(u32::MAX), 5, SECOND), None);
    }

    #[test]
    fn a_32_bit_wrap_gives_the_right_difference() {
        assert_eq!(increase_32(u64::from(u32::MAX) - 9, 90), Some(100));
        assert_eq!(mean_ms((u64::from(u32::MAX), 9), (7, 9)), Some(5.0));
        assert_eq!(per_second_32(u64::from(u32::MAX) - 9, 90, SECOND), Some(100.0));
        assert_eq!(per_second_32(3_000_000_000, 5, SECOND), None);
        // From the middle of 32 bits it is a reset, and above them there is nothing to wrap.
        assert_eq!(increase_32(3_000_000_000, 5), None);
        assert_eq!(increase_32(1 << 33, 5), None);
    }

    #[test]
    fn one_column_of_many_may_wrap() {
        assert_eq!(increase_of_columns(50_000_000_000, 45_705_032_714), Some(10));
        assert_eq!(increase_of_columns(50_000_000_000, 49_000_000_000), None);
        assert_eq!(increase_of_columns(50_000_000_000, 7), None);
    }

    #[test]
    fn what_would_have_grown_by_the_whole_window_was_reset() {
        const TOTAL: u64 = 50_000_000_000;
        for (grown, counts) in [(WRAP_WINDOW - 1, Some(WRAP_WINDOW - 1)), (WRAP_WINDOW, None)] {
            assert_eq!(increase_32(WRAP - 10, grown - 10), counts);
            assert_eq!(increase_of_columns(TOTAL, TOTAL + grown - WRAP), counts);
        }
    }

    #[test]
    fn nothing_completed_has_no_latency() {
        assert_eq!(mean_ms((5, 9), (3, 3)), None);
        assert_eq!(mean_ms((5, 9), (3, 5)), Some(2.0));
        assert_eq!(mean_ms((9, 5), (3, 5)), None);
    }

    #[test]
    fn less_than_a_millisecond_has_no_rate() {
        for (elapsed, rate) in [(0, None), (999, None), (1000, Some(1000.0)), (2000, Some(500.0))] {
            let elapsed = Duration::from_micros(elapsed);
            assert_eq!(per_second(1, 2, elapsed), rate, "{elapsed:?}");
            assert_eq!(per_second_32(u64::from(u32::MAX), 0, elapsed), rate, "{elapsed:?}");
            assert_eq!(scaled_per_second_32(0.1, 0, 10, elapsed), rate, "{elapsed:?}");
        }
    }

    #[test]
    fn what_is_shown_has_as_many_digits_as_the_clocks_can_tell() {
        assert_eq!(scaled_per_second(4096.0, 5, 7, 3 * SECOND), Some(2730.667));
        assert_eq!(scaled_per_second_32(0.1, u64::from(u32::MAX), 9, 3 * SECOND), Some(0.333));
        assert_eq!(mean_ms((0, 2), (0, 3)), Some(0.667));
        assert_eq!((percent(2, 3), percent(0, 3), percent(0, 0)), (Some(66.67), Some(0.0), None));
    }

    proptest! {
        #[test]
        fn a_growing_counter_gives_its_rate(before: u64, grown in 0_u64..1 << 40, ms in 1_u64..100_000) {
            prop_assume!(before.checked_add(grown).is_some());
            let rate = per_second(before, before + grown, Duration::from_millis(ms)).unwrap();
            let exact = grown as f64 * 1000.0 / ms as f64;
            prop_assert!((rate - exact).abs() <= 0.001 + exact * 1e-9);
        }

        /// Whatever a counter does, a rate is never negative and never more than what it could have counted.
        #[test]
        fn rates_are_never_negative_and_never_a_spike(before: u64, now: u64, ms in 1_u64..100_000) {
            let elapsed = Duration::from_millis(ms);
            if let Some(rate) = per_second(before, now, elapsed) {
                prop_assert!(rate >= 0.0 && rate.is_finite());
                let most = now.saturating_sub(before);
                prop_assert!(rate <= most as f64 / elapsed.as_secs_f64() * (1.0 + 1e-9) + 0.001);
            }
        }

        /// A reset is a spike for nobody, from wherever it comes.
        #[test]
        fn a_reset_is_no_spike(before in 1_u64.., now in 0_u64..1000) {
            prop_assume!(now < before);
            prop_assert_eq!(increase(before, now), None);
            if let Some(grown) = increase_32(before, now) {
                prop_assert!(grown < WRAP_WINDOW && before > u64::from(u32::MAX) - WRAP_WINDOW);
            }
        }

        #[test]
        fn shares_are_between_0_and_100(part: u64, rest in 0_u64..u64::MAX) {
            let whole = part.saturating_add(rest);
            if let Some(share) = percent(part, whole) {
                prop_assert!((0.0..=100.0).contains(&share));
            }
        }
    }
}
