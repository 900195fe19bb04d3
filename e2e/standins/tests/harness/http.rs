//! Requests as plain as they can be.

use std::time::{Duration, Instant};

use axum::body::Body;
use http_body_util::BodyExt;
use hyper::{HeaderMap, Method, Request};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
    pub took: Duration,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

pub struct Call<'a> {
    pub method: Method,
    pub port: u16,
    pub path: &'a str,
    pub headers: &'a [(&'a str, &'a str)],
    pub body: String,
}

impl Call<'_> {
    pub async fn open(self) -> Result<hyper::Response<hyper::body::Incoming>, String> {
        let stream = TcpStream::connect(("127.0.0.1", self.port))
            .await
            .map_err(|error| error.to_string())?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| error.to_string())?;
        tokio::spawn(connection);
        let mut request = Request::builder()
            .method(self.method)
            .uri(self.path)
            .header("host", format!("127.0.0.1:{}", self.port));
        for (name, value) in self.headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(self.body)).unwrap();
        sender
            .send_request(request)
            .await
            .map_err(|error| error.to_string())
    }

    pub async fn send(self) -> Result<Reply, String> {
        let start = Instant::now();
        let response = self.open().await?;
        let (parts, body) = response.into_parts();
        let body = body
            .collect()
            .await
            .map_err(|error| error.to_string())?
            .to_bytes();
        Ok(Reply {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: String::from_utf8_lossy(&body).into_owned(),
            took: start.elapsed(),
        })
    }
}

pub async fn request(method: Method, port: u16, path: &str, body: &str) -> Result<Reply, String> {
    Call {
        method,
        port,
        path,
        headers: &[],
        body: body.to_owned(),
    }
    .send()
    .await
}

pub async fn get(port: u16, path: &str) -> Result<Reply, String> {
    request(Method::GET, port, path, "").await
}

pub async fn post(port: u16, path: &str, body: &Value) -> Result<Reply, String> {
    request(Method::POST, port, path, &body.to_string()).await
}

pub async fn put(port: u16, path: &str, body: &Value) -> Result<Reply, String> {
    request(Method::PUT, port, path, &body.to_string()).await
}

pub async fn delete(port: u16, path: &str) -> Result<Reply, String> {
    request(Method::DELETE, port, path, "").await
}
