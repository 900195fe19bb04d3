//! A small HTTP client that shows everything of an answer, and knows nothing of retries or redirects.

use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{HeaderMap, Request, header};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::{Context as _, Result};

/// Time for one answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// What was answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
}

impl Answer {
    /// A header as text; empty without it.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|v| v.to_str().ok())
            .unwrap_or_default()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; null if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// One TCP connection, on which requests follow each other.
pub struct Connection {
    address: String,
    sender: SendRequest<Full<Bytes>>,
}

impl Connection {
    /// Connects to `host:port`.
    pub async fn open(address: &str) -> Result<Self> {
        let stream = timeout(PATIENCE, TcpStream::connect(address))
            .await
            .context(address)?
            .context(address)?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.context(address)?;
        // It ends when the sender is dropped; its errors reach the sender too.
        tokio::spawn(connection);
        Ok(Self {
            address: address.to_owned(),
            sender,
        })
    }

    /// Sends a request and reads the whole answer.
    pub async fn send(&mut self, method: &str, path: &str, body: Option<&Value>) -> Result<Answer> {
        let what = format!("{method} http://{}{path}", self.address);
        let content = body.map(Value::to_string).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, &self.address)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(content)))?;
        let exchange = async {
            self.sender.ready().await?;
            let response = self.sender.send_request(request).await?;
            let (head, body) = response.into_parts();
            Ok::<_, hyper::Error>(Answer {
                status: head.status.as_u16(),
                headers: head.headers,
                body: body.collect().await?.to_bytes(),
            })
        };
        timeout(PATIENCE, exchange).await.context(&what)?.context(&what)
    }
}

/// Sends one request on a connection of its own.
pub async fn request(method: &str, address: &str, path: &str, body: Option<&Value>) -> Result<Answer> {
    Connection::open(address).await?.send(method, path, body).await
}

/// Fetches a path on a connection of its own.
pub async fn get(address: &str, path: &str) -> Result<Answer> {
    request("GET", address, path, None).await
}
