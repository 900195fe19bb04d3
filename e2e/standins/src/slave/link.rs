//! The wire to the master that both a slave and a framework use: a request, and a stream of one JSON a line.

use std::time::Duration;

use axum::body::Body;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rand::Rng;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;

/// For a connection and for an answer to begin.
const PATIENCE: Duration = Duration::from_secs(10);

/// A random part of a pause, so that not all come back at once.
pub fn part_of(pause: Duration) -> Duration {
    pause.mul_f64(rand::rng().random_range(0.0..1.0))
}

/// Why a request has no good answer.
#[derive(Debug)]
pub enum Failure {
    /// 403: the master wants nothing to do with us, and says why.
    Refused(String),
    /// Anything else; trying again may help.
    Unavailable(String),
}

impl Failure {
    fn unavailable(error: impl std::fmt::Display) -> Self {
        Self::Unavailable(error.to_string())
    }
}

async fn send(
    address: &str,
    method: Method,
    path: &str,
    body: Vec<u8>,
) -> Result<Response<Incoming>, Failure> {
    let connecting = tokio::time::timeout(PATIENCE, TcpStream::connect(address));
    let stream = connecting
        .await
        .map_err(Failure::unavailable)?
        .map_err(Failure::unavailable)?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(Failure::unavailable)?;
    tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", address)
        .header("content-type", "application/json")
        .body(Body::from(body))
        .map_err(Failure::unavailable)?;
    let answer = tokio::time::timeout(PATIENCE, sender.send_request(request));
    let response = answer
        .await
        .map_err(Failure::unavailable)?
        .map_err(Failure::unavailable)?;
    match response.status() {
        StatusCode::OK => Ok(response),
        status => {
            let body = response
                .into_body()
                .collect()
                .await
                .map_err(Failure::unavailable)?
                .to_bytes();
            let text = String::from_utf8_lossy(&body).into_owned();
            if status == StatusCode::FORBIDDEN {
                let refused = serde_json::from_slice::<crate::wire::Refused>(&body);
                Err(Failure::Refused(refused.map_or(text, |refused| refused.reason)))
            } else {
                Err(Failure::Unavailable(format!("{status} {text}")))
            }
        }
    }
}

/// Posts `value`; the answer's body is read as `T`.
pub async fn ask<T: DeserializeOwned>(
    address: &str,
    path: &str,
    value: &impl Serialize,
) -> Result<T, Failure> {
    let body = serde_json::to_vec(value).map_err(Failure::unavailable)?;
    let response = send(address, Method::POST, path, body).await?;
    let bytes = response
        .into_body()
        .collect()
        .await
        .map_err(Failure::unavailable)?
        .to_bytes();
    serde_json::from_slice(&bytes).map_err(Failure::unavailable)
}

/// Posts `value`; the answer's body does not matter.
pub async fn tell(address: &str, path: &str, value: &impl Serialize) -> Result<(), Failure> {
    let body = serde_json::to_vec(value).map_err(Failure::unavailable)?;
    send(address, Method::POST, path, body).await.map(drop)
}

/// Posts without a body.
pub async fn poke(address: &str, path: &str) -> Result<(), Failure> {
    send(address, Method::POST, path, Vec::new()).await.map(drop)
}

/// Opens a stream with `GET`.
pub async fn listen<T: DeserializeOwned + Send + 'static>(
    address: &str,
    path: &str,
) -> Result<BoxStream<'static, T>, Failure> {
    send(address, Method::GET, path, Vec::new()).await.map(lines)
}

/// Opens a stream by posting `value`.
pub async fn subscribe<T: DeserializeOwned + Send + 'static>(
    address: &str,
    path: &str,
    value: &impl Serialize,
) -> Result<BoxStream<'static, T>, Failure> {
    let body = serde_json::to_vec(value).map_err(Failure::unavailable)?;
    send(address, Method::POST, path, body).await.map(lines)
}

/// The lines of a body, each read as `T`; the end of the stream is the end of the connection.
fn lines<T: DeserializeOwned + Send + 'static>(response: Response<Incoming>) -> BoxStream<'static, T> {
    let state = (response.into_body(), Vec::new());
    stream::unfold(state, |(mut body, mut buffer): (Incoming, Vec<u8>)| async move {
        loop {
            if let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = buffer.drain(..=end).collect();
                return Some((line, (body, buffer)));
            }
            let frame = body.frame().await?.ok()?;
            if let Ok(data) = frame.into_data() {
                buffer.extend_from_slice(&data);
            }
        }
    })
    .filter_map(|line| async move {
        match serde_json::from_slice(&line) {
            Ok(value) => Some(value),
            Err(error) => {
                tracing::info!("Cannot read {}: {error}", String::from_utf8_lossy(&line).trim());
                None
            }
        }
    })
    .boxed()
}
