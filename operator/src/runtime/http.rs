//! Questions to a program of the same cloud, over HTTP.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1::handshake;
use hyper::header::HOST;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Time in which a machine that is there accepts a connection: its kernel does that, however busy its programs are.
const REACH: Duration = Duration::from_millis(150);

/// A connection to a program of the same cloud. An address that is gone is silent, which is known early.
///
/// # Errors
/// When nobody accepts it.
pub async fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    timeout(REACH, TcpStream::connect(to)).await?
}

/// Body of the answer to a GET.
///
/// # Errors
/// When there is no answer, or its status is not 200.
pub async fn get(from: SocketAddr, path: &str) -> Result<Bytes, Box<dyn std::error::Error + Send + Sync>> {
    let stream = connect(from).await?;
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
