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

#[cfg(test)]
mod tests {
    use axum::extract::DefaultBodyLimit;
    use axum::middleware::from_fn;
    use axum::routing::post;
    use axum::{Json, Router};
    use hyper::service::Service;
    use hyper_util::service::TowerToHyperService;
    use serde_json::Value;
    use tokio::time::Instant;

    use super::*;

    /// A body of so many bytes, one a second, or one that never ends.
    struct Slow {
        left: Option<usize>,
        next: Pin<Box<tokio::time::Sleep>>,
    }

    impl HttpBody for Slow {
        type Data = Bytes;
        type Error = axum::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
            if self.left == Some(0) {
                return Poll::Ready(None);
            }
            ready!(self.next.as_mut().poll(context));
            self.next.as_mut().reset(Instant::now() + Duration::from_secs(1));
            self.left = self.left.map(|left| left - 1);
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"1")))))
        }
    }

    async fn status(body: Body) -> (u16, Duration) {
        let slow_answer = |Json(number): Json<Value>| async move {
            sleep(Duration::from_secs(60)).await;
            number.to_string()
        };
        let router = Router::new()
            .route("/", post(slow_answer))
            .layer(from_fn(in_time))
            .layer(DefaultBodyLimit::max(MAX_BODY_BYTES));
        let request =
            Request::post("/").header(header::CONTENT_TYPE, "application/json").body(body);
        let start = Instant::now();
        let response = TowerToHyperService::new(router).call(request.unwrap()).await.unwrap();
        (response.status().as_u16(), start.elapsed())
    }

    fn slow(left: Option<usize>) -> Body {
        Body::new(Slow { left, next: Box::pin(sleep(Duration::ZERO)) })
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_must_come_in_time_and_an_answer_may_take_its_time() {
        assert_eq!(status(slow(None)).await, (408, BODY_DEADLINE));
        assert_eq!(status(slow(Some(15))).await, (408, BODY_DEADLINE));
        let (code, took) = status(slow(Some(5))).await;
        assert!(code == 200 && took > Duration::from_secs(60), "{code} {took:?}");
        assert_eq!(status(Body::from("1")).await.0, 200);
        assert_eq!(status(Body::from("1".repeat(MAX_BODY_BYTES + 1))).await.0, 413);
    }
}
