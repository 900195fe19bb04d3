//! What the end-to-end tests have in common: the kind cluster, its clouds, and the machine around it.
//!
//! A test is a function that hands its steps to [`test`], which gives them a [`Scene`], keeps the state of every
//! pod in `target/e2e/` when they fail, and undoes what they asked to be undone, whatever became of them.

pub mod agent;
pub mod cloud;
pub mod cluster;
pub mod command;
pub mod diagnostics;
pub mod docker;
pub mod error;
pub mod http;
pub mod load;
pub mod marathon;
pub mod node;
pub mod objects;
pub mod operator;
pub mod scene;
pub mod writer;

pub use cloud::Cloud;
pub use cluster::Cluster;
pub use error::{Context, Error, Result};
pub use scene::{Scene, test};

/// The context that kind writes into the kubeconfig. No test ever talks to another cluster.
pub const CONTEXT: &str = "kind-mesoscloud";
/// Namespace of the sample cloud.
pub const SAMPLE_NAMESPACE: &str = "mesoscloud";
/// Name of the sample cloud.
pub const SAMPLE_NAME: &str = "cloud";
/// Where the machine reaches the sample cloud's Mesos.
pub const MESOS: &str = "127.0.0.1:5050";
/// Where the machine reaches the sample cloud's Marathon.
pub const MARATHON: &str = "127.0.0.1:8080";
/// Where the machine reaches the sample cloud's ZooKeeper.
pub const ZOOKEEPER: &str = "127.0.0.1:2181";
/// The machine's address as slaves, Marathon and pods know it: there Docker publishes the tasks' ports.
pub const MACHINE: &str = "172.30.0.1";
