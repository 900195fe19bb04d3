//! What the agent tells of itself: health endpoints and metrics.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::routing::get;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::cloud::haproxy::ProxyState;

/// The state of the agent and its HAProxy.
pub struct Status {
    registry: Registry,
    started: AtomicBool,
    confirmed: AtomicBool,
    reachable: AtomicBool,
    checked: AtomicBool,
    reloads: Family<Outcome, Counter>,
    settings: Family<Settings, Gauge>,
    up: Family<Up, Gauge>,
    nudges: Histogram,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Settings {
    settings: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Up {
    server: String,
}

impl Default for Status {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("mesoscloud_proxy");
        let reloads = Family::default();
        registry.register("reloads", "Reloads of HAProxy, by outcome", reloads.clone());
        let settings = Family::default();
        registry.register(
            "settings_info",
            "Hash of the settings that are served",
            settings.clone(),
        );
        let up = Family::default();
        registry.register(
            "server_up",
            "Servers that are given requests: the leader, where one leads",
            up.clone(),
        );
        let nudges = Histogram::new(exponential_buckets(0.001, 2.0, 14));
        registry.register_with_unit(
            "leader_switch",
            "Time from reading of a new leader until HAProxy was told that it is ready",
            Unit::Seconds,
            nudges.clone(),
        );
        Self {
            registry,
            started: AtomicBool::default(),
            confirmed: AtomicBool::default(),
            reachable: AtomicBool::default(),
            checked: AtomicBool::default(),
            reloads,
            settings,
            up,
            nudges,
        }
    }
}

impl Status {
    /// HAProxy can start: its files are there.
    pub fn started(&self) {
        self.started.store(true, Ordering::Release);
    }

    /// HAProxy has been seen to run.
    pub fn confirm(&self) {
        self.confirmed.store(true, Ordering::Release);
    }

    /// Whether HAProxy has been seen to run.
    pub fn is_confirmed(&self) -> bool {
        self.confirmed.load(Ordering::Acquire)
    }

    /// HAProxy answered, or did not.
    pub fn reachable(&self, is: bool) {
        self.reachable.store(is, Ordering::Release);
    }

    /// A reload ended.
    pub fn reloaded(&self, well: bool) {
        self.reloads
            .get_or_create(&Outcome {
                outcome: if well { "success" } else { "failure" },
            })
            .inc();
    }

    /// A new leader was ready so long after it was known.
    pub fn applied(&self, after: Duration) {
        self.nudges.observe(after.as_secs_f64());
    }

    /// What HAProxy serves: which settings, and which servers are up. `checked` once it knows them all.
    pub fn serves(&self, state: &ProxyState, up: Vec<String>, checked: bool) {
        self.settings.clear();
        self.settings
            .get_or_create(&Settings {
                settings: state.settings.clone(),
            })
            .set(1);
        self.up.clear();
        for server in &state.servers {
            self.up
                .get_or_create(&Up {
                    server: server.name.clone(),
                })
                .set(i64::from(up.contains(&server.name)));
        }
        // Once is enough: a proxy whose masters are all away says so itself, with a 503.
        self.checked.fetch_or(checked, Ordering::AcqRel);
    }

    fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

/// Serves `/livez`, `/startupz`, `/readyz` and `/metrics` until the process ends.
///
/// # Errors
/// When the address cannot be listened on.
pub async fn serve(address: SocketAddr, status: Arc<Status>) -> std::io::Result<()> {
    let code = |ok| {
        if ok {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        }
    };
    let (start, ready) = (status.clone(), status.clone());
    let started = move || async move { code(start.started.load(Ordering::Acquire)) };
    let is_ready = move || async move {
        code(ready.reachable.load(Ordering::Acquire) && ready.checked.load(Ordering::Acquire))
    };
    let text = [(
        header::CONTENT_TYPE,
        "application/openmetrics-text; version=1.0.0; charset=utf-8",
    )];
    let router = Router::new()
        .route("/livez", get(|| async { StatusCode::OK }))
        .route("/startupz", get(started))
        .route("/readyz", get(is_ready))
        .route("/metrics", get(move || async move { (text, status.text()) }));
    axum::serve(tokio::net::TcpListener::bind(address).await?, router).await
}
