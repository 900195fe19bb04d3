//! A real ZooKeeper 3.4.8 of its own, from Maven's local repository.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use tempfile::TempDir;
use zookeeper_client as zk;

use super::{eventually, free_port};

/// Coordinates of ZooKeeper 3.4.8 and of what it needs.
const JARS: [&str; 5] = [
    "org/apache/zookeeper/zookeeper/3.4.8/zookeeper-3.4.8.jar",
    "org/slf4j/slf4j-api/1.6.1/slf4j-api-1.6.1.jar",
    "org/slf4j/slf4j-log4j12/1.6.1/slf4j-log4j12-1.6.1.jar",
    "log4j/log4j/1.2.16/log4j-1.2.16.jar",
    "io/netty/netty/3.7.0.Final/netty-3.7.0.Final.jar",
];

/// What asks Maven for them, as the testbed's image does.
const POM: &str = include_str!("../../../testbed/images/zookeeper/maven/3.4.xml");

pub struct ZooKeeper {
    pub port: u16,
    folder: TempDir,
    child: Child,
}

/// A session with the one that is reached at this address.
pub async fn client_of(address: &str) -> Result<zk::Client, zk::Error> {
    let connector = zk::Client::connector()
        .with_server_version(3, 4, 8)
        .with_fail_eagerly();
    connector.connect(address).await
}

impl ZooKeeper {
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let child = run(folder.path(), port);
        let zookeeper = Self { port, folder, child };
        zookeeper.serves().await;
        zookeeper
    }

    async fn serves(&self) {
        eventually("ZooKeeper answers", Duration::from_secs(30), async || {
            self.try_client().await.ok()
        })
        .await;
    }

    pub fn url(&self, path: &str) -> String {
        format!("zk://127.0.0.1:{}{path}", self.port)
    }

    async fn try_client(&self) -> Result<zk::Client, zk::Error> {
        client_of(&format!("127.0.0.1:{}", self.port)).await
    }

    pub async fn client(&self) -> zk::Client {
        self.try_client().await.unwrap()
    }

    /// Stops it; sessions and nodes are kept on disk.
    pub fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub async fn start_again(&mut self) {
        self.child = run(self.folder.path(), self.port);
        self.serves().await;
    }
}

impl Drop for ZooKeeper {
    fn drop(&mut self) {
        self.stop();
    }
}

fn run(folder: &Path, port: u16) -> Child {
    let data = folder.join("data");
    std::fs::create_dir_all(&data).unwrap();
    let config = folder.join("zoo.cfg");
    // As the operator configures it: sessions of 4 s at most.
    let text = format!(
        "tickTime=500\ninitLimit=40\nsyncLimit=20\nmaxSessionTimeout=4000\nmaxClientCnxns=0\ndataDir={}\n\
         clientPort={port}\nclientPortAddress=127.0.0.1\n",
        data.display()
    );
    std::fs::write(&config, text).unwrap();
    Command::new("java")
        .args(["-Xmx64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp"])
        .arg(class_path())
        .arg("org.apache.zookeeper.server.quorum.QuorumPeerMain")
        .arg(config)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("java")
}

fn class_path() -> String {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let home = std::env::var("HOME").unwrap_or_else(|_| "/root".to_owned());
    let repository = PathBuf::from(home).join(".m2/repository");
    let jars = JARS.map(|jar| repository.join(jar));
    // Maven does not share its repository with another one.
    let _turn = ONE_AT_A_TIME.lock();
    if !jars.iter().all(|jar| jar.exists()) {
        let target = tempfile::tempdir().unwrap();
        let pom = target.path().join("pom.xml");
        std::fs::write(&pom, POM).unwrap();
        let status = Command::new("mvn")
            .args([
                "-B",
                "-q",
                "-Dzookeeper.version=3.4.8",
                "dependency:copy-dependencies",
            ])
            .arg("-f")
            .arg(&pom)
            .arg(format!("-DoutputDirectory={}", target.path().display()))
            .status();
        assert!(
            status.is_ok_and(|status| status.success()),
            "ZooKeeper 3.4.8 comes through Maven"
        );
    }
    jars.map(|jar| jar.display().to_string()).join(":")
}
