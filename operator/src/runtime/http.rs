//! Questions to a program of the same cloud, over HTTP.

use std::net::SocketAddr;

use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1::handshake;
use hyper::header::HOST;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Body of the answer to a GET.
///
/// # Errors
/// When there is no answer, or its status is not 200.
pub async fn get(from: SocketAddr, path: &str) -> Result<Bytes, Box<dyn std::error::Error + Send + Sync>> {
    let stream = TcpStream::connect(from).await?;
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
    // Ends with the answer: `sender` is dropped by then.
    tokio::spawn(connection);
    let request = Request::get(path)
        .header(HOST, from.to_string())
        .body(Empty::<Bytes>::new())?;
    let answer = sender.send_request(request).await?;
    if answer.status() != StatusCode::OK {
        return Err(format!("{path} answers {}", answer.status()).into());
    }
    Ok(answer.into_body().collect().await?.to_bytes())
}
