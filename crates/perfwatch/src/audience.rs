//! Who listens to the live stream: how many, and what they were too slow for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Most live streams at a time. One more is refused with 503.
const MAX_LIVE_CLIENTS: u32 = 1024;

/// The live streams that are open.
#[derive(Debug)]
pub(crate) struct Audience {
    places: Arc<Semaphore>,
    frames_skipped: AtomicU64,
}

impl Audience {
    /// Nobody yet.
    pub(crate) fn new() -> Arc<Self> {
        let places = Arc::new(Semaphore::new(MAX_LIVE_CLIENTS as usize));
        Arc::new(Self { places, frames_skipped: AtomicU64::new(0) })
    }

    /// A place for one more. None when all are taken.
    pub(crate) fn join(&self) -> Option<OwnedSemaphorePermit> {
        self.places.clone().try_acquire_owned().ok()
    }

    /// How many there are.
    pub(crate) fn size(&self) -> u64 {
        (MAX_LIVE_CLIENTS as usize).saturating_sub(self.places.available_permits()) as u64
    }

    /// One of them was too slow for so many frames.
    pub(crate) fn skipped(&self, frames: u64) {
        self.frames_skipped.fetch_add(frames, Ordering::Relaxed);
    }

    /// Frames that any of them was too slow for, since the start.
    pub(crate) fn frames_skipped(&self) -> u64 {
        self.frames_skipped.load(Ordering::Relaxed)
    }

    /// Waits until all have left.
    pub(crate) async fn leaves(&self) {
        // The semaphore is never closed.
        let _ = self.places.acquire_many(MAX_LIVE_CLIENTS).await;
    }
}
