//! The event bus behind `/v2/events` (`event/*.scala @ v1.1.1`).

use serde_json::{Value, json};
use tokio::sync::broadcast;

use super::time::Stamp;

/// `event_stream_max_outstanding_messages`: a slow reader loses older events.
const OUTSTANDING: usize = 50;

/// Where events are published.
#[derive(Debug, Clone)]
pub struct Bus(broadcast::Sender<Value>);

impl Default for Bus {
    fn default() -> Self {
        Self(broadcast::channel(OUTSTANDING).0)
    }
}

impl Bus {
    /// Publishes an event; `fields` is an object.
    pub fn publish(&self, kind: &str, fields: Value) {
        // Nobody listening is no error.
        let _ = self.0.send(event(kind, fields));
    }

    /// Everything published from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Value> {
        self.0.subscribe()
    }
}

/// An event with its type and time.
pub fn event(kind: &str, mut fields: Value) -> Value {
    fields["eventType"] = json!(kind);
    fields["timestamp"] = json!(Stamp::now());
    fields
}

/// One event in the words of a server-sent event stream.
pub fn server_sent(event: &Value) -> String {
    let kind = event["eventType"].as_str().unwrap_or_default();
    format!("event: {kind}\r\ndata: {event}\r\n\r\n")
}
