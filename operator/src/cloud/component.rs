//! The parts of a cloud.

use std::fmt;

/// One part of a cloud. Its pods run the same program and are replaced by one rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Component {
    /// The ZooKeeper ensemble.
    ZooKeeper,
    /// The Mesos masters.
    Master,
    /// The Marathons.
    Marathon,
    /// The Mesos slaves.
    Slave,
    /// HAProxy in front of the masters.
    MesosProxy,
    /// HAProxy in front of the Marathons.
    MarathonProxy,
    /// HAProxy in front of ZooKeeper.
    ZkProxy,
}

impl Component {
    /// Every component, in the order in which a change is carried out.
    pub const ALL: [Self; 7] = [
        Self::ZooKeeper,
        Self::Master,
        Self::Marathon,
        Self::MesosProxy,
        Self::MarathonProxy,
        Self::ZkProxy,
        Self::Slave,
    ];

    /// Value of the label `app.kubernetes.io/component`.
    pub fn label(self) -> &'static str {
        match self {
            Self::ZooKeeper => "zookeeper",
            Self::Master => "master",
            Self::Marathon => "marathon",
            Self::Slave => "slave",
            Self::MesosProxy => "mesos-proxy",
            Self::MarathonProxy => "marathon-proxy",
            Self::ZkProxy => "zk-proxy",
        }
    }

    /// The component with this label, if there is one.
    pub fn from_label(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|c| c.label() == label)
    }

    /// What its objects' names end in.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::ZooKeeper => "zk",
            other => other.label(),
        }
    }

    /// Name of the container that runs the program itself.
    pub fn container(self) -> &'static str {
        match self {
            Self::MesosProxy | Self::MarathonProxy | Self::ZkProxy => "haproxy",
            other => other.label(),
        }
    }

    /// Type of the status condition that tells of it. The three proxies share one.
    pub fn condition(self) -> &'static str {
        match self {
            Self::ZooKeeper => "ZooKeeperReady",
            Self::Master => "MastersReady",
            Self::Marathon => "MarathonReady",
            Self::Slave => "SlavesReady",
            Self::MesosProxy | Self::MarathonProxy | Self::ZkProxy => "ProxiesReady",
        }
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}
