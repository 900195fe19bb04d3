//! `mesoscloud-operator`: one binary for the operator, its sidecars and its tools.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use mesoscloud_operator::runtime::telemetry::{self, LogFormat};

/// Kubernetes operator that keeps a whole Mesos cloud running from one `MesosCloud` resource.
#[derive(Debug, Parser)]
#[command(name = "mesoscloud-operator", version)]
struct Cli {
    /// How log lines look.
    #[arg(long, value_enum, default_value_t, global = true, env = "MESOSCLOUD_LOG_FORMAT")]
    log_format: LogFormat,
    /// Which log lines are shown, as a `tracing` filter.
    #[arg(long, default_value = "info", global = true, env = "MESOSCLOUD_LOG")]
    log: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    telemetry::init(cli.log_format, &cli.log);
    match cli.command {}
}
