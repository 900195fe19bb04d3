//! The operator's own HTTP endpoints.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::http::{StatusCode, header};
use axum::routing::get;

use super::metrics::Metrics;

/// Whether the process has everything it needs to do its work.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// From now on it has.
    pub fn set(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn status(&self) -> StatusCode {
        if self.0.load(Ordering::Acquire) {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        }
    }
}

/// Serves `/livez`, `/readyz` and `/metrics` until the process ends.
///
/// # Errors
/// When the address cannot be listened on.
pub async fn serve(address: SocketAddr, readiness: Readiness, metrics: Arc<Metrics>) -> std::io::Result<()> {
    let text = [(
        header::CONTENT_TYPE,
        "application/openmetrics-text; version=1.0.0; charset=utf-8",
    )];
    let router = Router::new()
        .route("/livez", get(|| async { StatusCode::OK }))
        .route("/readyz", get(move || async move { readiness.status() }))
        .route("/metrics", get(move || async move { (text, metrics.text()) }));
    let listener = tokio::net::TcpListener::bind(address).await?;
    axum::serve(listener, router).await
}
