//! What running something costs the thread that runs it.

use std::cell::Cell;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

thread_local! {
    static READ_BYTES: Cell<u64> = const { Cell::new(0) };
}

/// What a run cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Cost {
    /// CPU time of the thread, the kernel's included.
    pub(crate) cpu: Duration,
    /// Length of the kernel's files that were read.
    pub(crate) read_bytes: u64,
}

/// Notes that this thread has read so many bytes of a file.
pub(crate) fn note_read(bytes: usize) {
    READ_BYTES.set(READ_BYTES.get().wrapping_add(bytes as u64));
}

/// Runs something and says what it cost.
pub(crate) fn of<T>(work: impl FnOnce() -> T) -> (T, Cost) {
    let (cpu, read) = (thread_cpu_time(), READ_BYTES.get());
    let done = work();
    let cpu = thread_cpu_time().saturating_sub(cpu);
    (done, Cost { cpu, read_bytes: READ_BYTES.get().wrapping_sub(read) })
}

/// CPU time of this thread.
pub(crate) fn thread_cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}
