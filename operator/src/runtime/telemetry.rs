//! Logging, set up once per process.

use std::io::IsTerminal as _;

use clap::ValueEnum;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::{fmt, prelude::*, registry};

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One line a person reads.
    #[default]
    Human,
    /// One JSON object a line, for log collectors.
    Json,
}

/// Starts logging to standard error what `filter` lets through.
///
/// # Panics
/// When called twice in one process.
pub fn init(format: LogFormat, filter: Targets) {
    let lines = fmt::layer().with_writer(std::io::stderr);
    let shown = registry().with(filter);
    match format {
        LogFormat::Human => shown
            .with(lines.with_ansi(std::io::stderr().is_terminal()))
            .init(),
        LogFormat::Json => shown.with(lines.json().flatten_event(true)).init(),
    }
}
