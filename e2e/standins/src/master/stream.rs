//! Streams of JSON lines to slaves and frameworks, and what is done when one ends.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::response::Response;
use futures::StreamExt as _;
use serde::Serialize;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::timeout;

/// A line at least this often: that is how a broken connection is noticed.
const SIGN_OF_LIFE: Duration = Duration::from_secs(1);

/// Does something when it is dropped, that is when the stream that holds it ends.
pub struct AtEnd<F: FnOnce()>(Option<F>);

impl<F: FnOnce()> AtEnd<F> {
    /// Will do this.
    pub fn new(action: F) -> Self {
        Self(Some(action))
    }
}

impl<F: FnOnce()> Drop for AtEnd<F> {
    fn drop(&mut self) {
        if let Some(action) = self.0.take() {
            action();
        }
    }
}

/// A response that writes each message as a line and ends with the messages.
pub fn lines<T, F>(messages: UnboundedReceiver<T>, ping: T, at_end: AtEnd<F>) -> Response
where
    T: Serialize + Clone + Send + Sync + 'static,
    F: FnOnce() + Send + 'static,
{
    let state = (messages, ping, at_end);
    let lines = futures::stream::unfold(state, |(mut messages, ping, at_end)| async move {
        let message = match timeout(SIGN_OF_LIFE, messages.recv()).await {
            Ok(message) => message?,
            Err(_) => ping.clone(),
        };
        let mut line = serde_json::to_vec(&message).unwrap_or_default();
        line.push(b'\n');
        Some((line, (messages, ping, at_end)))
    });
    Response::new(Body::from_stream(
        lines.map(|line| Ok::<_, Infallible>(Bytes::from(line))),
    ))
}
