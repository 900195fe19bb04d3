//! The stand-in for Marathon 1.1.1.

pub mod api;
pub mod app;
pub mod backoff;
pub mod constraints;
pub mod definition;
pub mod deployment;
pub mod driver;
pub mod election;
pub mod events;
pub mod filter;
pub mod flags;
pub mod framework;
pub mod health;
pub mod leader;
pub mod matcher;
pub mod operations;
pub mod plan;
pub mod store;
pub mod task;
pub mod time;
pub mod validate;
pub mod views;
pub mod watch;
pub mod zookeeper;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, watch as view};

use self::election::{Candidate, View};
use self::filter::Filter;
use self::flags::Settings;
use self::zookeeper::Ensemble;
use crate::zk_url::ZkUrl;

/// From the start of the JVM to its first look at ZooKeeper. With the first election it makes up the 6.5 s that
/// were measured from the start to the first answer (docs/originals.md, "Marathon").
const JVM_START: Duration = Duration::from_millis(5_700);
/// From SIGTERM to the end of the process: 0.47 s measured.
const JVM_END: Duration = Duration::from_millis(470);
/// Pause between two attempts to reach ZooKeeper; it waits for ever (`Main.scala @ v1.1.1:38-52`).
const RECONNECT: Duration = Duration::from_millis(500);

/// Jetty 9.3 closes a connection that is idle for so long (`ServerConnector`'s default).
const IDLE: Duration = Duration::from_secs(30);

/// Runs a Marathon until it is told to end.
pub async fn run() -> ExitCode {
    let mut arguments = flags::from_environment(std::env::vars());
    // The command line comes last and wins; the launcher keeps its own switch to itself.
    let given = std::env::args().skip_while(|argument| !argument.starts_with("--"));
    arguments.extend(given.filter(|argument| argument != "--no-logger"));
    // The launcher shows the whole command line, passwords included (bin/marathon-framework @ v1.1.1:78).
    println!("marathon {}", arguments.join(" "));
    let settings = match Settings::parse(&arguments, &own_name()) {
        Ok(settings) => Arc::new(settings),
        Err(error) => {
            eprintln!("[scallop] Error: {error}\nUsage: marathon --master <arg> [--zk <arg>] [OPTIONS]…");
            return ExitCode::FAILURE;
        }
    };
    let url = match ZkUrl::parse(&settings.zk) {
        Ok(url) => url,
        Err(error) => {
            eprintln!("[scallop] Error: Validation failure for 'zk' option parameters: {error}");
            return ExitCode::FAILURE;
        }
    };
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return ExitCode::FAILURE;
    };
    let shutdown = Arc::new(Notify::new());
    tokio::select! {
        code = serve(settings, url, Arc::clone(&shutdown)) => code,
        // The future above is dropped here, and the listening socket with it: the port is closed at once. What it
        // spawned goes on: a leader removes its node, a standby leaves its own to the end of its session.
        () = first(&mut terminate, &mut interrupt) => {
            shutdown.notify_one();
            tokio::time::sleep(JVM_END).await;
            // Exits without closing the session.
            std::process::exit(143);
        }
    }
}

async fn first(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

async fn serve(settings: Arc<Settings>, url: ZkUrl, shutdown: Arc<Notify>) -> ExitCode {
    tokio::time::sleep(JVM_START).await;
    let ensemble = Ensemble::resolve(&url).await;
    let client = loop {
        match ensemble.connect(settings.zk_session_timeout).await {
            Ok(client) => break client,
            Err(error) => tracing::info!("Unable to connect to ZooKeeper: {error}. Retrying…"),
        }
        tokio::time::sleep(RECONNECT).await;
    };
    let listener = match TcpListener::bind((settings.http_address.as_str(), settings.http_port)).await {
        Ok(listener) => listener,
        Err(error) => {
            tracing::info!(
                "Failed to bind to {}:{}: {error}",
                settings.http_address,
                settings.http_port
            );
            return ExitCode::FAILURE;
        }
    };
    let (sender, receiver) = view::channel(View::Following(None));
    let filter = Filter::new(Arc::clone(&settings), receiver);
    tokio::spawn(Candidate::new(settings, ensemble, sender, shutdown).run(client));
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => drop(tokio::spawn(connection(stream, peer, filter.clone()))),
            Err(error) => tracing::info!("Failed to accept a connection: {error}"),
        }
    }
}

async fn connection(stream: TcpStream, peer: SocketAddr, filter: Filter) {
    let service = service_fn(|request: Request<Incoming>| {
        let answer = filter.clone().answer(peer, request.map(Body::new));
        async { Ok::<_, Infallible>(answer.await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .serve_connection(TokioIo::new(stream), service);
    // A client that goes away, or is idle for too long, is no news.
    let _ = served.await;
}

/// The machine's own name, Marathon's default for `--hostname`.
fn own_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}
