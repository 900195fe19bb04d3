//! `mesoscloud-operator`: one binary for the operator, its sidecars and its tools.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use mesoscloud_operator::command::{crd, render, run};
use mesoscloud_operator::runtime::telemetry::{self, LogFormat};
use mesoscloud_operator::sidecar::{guard, preflight, proxy_agent};
use tokio::runtime::{Builder, Runtime};
use tracing_subscriber::filter::Targets;

/// Kubernetes operator that keeps a whole Mesos cloud running from one `MesosCloud` resource.
#[derive(Debug, Parser)]
#[command(name = "mesoscloud-operator", version)]
struct Cli {
    /// How log lines look.
    #[arg(
        long,
        value_enum,
        default_value_t,
        global = true,
        env = "MESOSCLOUD_LOG_FORMAT"
    )]
    log_format: LogFormat,
    /// Which log lines are shown: a level, and others for some modules, such as `info,kube=warn`.
    #[arg(
        long,
        default_value = "info,zookeeper_client=warn",
        global = true,
        env = "MESOSCLOUD_LOG"
    )]
    log: Targets,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the operator.
    Run(run::Run),
    /// Prints the CustomResourceDefinition.
    Crd,
    /// Prints every object of a cloud, without a cluster.
    Render(render::Render),
    /// Runs beside each HAProxy of a cloud.
    ProxyAgent(proxy_agent::ProxyAgent),
    /// Runs beside each master and each Marathon of a cloud.
    #[command(subcommand)]
    Guard(guard::Guard),
    /// Prepares a slave's pod.
    #[command(subcommand)]
    Preflight(preflight::Preflight),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    telemetry::init(cli.log_format, cli.log);
    let done = match runtime(&cli.command) {
        Ok(runtime) => runtime.block_on(execute(cli.command)),
        Err(error) => Err(error.into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Only the operator has work for more than one thread. One for every core of a large node would be most of a
/// sidecar's memory.
fn runtime(command: &Command) -> std::io::Result<Runtime> {
    let mut builder = match command {
        Command::Run(_) => Builder::new_multi_thread(),
        _ => Builder::new_current_thread(),
    };
    builder.enable_all().build()
}

async fn execute(command: Command) -> Result<(), Box<dyn std::error::Error>> {
    match command {
        Command::Run(options) => run::run(options).await.map_err(Into::into),
        Command::Crd => print(crd::yaml().map_err(Into::into)),
        Command::ProxyAgent(options) => proxy_agent::run(options).await.map_err(Into::into),
        Command::Guard(command) => guard::run(command).await.map_err(Into::into),
        Command::Preflight(command) => preflight::run(command).await.map_err(Into::into),
        Command::Render(options) => print(render::render(&options).map_err(Into::into)),
    }
}

fn print(text: Result<String, Box<dyn std::error::Error>>) -> Result<(), Box<dyn std::error::Error>> {
    use std::io::Write as _;
    Ok(std::io::stdout().write_all(text?.as_bytes())?)
}
