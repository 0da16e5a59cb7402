//! HTTP: every route, and what all of them share.

mod catalog;
mod error;
mod guard;
mod history;
mod live;
mod params;
mod prometheus;
mod server;
mod snapshot;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::middleware;
use axum::routing::get;
use perfwatch_store::Store;
use tokio::sync::Semaphore;

use crate::bus::Latest;
use error::Problem;

pub(crate) use catalog::Catalog;
pub(crate) use server::serve;

/// Most WebSocket clients at a time. One more is refused with 503.
const MAX_LIVE_CLIENTS: u32 = 1024;

/// Most questions about history that are answered at a time. The others wait for their turn.
pub(crate) const MAX_QUESTIONS: usize = 2;

/// What the routes need to know.
#[derive(Debug, Clone)]
pub(crate) struct AppState {
    latest: Latest,
    interval: Duration,
    hostname: Option<Arc<str>>,
    live_clients: Arc<Semaphore>,
    store: Arc<Store>,
    questions: Arc<Semaphore>,
    node_names: bool,
}

impl AppState {
    /// `hostname` is a name under which browsers may reach this server.
    pub(crate) fn new(
        latest: Latest,
        interval: Duration,
        hostname: Option<&str>,
        store: Arc<Store>,
    ) -> Self {
        Self {
            latest,
            interval,
            hostname: hostname.map(Arc::from),
            live_clients: Arc::new(Semaphore::new(MAX_LIVE_CLIENTS as usize)),
            store,
            questions: Arc::new(Semaphore::new(MAX_QUESTIONS)),
            node_names: true,
        }
    }

    /// Whether `/metrics` has node_exporter's names.
    pub(crate) fn with_node_names(self, node_names: bool) -> Self {
        Self { node_names, ..self }
    }

    /// Waits until every live stream has ended.
    pub(crate) async fn live_streams_end(&self) {
        // The semaphore is never closed.
        let _ = self.live_clients.acquire_many(MAX_LIVE_CLIENTS).await;
    }
}

/// Every route.
pub(crate) fn router(state: AppState) -> Router {
    Router::new()
        .route("/api/v1/snapshot", get(snapshot::newest))
        .route("/api/v1/live", get(live::upgrade))
        .route("/api/v1/catalog", get(catalog::all))
        .route("/api/v1/series", get(history::series))
        .route("/api/v1/compare", get(history::compare))
        .route("/api/v1/events", get(history::events))
        .route("/metrics", get(prometheus::metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .fallback(|| async {
            Problem::new(StatusCode::NOT_FOUND, "not-found", "there is nothing at this path")
                .fix("the routes are /api/v1/snapshot, live, catalog, series, compare and events, /metrics and /healthz")
        })
        .method_not_allowed_fallback(|| async {
            Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "method-not-allowed",
                "this path is read only",
            )
            .fix("use GET")
        })
        .layer(middleware::from_fn_with_state(state.clone(), guard::check))
        .with_state(state)
}
