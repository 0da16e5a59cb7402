//! Recorded hosts, and copies of them to spoil.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use perfwatch_collect::collector::{Collector, Report};
use perfwatch_collect::{Error, Host};

/// Where a fixture is, at the instant `t0` or `t1`.
pub(crate) fn fixture(name: &str, instant: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name).join(instant)
}

/// A collector after one reading of a host.
pub(crate) fn read<C: Collector>(dir: &Path) -> Result<C::Reading, Error> {
    let host = Arc::new(Host::recorded(dir));
    let mut collector = C::new(&host);
    host.errands().wanted().iter().for_each(|errand| errand.run());
    let mut reading = C::Reading::default();
    collector.read(&mut reading).map(|()| reading)
}

/// What a collector reports of a host that was recorded at two instants.
pub(crate) fn replay<C: Collector>(
    before: &Path,
    now: &Path,
    elapsed: Duration,
) -> Result<Report<C::Metrics>, Error> {
    let before = read::<C>(before)?;
    Ok(C::derive(Some((&before, elapsed)), &read::<C>(now)?))
}

/// Copies a fixture, so that a test may change it.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
