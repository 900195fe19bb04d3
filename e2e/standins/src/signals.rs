//! How the programs of Mesos end when they are told to.

use std::io;

use tokio::signal::unix::{SignalKind, signal};

/// From now on SIGTERM and SIGINT end the process at once: its nodes stay in ZooKeeper, and what its executors
/// started goes on. The original's handler raises the signal again (src/logging/logging.cpp @ 0.28.1:81–96).
///
/// A task of its own ends it. As a branch of a `select!` it would have everything else dropped first, and meanwhile
/// the port would take connections only to close them, as that of no process does that dies of a signal.
///
/// # Errors
/// When no handler can be set.
pub fn end_at_once() -> io::Result<()> {
    for (kind, status) in [(SignalKind::terminate(), 143), (SignalKind::interrupt(), 130)] {
        // As the first process of a container it would not even notice a signal without a handler.
        let mut signal = signal(kind)?;
        tokio::spawn(async move {
            signal.recv().await;
            std::process::exit(status)
        });
    }
    Ok(())
}
