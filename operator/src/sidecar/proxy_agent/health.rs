//! What the agent tells of itself: health endpoints and metrics.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::http::{StatusCode, header};
use axum::routing::get;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use super::socket::States;
use crate::cloud::haproxy::ProxyState;

/// The state of the agent and its HAProxy.
pub struct Status {
    registry: Registry,
    reloads: Family<Reload, Counter>,
    last_reload: Gauge,
    refused: Gauge,
    settings: Family<Settings, Gauge>,
    up: Family<Up, Gauge>,
    switches: Counter,
    applied: Family<Applied, Histogram, fn() -> Histogram>,
    elected: Gauge,
    held: Gauge,
    holds: Family<Held, Counter>,
    seen: Mutex<Seen>,
}

/// What was last seen of HAProxy.
#[derive(Default)]
struct Seen {
    /// Its files are there.
    started: bool,
    /// It answers.
    answers: bool,
    /// It has checked all of its servers.
    checked: bool,
    /// The settings it runs with.
    settings: String,
    /// The server that led when one last did.
    leader: Option<String>,
    /// What it has against the settings that are wanted.
    refused: Option<String>,
}

/// What HAProxy had to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Cause {
    /// Another server leads, and is ready.
    Leader,
    /// A server's process ended.
    Death,
    /// ZooKeeper names another leader, or none.
    Election,
    /// The members or their addresses changed.
    Settings,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Applied {
    cause: Cause,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reload {
    outcome: &'static str,
}

/// What became of a request that found no leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Outcome {
    /// There is a leader, and HAProxy sends it there.
    Released,
    /// There was none for so long.
    TimedOut,
    /// It may not be sent twice, or too many wait already.
    Refused,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Held {
    outcome: Outcome,
}

/// A request that waits, for as long as this lives.
pub struct Waiting(Gauge);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.dec();
    }
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
        let status = Self {
            reloads: Family::default(),
            last_reload: Gauge::default(),
            refused: Gauge::default(),
            settings: Family::default(),
            up: Family::default(),
            switches: Counter::default(),
            applied: Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.001, 2.0, 14))),
            elected: Gauge::default(),
            held: Gauge::default(),
            holds: Family::default(),
            registry: Registry::default(),
            seen: Mutex::default(),
        };
        registry.register(
            "reloads",
            "Reloads of HAProxy, by outcome",
            status.reloads.clone(),
        );
        registry.register_with_unit(
            "last_successful_reload_timestamp",
            "When HAProxy last took up new settings, in seconds since 1970",
            Unit::Seconds,
            status.last_reload.clone(),
        );
        registry.register(
            "settings_refused",
            "1 while HAProxy refuses the operator's settings and goes on with the last good ones",
            status.refused.clone(),
        );
        registry.register(
            "settings_info",
            "Hash of the settings that HAProxy runs with",
            status.settings.clone(),
        );
        registry.register(
            "server_up",
            "Servers that are given requests: the leader, where one leads",
            status.up.clone(),
        );
        registry.register(
            "leader_switches",
            "Changes of the leader that is served",
            status.switches.clone(),
        );
        registry.register_with_unit(
            "applied",
            "Time until HAProxy was told: from reading of a new leader until that one was ready and told up, and \
            until the one before was told down (Election), from the end of a server's connection, from reading of \
            new settings until they were served",
            Unit::Seconds,
            status.applied.clone(),
        );
        registry.register(
            "election_known",
            "1 while ZooKeeper tells who leads, 0 while only the operator does",
            status.elected.clone(),
        );
        registry.register("held", "Requests that wait for a leader now", status.held.clone());
        registry.register(
            "holds",
            "Requests that found no leader, by what became of them",
            status.holds.clone(),
        );
        Self { registry, ..status }
    }
}

impl Status {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        // Nothing is half done when a holder panics.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// HAProxy can start: its files are there.
    pub fn started(&self) {
        self.seen().started = true;
    }

    /// HAProxy does not answer. One that starts knows nothing of its servers.
    pub fn silent(&self) {
        let mut seen = self.seen();
        (seen.answers, seen.checked) = (false, false);
    }

