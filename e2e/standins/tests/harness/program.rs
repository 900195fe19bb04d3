//! The stand-in's own program.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// One run of the program; killed when dropped.
pub struct Program {
    child: Child,
    folder: TempDir,
}

/// The environment of a program, and nothing else.
pub type Environment = BTreeMap<String, String>;

pub fn environment<const N: usize>(pairs: [(&str, String); N]) -> Environment {
    pairs
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

impl Program {
    pub fn start(role: &str, environment: &Environment) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = File::create(folder.path().join("log")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_mesoscloud-standin"))
            .arg(role)
            .env_clear()
            .envs(environment)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { child, folder }
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap()
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    pub fn signal(&self, name: &str) {
        let status = Command::new("/bin/kill")
            .arg(format!("-{name}"))
            .arg(self.child.id().to_string())
            .status();
        assert!(status.unwrap().success(), "kill -{name}");
    }

    pub fn running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end.
    pub async fn end(&mut self, patience: Duration) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(
                start.elapsed() < patience,
                "still running after {patience:?}:\n{}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits for its end with an exit status, and returns its last words.
    pub async fn fails(mut self, code: i32, patience: Duration) -> String {
        let status = self.end(patience).await;
        assert_eq!(status.code(), Some(code), "{status}\n{}", self.log());
        self.log()
    }

    /// Waits for its end by a signal, and returns its last words.
    pub async fn dies_by(mut self, signal: i32, patience: Duration) -> String {
        let status = self.end(patience).await;
        assert_eq!(status.signal(), Some(signal), "{status}\n{}", self.log());
        self.log()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- log of {} ---\n{}", self.child.id(), self.log());
        }
    }
}
