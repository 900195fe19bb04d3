//! The stand-in for the Mesos 0.28.1 slave.

pub mod agent;
pub mod api;
pub mod checks;
pub mod container;
pub mod detector;
pub mod docker;
pub mod executor;
pub mod files;
pub mod flags;
pub mod link;
pub mod meta;
pub mod resources;
pub mod show;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use self::agent::Agent;
use self::checks::Obstacle;
use self::detector::Master;
use self::docker::Docker;
use self::flags::Settings;
use self::link::Failure;
use crate::http;
use crate::signals;
use crate::wire::{Registered, SlaveCommand};

/// A (re)registration waits a random part of this, then twice as much each time (`registration_backoff_factor`),
/// up to a minute (`REGISTER_RETRY_INTERVAL_MAX`).
const BACKOFF: Duration = Duration::from_secs(1);
const MAX_BACKOFF: Duration = Duration::from_secs(60);

/// Runs a slave until it ends.
pub async fn run() -> ExitCode {
    match start().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(Obstacle::Exit(error)) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
        Err(Obstacle::Abort(error)) => {
            eprintln!("{error}");
            std::process::abort();
        }
    }
}

fn exit(error: impl std::fmt::Display) -> Obstacle {
    Obstacle::Exit(error.to_string())
}

async fn start() -> Result<(), Obstacle> {
    signals::end_at_once().map_err(exit)?;
    let mut leave = signal(SignalKind::user_defined1()).map_err(exit)?;
    let agent = prepare().await?;
    let master = detector::detect(&agent.settings.master)
        .map_err(|error| exit(format!("Failed to create a master detector: {error}")))?;
    tokio::select! {
        end = serve(&agent, master.clone()) => end,
        _ = leave.recv() => {
            // SIGUSR1: unregisters, ends everything, forgets who it was.
            tracing::info!("Received SIGUSR1 signal; unregistering and shutting down");
            unregister(&agent, &master).await;
            agent.shut_down().await;
            Ok(())
        }
    }
}

/// Everything before it looks for a master.
async fn prepare() -> Result<Arc<Agent>, Obstacle> {
    if let Some(argument) = std::env::args().find(|argument| argument.starts_with("--")) {
        return Err(exit(format!(
            "Flag '{argument}' on the command line is not done by the stand-in"
        )));
    }
    let settings = Settings::parse(std::env::vars()).map_err(exit)?;
    let listener = TcpListener::bind((settings.ip, settings.port))
        .await
        .map_err(|error| {
            exit(format!(
                "Failed to initialize: Failed to bind on {}:{}: {error}",
                settings.ip, settings.port
            ))
        })?;
    let docker = Docker::new(&settings.docker, &settings.docker_socket);
    checks::check(&checks::root(), &settings.containerizers, &docker).await?;
    let agent = Arc::new(Agent::new(settings));
    let router = api::router(Arc::clone(&agent));
    tokio::spawn(async move {
        if let Err(error) = http::serve(listener, router).await {
            tracing::info!("HTTP server: {error}");
        }
    });
    agent
        .recover()
        .await
        .map_err(|error| exit(format!("Failed to perform recovery: {error}")))?;
    Ok(agent)
}

async fn unregister(agent: &Agent, master: &watch::Receiver<Option<Master>>) {
    let known = master.borrow().clone();
    if let (Some(master), Some(id)) = (known, agent.id().await) {
        let path = format!("/standin/slaves/{id}/unregister");
        if let Err(error) = link::poke(&master.address, &path).await {
            tracing::info!("Cannot unregister: {error:?}");
        }
    }
}

/// Registers with each leading master in turn; returns when one of them tells it to shut down.
async fn serve(agent: &Arc<Agent>, mut detected: watch::Receiver<Option<Master>>) -> Result<(), Obstacle> {
    loop {
        let Some(master) = detected.borrow_and_update().clone() else {
            changed(&mut detected).await;
            continue;
        };
        let reason = tokio::select! {
            end = stay_with(agent, &master) => end?,
            () = changed(&mut detected) => None,
        };
        agent.registered(None, None).await.map_err(exit)?;
        if let Some(reason) = reason {
            tracing::info!(
                "Slave asked to shut down by master@{} because '{reason}'",
                master.address
            );
            agent.shut_down().await;
            return Ok(());
        }
    }
}

/// A master given as an address never changes, so its channel is closed.
async fn changed(detected: &mut watch::Receiver<Option<Master>>) {
    if detected.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Registers and serves until the connection ends, or the master says that it must shut down and why.
async fn stay_with(agent: &Arc<Agent>, master: &Master) -> Result<Option<String>, Obstacle> {
    let mut backoff = BACKOFF;
    let id = loop {
        tokio::time::sleep(link::part_of(backoff)).await;
        let registration = agent.registration().await;
        match link::ask::<Registered>(&master.address, "/standin/slaves", &registration).await {
            Ok(registered) => break registered.id,
            Err(Failure::Refused(reason)) => return Ok(Some(reason)),
            Err(Failure::Unavailable(error)) => {
                tracing::info!("Cannot register with {}: {error}", master.address);
            }
        }
        backoff = (backoff * 2).min(MAX_BACKOFF);
    };
    let path = format!("/standin/slaves/{id}/commands");
    let mut commands = match link::listen::<SlaveCommand>(&master.address, &path).await {
        Ok(commands) => commands,
        Err(error) => {
            tracing::info!("Cannot listen to {}: {error:?}", master.address);
            return Ok(None);
        }
    };
    agent
        .registered(Some(&id), Some(&master.hostname))
        .await
        .map_err(exit)?;
    tracing::info!(
        "Registered with master master@{}; given slave ID {id}",
        master.address
    );
    let path = format!("/standin/slaves/{id}/updates");
    let report = async {
        loop {
            let update = agent.next_update().await;
            if let Err(error) = link::tell(&master.address, &path, &update).await {
                tracing::info!("Cannot send an update: {error:?}");
                return;
            }
            agent.heard().await;
        }
    };
    let obey = async {
        while let Some(command) = commands.next().await {
            match command {
                SlaveCommand::Launch { framework_id, task } => agent.launch(framework_id, task).await,
                SlaveCommand::Kill {
                    framework_id,
                    task_id,
                } => agent.kill(framework_id, task_id).await,
                SlaveCommand::Shutdown { reason } => return Some(reason),
                SlaveCommand::Ping => {}
            }
        }
        None
    };
    tokio::select! {
        () = report => Ok(None),
        reason = obey => Ok(reason),
    }
}
