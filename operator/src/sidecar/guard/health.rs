//! What the guard tells: the pod's readiness, metrics, and the place where replicas answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::{get, post};
use axum::{Json, Router};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};

use super::recover::{ANSWER_PATH, ReplicaStatus, WORD_PATH, response, sender};
use super::replicas::{Inbox, Replicas, VOTES_PATH};
use crate::runtime::http;

/// Time that the neighbour has to say that it is healthy.
const PATIENCE: Duration = Duration::from_secs(2);

/// Longest time that a connection is open. A question and its answer, or a replica's answer, take a moment; whoever
/// sends nothing, or half of it, would keep it for ever.
const LONGEST: Duration = Duration::from_secs(10);

/// Pause after a connection could not be accepted.
const PAUSE: Duration = Duration::from_millis(100);

/// Counts what the guard sees and does.
pub struct Status {
    registry: Registry,
    deaths: Counter,
    withdrawn: Counter,
    withdrawal: Histogram,
    voting: Gauge,
    begin: Gauge,
    end: Gauge,
}

impl Default for Status {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("mesoscloud_guard");
        let (deaths, withdrawn, withdrawal) = (
            Counter::default(),
            Counter::default(),
            Histogram::new(exponential_buckets(0.001, 2.0, 14)),
        );
        let (voting, begin, end) = (Gauge::default(), Gauge::default(), Gauge::default());
        registry.register("neighbour_deaths", "Deaths of the neighbour", deaths.clone());
        registry.register("withdrawn", "Candidacies withdrawn", withdrawn.clone());
        registry.register_with_unit(
            "withdrawal",
            "Time from the end of the neighbour's connection until its candidacy was gone",
            Unit::Seconds,
            withdrawal.clone(),
        );
        registry.register(
            "replica_voting",
            "1 while the neighbour's replica of the log votes; of masters",
            voting.clone(),
        );
        registry.register(
            "replica_log_begin",
            "First position of the neighbour's replica of the log",
            begin.clone(),
        );
        registry.register(
            "replica_log_end",
            "Last position of the neighbour's replica of the log",
            end.clone(),
        );
        Self {
            registry,
            deaths,
            withdrawn,
            withdrawal,
            voting,
            begin,
            end,
        }
    }
}

impl Status {
    /// The neighbour died.
    pub fn death(&self) {
        self.deaths.inc();
    }

    /// A candidacy was withdrawn, so long after the neighbour's death.
    pub fn withdrawn(&self, after: Duration) {
        self.withdrawn.inc();
        self.withdrawal.observe(after.as_secs_f64());
    }

    fn replica(&self, status: Option<ReplicaStatus>) {
        let (voting, begin, end) = match status {
            Some(ReplicaStatus::Voting { begin, end }) => (1, begin, end),
            _ => (0, 0, 0),
        };
        self.voting.set(voting);
        self.begin.set(begin.try_into().unwrap_or(i64::MAX));
        self.end.set(end.try_into().unwrap_or(i64::MAX));
    }

    fn metrics(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

/// Serves `/livez`, `/metrics` and, beside a master, `/readyz`, `/replica`, `/votes` and the replicas' answers, until
/// the process ends.
///
/// # Errors
/// When the address cannot be listened on.
pub async fn serve(
    listen: SocketAddr,
    neighbour: SocketAddr,
    status: Arc<Status>,
    replicas: Option<Arc<Replicas>>,
    inbox: Arc<Inbox>,
) -> std::io::Result<()> {
    let text = [(
        header::CONTENT_TYPE,
        "application/openmetrics-text; version=1.0.0; charset=utf-8",
    )];
    let seen = status.clone();
    let mut router = Router::new()
        .route("/livez", get(|| async { StatusCode::OK }))
        .route("/metrics", get(move || async move { (text, status.metrics()) }));
    if let Some(replicas) = replicas {
        let (asked, counted) = (replicas.clone(), replicas.clone());
        router = router
            .route(VOTES_PATH, get(async move || Json(counted.votes().await)))
            .route(
                WORD_PATH,
                get(move || async move {
                    let status = asked.neighbours().await;
                    status
                        .map(ReplicaStatus::word)
                        .ok_or(StatusCode::SERVICE_UNAVAILABLE)
                }),
            )
            .route(
                "/readyz",
                get(move || ready(neighbour, replicas.clone(), seen.clone())),
            )
            .route(
                ANSWER_PATH,
                post(move |headers: HeaderMap, body: Bytes| async move { answered(&inbox, &headers, &body) }),
            );
    }
    let listener = TcpListener::bind(listen).await?;
    let service = TowerToHyperService::new(router);
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // No descriptor is free, or the other side is gone already.
            sleep(PAUSE).await;
            continue;
        };
        // libprocess closes a connection as soon as its message is sent; it counts all the same.
        let mut http = http1::Builder::new();
        let served = http
            .half_close(true)
            .serve_connection(TokioIo::new(stream), service.clone());
        tokio::spawn(timeout(LONGEST, served));
    }
}

/// Whether the master serves: it answers, and its replica votes.
async fn ready(
    neighbour: SocketAddr,
    replicas: Arc<Replicas>,
    status: Arc<Status>,
) -> (StatusCode, &'static str) {
    let healthy = timeout(PATIENCE, http::get(neighbour, "/health"));
    let (healthy, replica) = tokio::join!(healthy, replicas.neighbours());
    status.replica(replica);
    match (healthy, replica) {
        (Ok(Ok(_)), Some(ReplicaStatus::Voting { .. })) => (StatusCode::OK, "its replica votes\n"),
        (Ok(Ok(_)), Some(ReplicaStatus::Recovering)) => {
            (StatusCode::SERVICE_UNAVAILABLE, "its replica is catching up\n")
        }
        (Ok(Ok(_)), Some(ReplicaStatus::Starting | ReplicaStatus::Empty)) => (
            StatusCode::SERVICE_UNAVAILABLE,
            "its replica is empty: it needs a quorum that votes to learn from\n",
        ),
        (Ok(Ok(_)), None) => (StatusCode::SERVICE_UNAVAILABLE, "its replica does not answer\n"),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "the master does not answer\n"),
    }
}

/// Takes a replica's answer. libprocess names the sender in one of two headers.
fn answered(inbox: &Inbox, headers: &HeaderMap, body: &[u8]) -> StatusCode {
    let from = ["libprocess-from", "user-agent"]
        .iter()
        .find_map(|name| sender(headers.get(*name)?.to_str().ok()?));
    match from.zip(response(body)) {
        Some((from, status)) => {
            inbox.put(from, status);
            StatusCode::ACCEPTED
        }
        None => StatusCode::BAD_REQUEST,
    }
}
