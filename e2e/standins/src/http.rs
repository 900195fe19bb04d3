//! What the HTTP sides of master and slave have in common.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::{ConnectInfo, Request as Incoming};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::serve::{Listener, ListenerExt as _};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::{Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Serves `router` on `listener`; a connection may stay open, and silent, for ever. Every request leaves a line on
/// standard error, as in the original (`http.cpp @ 0.28.1`, `Http::log`).
///
/// # Errors
/// When the socket fails.
pub async fn serve<L: Listener<Addr = SocketAddr>>(listener: L, router: Router) -> std::io::Result<()> {
    let service = router
        .layer(from_fn(log))
        .into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener.tap_io(|_| ()), service).await
}

async fn log(ConnectInfo(peer): ConnectInfo<SocketAddr>, request: Incoming, next: Next) -> Response {
    // What the stand-ins say to each other takes the place of libprocess' messages, which leave no such line.
    if !request.uri().path().starts_with("/standin/") {
        tracing::info!("HTTP {} for {} from {peer}", request.method(), request.uri());
    }
    next.run(request).await
}

/// `/X` and `/PROCESS/X` are the same: an unknown first part of a path is the main process'
/// (`process.cpp @ 0.28.1:2333–2353`).
pub fn under_both<S: Clone + Send + Sync + 'static>(process: &str, router: Router<S>) -> Router<S> {
    Router::new()
        .nest(&format!("/{process}"), router.clone())
        .merge(router)
}

/// Posts JSON to `address` and reads the JSON of a 200.
///
/// # Errors
/// When nothing answers, or not with 200 and the JSON expected.
pub async fn post_json<A: DeserializeOwned>(
    address: &str,
    path: &str,
    body: &impl Serialize,
) -> Result<A, Box<dyn std::error::Error + Send + Sync>> {
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let request = Request::post(format!("http://{address}{path}"))
        .header("content-type", "application/json")
        .body(Full::from(serde_json::to_vec(body)?))?;
    let response = client.request(request).await?;
    if response.status() != StatusCode::OK {
        return Err(format!("{path}: {}", response.status()).into());
    }
    Ok(serde_json::from_slice(
        &response.into_body().collect().await?.to_bytes(),
    )?)
}
