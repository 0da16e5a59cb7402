//! What comes with a request must come soon.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hyper::body::{Frame, SizeHint};
use tokio::time::sleep;

use super::error::Problem;

/// Largest body of a request that is read. What can be said to PerfWatch is a few settings.
pub(crate) const MAX_BODY_BYTES: usize = 64 << 10;

/// A request's body must be complete so long after its head.
const BODY_DEADLINE: Duration = Duration::from_secs(10);

/// Ends a request whose body does not come.
pub(crate) async fn in_time(request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let complete = Arc::new(AtomicBool::new(false));
    let request =
        request.map(|inner| Body::new(Watched { inner, complete: Arc::clone(&complete) }));
    let late = async {
        sleep(BODY_DEADLINE).await;
        if complete.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        biased;
        response = next.run(request) => response,
        () = late => {
            let problem = Problem::new(
                StatusCode::REQUEST_TIMEOUT,
                "body-too-late",
                "the body of the request did not come in time",
            );
            ([(header::CONNECTION, HeaderValue::from_static("close"))], problem).into_response()
        }
    }
}

/// A body that says when all of it has come.
struct Watched {
    inner: Body,
    complete: Arc<AtomicBool>,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        if frame.is_none() || self.inner.is_end_stream() {
            self.complete.store(true, Ordering::Relaxed);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
