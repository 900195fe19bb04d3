//! The slave's HTTP endpoints: `/slave(1)/X` and `/X` alike (libprocess hands an unknown first part to `slave(1)`).

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{HeaderValue, Request, Response, StatusCode, header};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::agent::Agent;
use super::files::{Files, Refusal};
use super::show;

/// Two answers of `/metrics/snapshot` a second, the rest wait (libprocess metrics.cpp @ 0.28.1:59-103).
const METRICS_EVERY: Duration = Duration::from_millis(500);

struct Api {
    agent: Arc<Agent>,
    files: Files,
    next_metrics: Mutex<Instant>,
}

/// What the UI asks with.
#[derive(Debug, Default, Deserialize)]
struct Parameters {
    path: Option<String>,
    offset: Option<i64>,
    length: Option<i64>,
    jsonp: Option<String>,
}

/// All endpoints.
pub fn router(agent: Arc<Agent>) -> Router {
    let files = Files::new(&agent.settings.work_dir);
    let api = Api {
        agent,
        files,
        next_metrics: Mutex::new(Instant::now()),
    };
    Router::new().fallback(answer).with_state(Arc::new(api))
}

async fn answer(
    State(api): State<Arc<Api>>,
    Query(parameters): Query<Parameters>,
    request: Request<Body>,
) -> Response<Body> {
    let path = request.uri().path().replace("%28", "(").replace("%29", ")");
    let path = path.strip_prefix("/slave(1)").unwrap_or(&path);
    let path = path.strip_suffix(".json").unwrap_or(path);
    let shown = match path {
        "/health" => return Response::new(Body::empty()),
        "/state" => Ok(show::state(&api.agent).await),
        "/metrics/snapshot" => return json_answer(&escape(&api.metrics().await.to_string()), None),
        "/files/browse" => api.files.browse(parameters.path.as_deref()),
        "/files/read" => api
            .files
            .read(parameters.path.as_deref(), parameters.offset, parameters.length),
        "/files/download" => match api.files.download(parameters.path.as_deref()) {
            Ok((name, bytes)) => return attachment(&name, bytes),
            Err(refusal) => Err(refusal),
        },
        _ => Err(Refusal::NotFound),
    };
    match shown {
        Ok(value) => json_answer(&value.to_string(), parameters.jsonp.as_deref()),
        Err(Refusal::NotFound) => status(StatusCode::NOT_FOUND, ""),
        Err(Refusal::BadRequest(reason)) => status(StatusCode::BAD_REQUEST, reason),
    }
}

impl Api {
    async fn metrics(&self) -> Value {
        let mut next = self.next_metrics.lock().await;
        tokio::time::sleep_until(*next).await;
        *next = Instant::now() + METRICS_EVERY;
        drop(next);
        show::metrics(&self.agent).await
    }
}

/// Mesos 0.28.1 escapes slashes: `"slave\/registered":1.0`.
fn escape(json: &str) -> String {
    json.replace('/', "\\/")
}

fn json_answer(json: &str, callback: Option<&str>) -> Response<Body> {
    let (kind, body) = match callback {
        Some(callback) => ("text/javascript", format!("{callback}({json});")),
        None => ("application/json", json.to_owned()),
    };
    let mut response = Response::new(Body::from(body));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn attachment(name: &str, bytes: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Body::from(bytes));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename={name}")) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    response
}

fn status(status: StatusCode, text: &str) -> Response<Body> {
    let mut response = Response::new(Body::from(text.to_owned()));
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slashes_are_escaped_as_in_mesos() {
        let text = escape(&serde_json::json!({"slave/registered": 1.0}).to_string());
        assert_eq!(text, r#"{"slave\/registered":1.0}"#);
    }
}
