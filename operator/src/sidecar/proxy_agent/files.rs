//! HAProxy's files: the configuration it starts from, and what it believes of its servers at first.

use std::io;
use std::path::{Path, PathBuf};

use super::config_map::Desired;
use super::socket::States;
use crate::cloud::haproxy::{CFG_KEY, server_states};

/// What HAProxy believes of its servers when it starts (`server-state-file`).
const STATES: &str = "servers.state";
/// The last configuration that HAProxy has been seen to run with.
const GOOD: &str = "good.json";

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

    /// The last configuration that HAProxy has been seen to run with in this pod, also by an agent before this.
    pub fn good(&self) -> Option<Desired> {
        serde_json::from_slice(&std::fs::read(self.dir.join(GOOD)).ok()?).ok()
    }

    /// Remembers that HAProxy runs with this configuration.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn remember(&self, good: &Desired) -> io::Result<()> {
        self.put(GOOD, &serde_json::to_vec(good)?)
    }

    /// Writes a configuration to start from: every server is believed down until it has been checked.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn write_for_start(&self, desired: &Desired) -> io::Result<()> {
        // First, so that whoever starts in between believes too little instead of too much.
        self.put(STATES, server_states(&desired.state, |_, _| false).as_bytes())?;
        self.put(CFG_KEY, desired.cfg.as_bytes())
    }

    /// Writes a configuration to reload: what the worker knows of a server is known of the one with the same name
    /// and address.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn write_for_reload(&self, desired: &Desired, known: &States) -> io::Result<()> {
        let file = server_states(&desired.state, |backend, server| {
            let known = known.of(backend, &server.name);
            known.is_some_and(|known| known.up && known.address == server.address)
        });
        self.put(STATES, file.as_bytes())?;
        self.put(CFG_KEY, desired.cfg.as_bytes())
    }

    /// Whole or not at all: HAProxy may read at any moment.
    fn put(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let new = self.dir.join(format!("{name}.new"));
        std::fs::write(&new, content)?;
        std::fs::rename(new, self.dir.join(name))
    }
}
