//! `GET /api/v1/catalog`: every metric, described.

use axum::Json;
use perfwatch_metrics::MetricDef;
use serde::Serialize;

/// The catalog as JSON.
#[derive(Debug, Serialize)]
pub(crate) struct Catalog {
    metrics: Vec<&'static MetricDef>,
}

impl Catalog {
    /// All there is.
    pub(crate) fn new() -> Self {
        Self { metrics: perfwatch_metrics::catalog().collect() }
    }
}

/// Every metric.
pub(crate) async fn all() -> Json<Catalog> {
    Json(Catalog::new())
}
