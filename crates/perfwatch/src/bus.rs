//! The hand-over from the sampler to whoever listens: the newest frame, made once and never changed.

use std::ops::Range;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::ws::Utf8Bytes;
use perfwatch_metrics::Snapshot;
use tokio::sync::watch;

use crate::prometheus::{Format, Pages};

/// A snapshot as it goes out: its JSON is written once, however many clients listen.
#[derive(Debug)]
pub(crate) struct Frame {
    /// Counted from 1, without holes.
    pub(crate) seq: u64,
    /// The live message for a client that missed nothing.
    message: Utf8Bytes,
    /// Where the snapshot stands in it.
    data: Range<usize>,
    /// It as it was made.
    pub(crate) snapshot: Snapshot,
    pages: Pages,
}

impl Frame {
    fn new(seq: u64, snapshot: Snapshot, data: &str) -> Self {
        let mut message = head(seq, 0);
        let start = message.len();
        message.push_str(data);
        let data = start..message.len();
        message.push('}');
        Self { seq, message: message.into(), data, snapshot, pages: Pages::default() }
    }

    /// The snapshot's JSON.
    pub(crate) fn data(&self) -> Bytes {
        Bytes::from(self.message.clone()).slice(self.data.clone())
    }

    /// The snapshot as Prometheus reads it.
    pub(crate) fn page(&self, format: Format, node_names: bool) -> Bytes {
        self.pages.get(format, &self.snapshot, self.seq, node_names)
    }

    /// The live message for a client that missed this many frames before.
    pub(crate) fn message(&self, missed: u64) -> Utf8Bytes {
        if missed == 0 {
            return self.message.clone();
        }
        let mut message = head(self.seq, missed);
        message.push_str(self.message.as_str().get(self.data.start..).unwrap_or_default());
        message.into()
    }
}

fn head(seq: u64, missed: u64) -> String {
    format!(r#"{{"type":"snapshot","seq":{seq},"missed":{missed},"data":"#)
}

/// The newest frame, or None before the first. Whoever is slow skips to the newest.
pub(crate) type Latest = watch::Receiver<Option<Arc<Frame>>>;

/// The sampler's end.
#[derive(Debug)]
pub(crate) struct Publisher {
    latest: watch::Sender<Option<Arc<Frame>>>,
    seq: u64,
}

impl Publisher {
    /// A bus without a frame.
    pub(crate) fn new() -> (Self, Latest) {
        let (sender, latest) = watch::channel(None);
        (Self { latest: sender, seq: 0 }, latest)
    }

    /// Hands a snapshot to everybody.
    pub(crate) fn publish(&mut self, snapshot: Snapshot) -> serde_json::Result<()> {
        self.seq = self.seq.saturating_add(1);
        let data = serde_json::to_string(&snapshot)?;
        self.latest.send_replace(Some(Arc::new(Frame::new(self.seq, snapshot, &data))));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::of_recording;

    #[test]
    fn a_message_says_how_many_were_missed() {
        let frame = Frame::new(7, of_recording("vm"), r#"{"tick":9}"#);
        assert_eq!(&frame.data()[..], br#"{"tick":9}"#);
        assert_eq!(frame.message(0), r#"{"type":"snapshot","seq":7,"missed":0,"data":{"tick":9}}"#);
        assert_eq!(frame.message(3), r#"{"type":"snapshot","seq":7,"missed":3,"data":{"tick":9}}"#);
    }
}
