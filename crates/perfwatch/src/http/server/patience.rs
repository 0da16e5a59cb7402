//! A stream whose other side must take what is written to it.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// How long a peer may take nothing at all of what waits for it.
pub(crate) const WRITE_DEADLINE: Duration = Duration::from_secs(10);

/// What a peer must take of a long answer in a second, on average. The slowest mobile networks are faster.
const LEAST_BYTES_PER_SECOND: u64 = 4 << 10;

/// Fails a write that the other side does not take in time.
///
/// The time runs while something waits to be written: [`WRITE_DEADLINE`], and more with every byte that is taken, but
/// never more than that ahead. So neither who reads nothing nor who reads a byte now and then holds an answer.
#[derive(Debug)]
pub(crate) struct Patience<S> {
    stream: S,
    /// When something waits: until when it may.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<S> Patience<S> {
    pub(crate) const fn new(stream: S) -> Self {
        Self { stream, deadline: None }
    }

    /// Nothing could be written.
    fn blocked(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        let start = || Box::pin(sleep_until(Instant::now() + WRITE_DEADLINE));
        ready!(self.deadline.get_or_insert_with(start).as_mut().poll(context));
        Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, "the peer does not read"))
    }

    /// So much was written.
    fn taken(&mut self, bytes: usize) {
        if let Some(deadline) = &mut self.deadline {
            let earned = Duration::from_micros(bytes as u64 * 1_000_000 / LEAST_BYTES_PER_SECOND);
            let later = (deadline.deadline() + earned).min(Instant::now() + WRITE_DEADLINE);
            deadline.as_mut().reset(later);
        }
    }

    fn written(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Ok(bytes)) => self.taken(bytes),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => return self.blocked(context).map(Err),
        }
        written
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patience<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patience<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.written(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.written(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = ready!(Pin::new(&mut self.stream).poll_flush(context));
        // Asked when nothing waits any more.
        self.deadline = None;
        Poll::Ready(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::sleep;

    use super::*;

    /// How long a megabyte is tried to be written to a peer that reads so many bytes a second, and whether it got there.
    async fn megabyte_at(bytes_per_second: usize) -> (Duration, io::Result<()>) {
        let (ours, mut theirs) = duplex(1024);
        tokio::spawn(async move {
            let mut buffer = vec![0; bytes_per_second];
            loop {
                sleep(Duration::from_secs(1)).await;
                if !buffer.is_empty() && theirs.read_exact(&mut buffer).await.is_err() {
                    break;
                }
            }
        });
        let start = Instant::now();
        let written = Patience::new(ours).write_all(&vec![0; 1 << 20]).await;
        (start.elapsed(), written)
    }

    #[tokio::test(start_paused = true)]
    async fn who_reads_at_all_slowly_gets_everything_and_who_dribbles_does_not() {
        let (took, written) = megabyte_at(8 << 10).await;
        assert!(written.is_ok() && took > Duration::from_secs(100), "{took:?}");
        let (took, written) = megabyte_at(0).await;
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(took.as_secs(), 10);
        let (took, written) = megabyte_at(10).await;
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(took < Duration::from_secs(12), "{took:?}");
    }
}
