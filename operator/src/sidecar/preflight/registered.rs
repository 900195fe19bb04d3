//! `preflight registered`: the slave's readiness.

use std::time::Duration;

use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(3);

/// Whether the slave at `address` is registered with a master. Its `/health` is 200 whether or not it is.
pub async fn is_registered(address: &str) -> bool {
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let Ok(uri) = format!("http://{address}/metrics/snapshot").parse() else {
        return false;
    };
    let ask = async {
        let body = client
            .get(uri)
            .await
            .ok()?
            .into_body()
            .collect()
            .await
            .ok()?
            .to_bytes();
        serde_json::from_slice::<serde_json::Value>(&body)
            .ok()?
            .get("slave/registered")?
            .as_f64()
    };
    timeout(PATIENCE, ask)
        .await
        .ok()
        .flatten()
        .is_some_and(|registered| registered >= 1.0)
}
