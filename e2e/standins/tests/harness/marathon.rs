//! Marathons of one cluster.

use std::time::Duration;

use serde_json::{Value, json};
use zookeeper_client as zk;

use super::program::{Environment, Program, environment};
use super::zookeeper::ZooKeeper;
use super::{eventually, free_port, http, seconds};

pub const PATH: &str = "/marathon/my_marathon";

pub struct Marathon {
    pub port: u16,
    pub program: Program,
    pub environment: Environment,
}

pub fn settings(zookeeper: &ZooKeeper, master: &str) -> Environment {
    environment([
        ("MARATHON_MASTER", master.to_owned()),
        ("MARATHON_ZK", zookeeper.url(PATH)),
        ("MARATHON_HOSTNAME", "127.0.0.1".to_owned()),
        ("MARATHON_HTTP_PORT", free_port().to_string()),
        ("LIBPROCESS_IP", "127.0.0.1".to_owned()),
    ])
}

impl Marathon {
    pub fn start(zookeeper: &ZooKeeper, master: &str) -> Self {
        Self::with(settings(zookeeper, master))
    }

    pub fn with(environment: Environment) -> Self {
        let port = environment["MARATHON_HTTP_PORT"].parse().unwrap();
        Self {
            port,
            program: Program::start("marathon", &environment),
            environment,
        }
    }

    pub fn name(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Waits until it answers with 200.
    pub async fn ready(&self) {
        eventually("Marathon answers", seconds(30), async || {
            http::get(self.port, "/ping")
                .await
                .ok()
                .filter(|reply| reply.status == 200)
        })
        .await;
    }

    /// Waits until it takes part in the election; returns its node.
    pub async fn node(&self, client: &zk::Client) -> String {
        eventually("it has a node", seconds(30), async || {
            node_of(client, &self.name()).await
        })
        .await
    }

    pub async fn app(&self, id: &str) -> Value {
        http::get(self.port, &format!("/v2/apps{id}"))
            .await
            .unwrap()
            .json()["app"]
            .clone()
    }

    /// Waits until an app looks as wanted.
    pub async fn app_is(&self, id: &str, patience: Duration, wanted: impl Fn(&Value) -> bool) -> Value {
        eventually(&format!("{id} is as wanted"), patience, async || {
            let reply = http::get(self.port, &format!("/v2/apps{id}")).await.ok()?;
            let app = serde_json::from_str::<Value>(&reply.body).ok()?["app"].clone();
            wanted(&app).then_some(app)
        })
        .await
    }
}

/// The election node of the Marathon with this name.
pub async fn node_of(client: &zk::Client, name: &str) -> Option<String> {
    let parent = format!("{PATH}/leader");
    for child in client.list_children(&parent).await.ok()? {
        let node = format!("{parent}/{child}");
        if client
            .get_data(&node)
            .await
            .is_ok_and(|(data, _)| data == name.as_bytes())
        {
            return Some(node);
        }
    }
    None
}

/// Makes an election node by hand.
pub async fn impostor(client: &zk::Client, name: &str) -> String {
    let parent = format!("{PATH}/leader");
    client
        .mkdir(
            &parent,
            &zk::CreateMode::Persistent.with_acls(zk::Acls::anyone_all()),
        )
        .await
        .unwrap();
    let prefix = format!("{parent}/member_");
    let options = zk::CreateMode::EphemeralSequential.with_acls(zk::Acls::anyone_all());
    let (_, sequence) = client.create(&prefix, name.as_bytes(), &options).await.unwrap();
    format!("{prefix}{sequence}")
}

/// An app of one command.
pub fn command(id: &str, instances: u32) -> Value {
    json!({"id": id, "cmd": "sleep 1000", "cpus": 0.1, "mem": 32, "instances": instances})
}
