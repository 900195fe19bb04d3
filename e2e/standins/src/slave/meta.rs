//! What a slave keeps in `MESOS_WORK_DIR` (`slave/paths.hpp @ 0.28.1`; JSON where the original writes protobuf):
//!
//! ```text
//! meta/boot_id
//! meta/slaves/latest → <id>
//! meta/slaves/<id>/slave.info
//! meta/slaves/<id>/frameworks/<fid>/executors/<task>/runs/<container>/task.info
//! meta/slaves/<id>/frameworks/<fid>/executors/<task>/runs/<container>/executor.sentinel   (it has ended)
//! slaves/<id>/frameworks/<fid>/executors/<task>/runs/<container>/{stdout,stderr}          (the sandbox)
//! ```

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::wire::TaskInfo;

/// What must not change under one slave id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SlaveInfo {
    /// `MESOS_HOSTNAME`.
    pub hostname: String,
    /// `MESOS_PORT`.
    pub port: u16,
    /// `MESOS_RESOURCES`, in one order.
    pub resources: String,
    /// `MESOS_ATTRIBUTES`, in one order.
    pub attributes: String,
}

/// One run of one task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Framework id.
    pub framework: String,
    /// The task; its id is the executor's id too.
    pub task: TaskInfo,
    /// Container id.
    pub container: String,
}

/// The work directory.
#[derive(Debug, Clone)]
pub struct WorkDir(PathBuf);

impl WorkDir {
    /// `MESOS_WORK_DIR`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    fn meta(&self) -> PathBuf {
        self.0.join("meta/slaves")
    }

    fn run(base: &Path, slave: &str, run: &Run) -> PathBuf {
        base.join(slave)
            .join("frameworks")
            .join(&run.framework)
            .join("executors")
            .join(&run.task.id)
            .join("runs")
            .join(&run.container)
    }

    /// The sandbox of a run.
    pub fn sandbox(&self, slave: &str, run: &Run) -> PathBuf {
        Self::run(&self.0.join("slaves"), slave, run)
    }

    /// The id this slave had in its last life; an error when it is not the same slave any more.
    pub fn recover(&self, info: &SlaveInfo) -> Result<Option<String>, String> {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let seen = self.0.join("meta/boot_id");
        let rebooted = fs::read_to_string(&seen).is_ok_and(|old| old != boot);
        fs::create_dir_all(self.meta())
            .and_then(|()| fs::write(&seen, boot))
            .map_err(|error| format!("Failed to checkpoint boot id: {error}"))?;
        if rebooted {
            tracing::info!("Slave host rebooted");
            return Ok(None);
        }
        let latest = self.meta().join("latest");
        let Ok(target) = fs::read_link(&latest) else {
            return Ok(None);
        };
        let id = target
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        let text = match fs::read_to_string(latest.join("slave.info")) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(format!("Failed to read slave info: {error}")),
        };
        let old: SlaveInfo =
            serde_json::from_str(&text).map_err(|error| format!("Failed to read slave info: {error}"))?;
        if old == *info {
            Ok(Some(id))
        } else {
            Err(self.incompatible(&old, info))
        }
    }

    fn incompatible(&self, old: &SlaveInfo, new: &SlaveInfo) -> String {
        let line = "-".repeat(60);
        let show = |info| serde_json::to_string_pretty(info).unwrap_or_default();
        format!(
            "Incompatible slave info detected.\n{line}\nOld slave info:\n{}\n{line}\nNew slave info:\n{}\n{line}\n\
             To remedy this do as follows:\n\
             Step 1: rm -f {}/latest\n        This ensures slave doesn't recover old live executors.\n\
             Step 2: Restart the slave.",
            show(old),
            show(new),
            self.meta().display()
        )
    }

    /// Keeps the id a master gave.
    pub fn save(&self, id: &str, info: &SlaveInfo) -> io::Result<()> {
        let folder = std::path::absolute(self.meta().join(id))?;
        fs::create_dir_all(&folder)?;
        write_atomically(&folder.join("slave.info"), &serde_json::to_vec_pretty(info)?)?;
        // A symbolic link is replaced by renaming another over it.
        let fresh = self.meta().join("latest.new");
        let _ = fs::remove_file(&fresh);
        std::os::unix::fs::symlink(folder, &fresh)?;
        fs::rename(fresh, self.meta().join("latest"))
    }

    /// Forgets the id: the next start is a new slave.
    pub fn forget(&self) {
        let _ = fs::remove_file(self.meta().join("latest"));
    }

    /// Remembers that a run was begun, and makes its sandbox.
    pub fn begin(&self, slave: &str, run: &Run) -> io::Result<PathBuf> {
        let meta = Self::run(&self.meta(), slave, run);
        fs::create_dir_all(&meta)?;
        write_atomically(&meta.join("task.info"), &serde_json::to_vec_pretty(run)?)?;
        let sandbox = self.sandbox(slave, run);
        fs::create_dir_all(&sandbox)?;
        for name in ["stdout", "stderr"] {
            fs::OpenOptions::new()
                .create(true)
                .append(true)
                .open(sandbox.join(name))?;
        }
        Ok(sandbox)
    }

    /// Remembers that a run has ended.
    pub fn end(&self, slave: &str, run: &Run) -> io::Result<()> {
        fs::write(Self::run(&self.meta(), slave, run).join("executor.sentinel"), "")
    }

    /// The runs that were going on when the slave's last life ended.
    pub fn unfinished(&self, slave: &str) -> Vec<Run> {
        let mut found = Vec::new();
        for framework in entries(&self.meta().join(slave).join("frameworks")) {
            for executor in entries(&framework.join("executors")) {
                for run in entries(&executor.join("runs")) {
                    let info = fs::read(run.join("task.info")).ok();
                    let run_info = info.and_then(|bytes| serde_json::from_slice(&bytes).ok());
                    found.extend(run_info.filter(|_| !run.join("executor.sentinel").exists()));
                }
            }
        }
        found
    }
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect()
}

fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let fresh = path.with_extension("new");
    fs::write(&fresh, bytes)?;
    fs::rename(fresh, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info() -> SlaveInfo {
        SlaveInfo {
            hostname: "10.0.0.1".to_owned(),
            port: 5051,
            resources: "cpus:1;mem:512".to_owned(),
            attributes: String::new(),
        }
    }

    #[test]
    fn the_id_survives_only_with_the_same_info() {
        let folder = tempfile::tempdir().unwrap();
        let work = WorkDir::new(folder.path());
        assert_eq!(work.recover(&info()), Ok(None));
        work.save("S0", &info()).unwrap();
        work.save("S1", &info()).unwrap();
        assert_eq!(work.recover(&info()), Ok(Some("S1".to_owned())));

        for changed in [
            SlaveInfo {
                hostname: "10.0.0.2".to_owned(),
                ..info()
            },
            SlaveInfo { port: 5052, ..info() },
            SlaveInfo {
                resources: "cpus:2;mem:512".to_owned(),
                ..info()
            },
            SlaveInfo {
                attributes: "rack:1".to_owned(),
                ..info()
            },
        ] {
            let error = work.recover(&changed).unwrap_err();
            assert!(error.starts_with("Incompatible slave info detected"), "{error}");
            assert!(
                error.contains(&format!("rm -f {}/meta/slaves/latest", folder.path().display())),
                "{error}"
            );
        }
        work.forget();
        assert_eq!(work.recover(&SlaveInfo { port: 5052, ..info() }), Ok(None));
    }

    #[test]
    fn a_reboot_makes_a_new_slave() {
        let folder = tempfile::tempdir().unwrap();
        let work = WorkDir::new(folder.path());
        work.recover(&info()).unwrap();
        work.save("S0", &info()).unwrap();
        fs::write(folder.path().join("meta/boot_id"), "another").unwrap();
        assert_eq!(work.recover(&info()), Ok(None));
    }

    #[test]
    fn runs_without_a_sentinel_are_unfinished() {
        let folder = tempfile::tempdir().unwrap();
        let work = WorkDir::new(folder.path());
        let run = |task: &str| Run {
            framework: "F".to_owned(),
            task: TaskInfo {
                id: task.to_owned(),
                ..TaskInfo::default()
            },
            container: format!("c-{task}"),
        };
        let sandbox = work.begin("S0", &run("a")).unwrap();
        assert!(sandbox.ends_with("slaves/S0/frameworks/F/executors/a/runs/c-a"));
        assert!(sandbox.join("stdout").exists() && sandbox.join("stderr").exists());
        work.begin("S0", &run("b")).unwrap();
        work.end("S0", &run("a")).unwrap();
        assert_eq!(work.unfinished("S0"), [run("b")]);
        assert!(work.unfinished("S1").is_empty());
    }
}
