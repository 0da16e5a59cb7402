//! `GET /api/v1/catalog`: every metric, described.

use axum::Json;
use perfwatch_metrics::MetricDef;
use serde::Serialize;

/// The catalog as JSON.
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[derive(Debug, Serialize)]
pub(crate) struct Catalog {
    #[cfg_attr(test, schema(value_type = Vec<super::openapi::Metric>))]
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