    /// A reload ended; the error is what HAProxy has against the settings.
    pub fn reloaded(&self, result: Result<(), String>) {
        let outcome = if result.is_ok() { "success" } else { "failure" };
        self.reloads.get_or_create(&Reload { outcome }).inc();
        if result.is_ok() {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
            self.last_reload
                .set(now.map_or(0, |now| now.as_secs().try_into().unwrap_or(i64::MAX)));
        } else {
            self.refused.set(1);
        }
        self.seen().refused = result.err();
    }

    /// HAProxy runs with the settings that are wanted.
    pub fn accepted(&self) {
        self.refused.set(0);
        self.seen().refused = None;
    }

    /// HAProxy was told something, so long after there was reason to.
    pub fn applied(&self, cause: Cause, after: Duration) {
        self.applied
            .get_or_create(&Applied { cause })
            .observe(after.as_secs_f64());
    }

    /// Whether ZooKeeper tells who leads.
    pub fn election_known(&self, known: bool) {
        self.elected.set(known.into());
    }

    /// A request waits.
    pub fn held(&self) -> Waiting {
        self.held.inc();
        Waiting(self.held.clone())
    }

    /// A request that found no leader was answered.
    pub fn was_held(&self, outcome: Outcome) {
        self.holds.get_or_create(&Held { outcome }).inc();
    }

    /// What HAProxy serves.
    pub fn serves(&self, state: &ProxyState, states: &States) {
        let backends = state.kind.backends();
        let is_up = |name: &str| states.is_up(backends[0], name);
        self.settings.clear();
        let settings = state.settings.clone();
        self.settings.get_or_create(&Settings { settings }).set(1);
        self.up.clear();
        for server in &state.servers {
            let up = Up {
                server: server.name.clone(),
            };
            self.up.get_or_create(&up).set(i64::from(is_up(&server.name)));
        }
        let mut seen = self.seen();
        seen.answers = true;
        seen.settings.clone_from(&state.settings);
        // Once is enough: a proxy whose masters are all away says so itself, with a 503, and new members are
        // believed down until they have been checked.
        seen.checked |= backends.iter().all(|backend| {
            let mut servers = state.servers.iter();
            servers.all(|server| {
                states
                    .of(backend, &server.name)
                    .is_some_and(|known| known.checked)
            })
        });
        let leader = state.servers.iter().find(|server| is_up(&server.name));
        if let Some(leader) = leader.filter(|_| state.kind.leader_backend().is_some())
            && seen.leader.as_ref() != Some(&leader.name)
            && seen.leader.replace(leader.name.clone()).is_some()
        {
            self.switches.inc();
        }
    }

    /// Whether requests may be sent to this proxy, and what a person should know about it.
    pub fn ready(&self) -> (bool, String) {
        let seen = self.seen();
        let text = match (seen.answers, seen.checked, &seen.refused) {
            (false, ..) => "HAProxy does not answer\n".to_owned(),
            (_, false, _) => "HAProxy has not checked all of its servers yet\n".to_owned(),
            (.., None) => format!("serving settings {}\n", seen.settings),
            // It goes on serving: whoever waits for it has nothing better to ask.
            (.., Some(why)) => format!("serving settings {}; refused newer ones: {why}\n", seen.settings),
        };
        (seen.answers && seen.checked, text)
    }

    /// The metrics, in the OpenMetrics text format.
    pub fn metrics(&self) -> String {
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
    let started = move || async move { code(start.seen().started) };
    let is_ready = move || async move {
        let (ready, text) = ready.ready();
        (code(ready), text)
    };
    let text = [(
        header::CONTENT_TYPE,
        "application/openmetrics-text; version=1.0.0; charset=utf-8",
    )];
    let router = Router::new()
        .route("/livez", get(|| async { StatusCode::OK }))
        .route("/startupz", get(started))
        .route("/readyz", get(is_ready))
        .route("/metrics", get(move || async move { (text, status.metrics()) }));
    axum::serve(tokio::net::TcpListener::bind(address).await?, router).await
}
