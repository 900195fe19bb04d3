//! HAProxy's files: the configuration it starts from, and what it believes of its servers at first.

use std::io;
use std::path::{Path, PathBuf};

use super::config_map::Desired;
use crate::cloud::haproxy::{CFG_KEY, ProxyState, STATE_KEY, server_states};

/// The folder that HAProxy and its agent share.
#[derive(Clone, Debug)]
pub struct Files {
    dir: PathBuf,
}

impl Files {
    /// The files below `dir`.
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// What is there, left by an agent that ran before in this pod.
    pub fn read(&self) -> Option<Desired> {
        let cfg = std::fs::read_to_string(self.dir.join(CFG_KEY)).ok()?;
        let state: ProxyState =
            serde_json::from_slice(&std::fs::read(self.dir.join(STATE_KEY)).ok()?).ok()?;
        Some(Desired { cfg, state })
    }

    /// Writes a configuration. A HAProxy that starts from it believes every server down until it has checked.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn write(&self, desired: &Desired) -> io::Result<()> {
        self.put(CFG_KEY, desired.cfg.as_bytes())?;
        self.put(STATE_KEY, &serde_json::to_vec(&desired.state)?)?;
        self.put(
            "servers.state",
            server_states(&desired.state, |_, _| false).as_bytes(),
        )
    }

    /// Leaves what the worker knows of its servers to the one that a reload starts.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn hand_over(&self, servers: &str) -> io::Result<()> {
        self.put("servers.state", servers.as_bytes())
    }

    /// Whole or not at all: HAProxy may read at any moment.
    fn put(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let new = self.dir.join(format!("{name}.new"));
        std::fs::write(&new, content)?;
        std::fs::rename(new, self.dir.join(name))
    }
}
