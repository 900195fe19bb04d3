//! Where a request waits that finds no leader: clients see latency instead of errors.
//!
//! It is HAProxy's last server. A request that may be sent twice waits here until HAProxy has a leader to give it
//! to, and is then told to try again ([`HOLD_RETRY_STATUS`]): HAProxy still has it, and sends it to that leader.
//! Any other answer ends the waiting, and HAProxy turns it into its own 503.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::{sleep, timeout};

use super::health::{Outcome, Status};
use crate::cloud::haproxy::{HOLD_LIMIT, HOLD_RETRY_STATUS};

/// So many are released at once, and each one more so much later: a thousand at the same moment are a flood for a
/// leader that has just begun, and one connection that it is slow to accept takes it down again (seen).
const FLOOD: (usize, Duration) = (100, Duration::from_micros(500));

/// The requests that wait.
pub struct Hold {
    /// How long one waits, in milliseconds.
    patience: AtomicU32,
    places: Semaphore,
    /// When HAProxy was last known to have a leader.
    led: watch::Sender<Option<Instant>>,
    arrivals: Notify,
    status: Arc<Status>,
}

impl Hold {
    /// Nobody waits, and nobody would have to.
    pub fn new(status: Arc<Status>) -> Self {
        Self {
            patience: AtomicU32::new(0),
            places: Semaphore::new(HOLD_LIMIT),
            led: watch::Sender::new(None),
            arrivals: Notify::new(),
            status,
        }
    }

    /// From now on a request waits so long, in milliseconds.
    pub fn set_patience(&self, patience_ms: u32) {
        self.patience.store(patience_ms, Ordering::Relaxed);
    }

    /// Whether anybody waits.
    pub fn is_held(&self) -> bool {
        self.places.available_permits() < HOLD_LIMIT
    }

    /// Returns when another request has come, also one that does not wait. Several at once are one.
    pub async fn arrival(&self) {
        self.arrivals.notified().await;
    }

    /// HAProxy had a leader at this time: whoever waits since before may try again. One that came later came
    /// because the leader is gone.
    pub fn release(&self, led: Instant) {
        self.led.send_if_modified(|last| {
            let newer = last.is_none_or(|last| led > last);
            if newer {
                *last = Some(led);
            }
            newer
        });
    }

    /// Holds what HAProxy sends to this listener, for ever.
    ///
    /// # Errors
    /// When nobody can be accepted any more.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) -> io::Result<()> {
        let router = Router::new().fallback(answer).with_state(self);
        axum::serve(listener, router).await
    }

    /// It came because HAProxy has no leader, which is worth a look as well.
    fn refuse(&self) -> Outcome {
        self.arrivals.notify_one();
        Outcome::Refused
    }

    async fn hold(&self) -> Outcome {
        let arrived = Instant::now();
        let Ok(_place) = self.places.try_acquire() else {
            return self.refuse();
        };
        let _held = self.status.held();
        let before = HOLD_LIMIT - self.places.available_permits();
        let mut led = self.led.subscribe();
        self.arrivals.notify_one();
        let patience = Duration::from_millis(self.patience.load(Ordering::Relaxed).into());
        let released = led.wait_for(|led| led.is_some_and(|led| led >= arrived));
        // It cannot end otherwise: the sender lives as long as this does.
        if timeout(patience, released).await.is_err() {
            return Outcome::TimedOut;
        }
        let behind = u32::try_from(before.saturating_sub(FLOOD.0)).unwrap_or_default();
        sleep(FLOOD.1 * behind).await;
        Outcome::Released
    }
}

async fn answer(State(hold): State<Arc<Hold>>, method: Method) -> Response {
    let may_be_sent_twice = matches!(method, Method::GET | Method::HEAD | Method::OPTIONS);
    let outcome = if may_be_sent_twice {
        hold.hold().await
    } else {
        hold.refuse()
    };
    hold.status.was_held(outcome);
    let status = match outcome {
        Outcome::Released => StatusCode::from_u16(HOLD_RETRY_STATUS).unwrap_or(StatusCode::TOO_EARLY),
        Outcome::TimedOut | Outcome::Refused => StatusCode::GATEWAY_TIMEOUT,
    };
    // A connection that HAProxy keeps would count as one more when it is the agent's turn to be restarted.
    (status, [(header::CONNECTION, "close")]).into_response()
}
