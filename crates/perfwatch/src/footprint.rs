//! What PerfWatch itself takes.

use std::fs;
use std::time::{Duration, Instant};

use rustix::param::page_size;
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

/// CPU time is averaged over this at least: over less, one tick more or less would be half of it.
const LEAST_WINDOW: Duration = Duration::from_secs(5);

/// What this process takes.
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Footprint {
    /// Of one CPU, since it was asked for before, at least five seconds ago. Null in the first moments.
    pub(crate) cpu_percent: Option<f64>,
    pub(crate) rss_bytes: u64,
    pub(crate) threads: u64,
    /// Open file descriptors.
    pub(crate) descriptors: u64,
}

/// Measures it.
#[derive(Debug)]
pub(crate) struct Meter {
    /// When CPU time was looked at, and how much there was.
    at: (Instant, Duration),
    cpu_percent: Option<f64>,
}

impl Meter {
    /// Begins now.
    pub(crate) fn new() -> Self {
        Self { at: (Instant::now(), cpu_time()), cpu_percent: None }
    }

    /// What it takes now. What the kernel does not say is 0.
    pub(crate) fn look(&mut self) -> Footprint {
        let (since, before) = self.at;
        let elapsed = since.elapsed();
        if elapsed >= LEAST_WINDOW {
            let now = cpu_time();
            let share = now.saturating_sub(before).as_secs_f64() / elapsed.as_secs_f64();
            self.cpu_percent = Some((share * 100_000.0).round() / 1000.0);
            self.at = (Instant::now(), now);
        }
        let pages = fs::read_to_string("/proc/self/statm").ok();
        let pages = pages.and_then(|statm| statm.split(' ').nth(1)?.parse::<u64>().ok());
        Footprint {
            cpu_percent: self.cpu_percent,
            rss_bytes: pages.unwrap_or_default().saturating_mul(page_size() as u64),
            threads: entries("/proc/self/task"),
            // The one that reads the directory is not counted.
            descriptors: entries("/proc/self/fd").saturating_sub(1),
        }
    }
}

/// User and system time since the start.
pub(crate) fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

fn entries(dir: &str) -> u64 {
    fs::read_dir(dir).map_or(0, |entries| entries.count() as u64)
}
