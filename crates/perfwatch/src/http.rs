//! HTTP: every route, and what all of them share.

mod assets;
mod body;
mod catalog;
mod cookie;
mod error;
mod guard;
mod history;
mod json;
mod live;
#[cfg(test)]
mod openapi;
mod origin;
mod params;
mod policy;
mod prometheus;
mod server;
mod session;
mod settings;
mod snapshot;
mod status;
mod tls;
mod tokens;
mod verdict;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::routing::{delete, get, post, put};
use perfwatch_collect::Host;
use perfwatch_store::Store;
use tokio::sync::Semaphore;

use crate::access::Access;
use crate::audience::Audience;
use crate::bus::Latest;
use crate::config::LiveSettings;
use status::Watched;
use verdict::Verdicts;

pub(crate) use catalog::Catalog;
pub(crate) use origin::Site;
pub(crate) use server::{HTTPS_NEEDED, Listener, serve};
pub(crate) use tls::Tls;

/// Most questions about history that are answered at a time. The others wait for their turn.
pub(crate) const MAX_QUESTIONS: usize = 2;

/// What the routes need to know.
#[derive(Debug, Clone)]
pub(crate) struct AppState {
    latest: Latest,
    settings: Arc<LiveSettings>,
    watched: Arc<Watched>,
    access: Arc<Access>,
    site: Arc<Site>,
    audience: Arc<Audience>,
    store: Arc<Store>,
    questions: Arc<Semaphore>,
    verdicts: Arc<Verdicts>,
}

impl AppState {
    /// What is served, and to whom.
    pub(crate) fn new(
        latest: Latest,
        settings: Arc<LiveSettings>,
        host: Arc<Host>,
        store: Arc<Store>,
        access: Arc<Access>,
        audience: Arc<Audience>,
        site: Site,
    ) -> Self {
        Self {
            latest,
            settings,
            watched: Arc::new(Watched::new(host)),
            access,
            site: Arc::new(site),
            audience,
            store,
            questions: Arc::new(Semaphore::new(MAX_QUESTIONS)),
            verdicts: Arc::default(),
        }
    }
}

/// Every route.
pub(crate) fn router(state: AppState) -> Router {
    Router::new()
        .route("/api/v1/session", get(session::get).post(session::post).delete(session::delete))
        .route("/api/v1/setup", post(session::set_up))
        .route("/api/v1/account/password", put(session::put_password))
        .route("/api/v1/tokens", get(tokens::list).post(tokens::make))
        .route("/api/v1/tokens/{id}", delete(tokens::remove))
        .route("/api/v1/settings", get(settings::get).put(settings::put))
        .route("/api/v1/status", get(status::get))
        .route("/api/v1/snapshot", get(snapshot::newest))
        .route("/api/v1/live", get(live::upgrade))
        .route("/api/v1/catalog", get(catalog::all))
        .route("/api/v1/series", get(history::series))
        .route("/api/v1/compare", get(history::compare))
        .route("/api/v1/events", get(history::events))
        .route("/api/v1/verdict", get(verdict::get))
        .route("/metrics", get(prometheus::metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .fallback(assets::page)
        .layer(middleware::from_fn(body::in_time))
        .layer(DefaultBodyLimit::max(body::MAX_BODY_BYTES))
        .layer(middleware::from_fn_with_state(state.clone(), guard::check))
        .with_state(state)
}
