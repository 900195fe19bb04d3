//! A master's HTTP endpoints (src/master/http.cpp @ 0.28.1), and those at which the stand-ins meet.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{Html, IntoResponse as _, Response};
use axum::routing::{any, get, post};
use axum::{Json, Router};
use tokio::net::TcpListener;

use super::info::MasterInfo;
use super::libprocess::Listener;
use super::log::Promise;
use super::log::replica::{Entry, Record, Vote};
use super::{Leadership, Master, frameworks, metrics, offers, slaves, state};
use crate::http;

const PAGE: &str =
    "<!DOCTYPE html><html><head><title>Mesos</title></head><body>Mesos (stand-in)</body></html>\n";

/// Serves a master.
///
/// # Errors
/// When the socket fails.
pub async fn serve(port: TcpListener, master: &Arc<Master>) -> std::io::Result<()> {
    let of_master = Router::new()
        .route("/health", get(|| async { StatusCode::OK }))
        .route("/redirect", get(redirect))
        .route("/state", get(state::state))
        .route("/state.json", get(state::state))
        .route("/slaves", get(state::slaves))
        .route("/frameworks", get(state::frameworks))
        .route("/flags", get(state::flags))
        .route("/version", get(state::version))
        .route("/api/v1/scheduler", any(scheduler));
    let log = Router::new()
        .route("/status", post(status))
        .route("/promise", post(promise))
        .route("/write", post(write));
    let slaves = Router::new()
        .route("/", post(slaves::register))
        .route("/{id}/commands", get(slaves::commands))
        .route("/{id}/updates", post(slaves::update))
        .route("/{id}/unregister", post(slaves::unregister));
    let frameworks = Router::new()
        .route("/", post(frameworks::subscribe))
        .route("/{id}/accept", post(offers::accept))
        .route("/{id}/decline", post(offers::decline))
        .route("/{id}/revive", post(offers::revive))
        .route("/{id}/kill", post(frameworks::kill))
        .route("/{id}/reconcile", post(frameworks::reconcile));
    let router = http::under_both("master", of_master)
        .route("/", get(|| async { Html(PAGE) }))
        .route("/metrics/snapshot", get(metrics::snapshot))
        .nest("/standin/log", log)
        .nest("/standin/slaves", slaves)
        .nest("/standin/frameworks", frameworks)
        .layer(DefaultBodyLimit::disable())
        .with_state(Arc::clone(master));
    http::serve(Listener::new(port, Arc::clone(master))?, router).await
}

type Owner = State<Arc<Master>>;

/// Without a path, and to itself while nobody leads (http.cpp @ 0.28.1:929–954).
async fn redirect(State(master): Owner) -> Response {
    let leader = master.leader.borrow().clone();
    see(&leader.unwrap_or_else(|| master.info.clone()))
}

fn see(leader: &MasterInfo) -> Response {
    let location = format!("//{}:{}", leader.hostname, leader.port);
    (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, location)]).into_response()
}

/// The probe by which proxies know a leader that is ready (http.cpp @ 0.28.1:341–355).
async fn scheduler(State(master): Owner, method: Method) -> Response {
    let leadership = *master.leadership.borrow();
    match leadership {
        Leadership::Standby => match &*master.leader.borrow() {
            Some(leader) => see(leader),
            None => (StatusCode::SERVICE_UNAVAILABLE, "No leader elected").into_response(),
        },
        Leadership::Recovering => (
            StatusCode::SERVICE_UNAVAILABLE,
            "Master has not finished recovery",
        )
            .into_response(),
        Leadership::Leading if master.settings.authenticate => (
            StatusCode::FORBIDDEN,
            "HTTP schedulers are not supported when authentication is required",
        )
            .into_response(),
        Leadership::Leading if method != Method::POST => (
            StatusCode::METHOD_NOT_ALLOWED,
            [(header::ALLOW, "POST")],
            format!("Expecting one of {{ 'POST' }}, but received '{method}'"),
        )
            .into_response(),
        Leadership::Leading => (StatusCode::BAD_REQUEST, "Not done by the stand-in").into_response(),
    }
}

/// A replica of another master asks how far this one is.
async fn status(State(master): Owner) -> Json<Record> {
    Json(master.log.replica.record())
}

/// An elected master asks this replica to follow it.
async fn promise(State(master): Owner, Json(Promise { proposal }): Json<Promise>) -> Json<Vote> {
    Json(master.log.replica.promise(proposal))
}

/// An elected master asks this replica to keep an entry.
async fn write(State(master): Owner, Json(entry): Json<Entry>) -> Json<Vote> {
    Json(master.log.replica.write(entry))
}
