//! The address table of a cloud: where each member and each proxy answers.

use std::collections::BTreeMap;

use mesoscloud_crds::spec::MesosCloudSpec;
use mesoscloud_crds::status::Endpoint;

use super::component::Component;
use super::names::{CloudId, MARATHON_PORT, MASTER_PORT, ZOOKEEPER_PORT};

/// A Service, as far as addresses matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceAddress {
    /// Its cluster IP.
    pub ip: String,
    /// The first port's node port, if it has one.
    pub node_port: Option<i32>,
}

/// A slave's pod, as far as addresses matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SlaveAddress {
    /// Name of the pod.
    pub pod: String,
    /// Which of its node's slaves it is.
    pub index: i32,
    /// IP address of its node.
    pub node_ip: String,
}

/// The address table: members by their Services, whose addresses outlive their pods, then slaves at their
/// nodes, then the proxies. What has no address yet has no line.
pub fn endpoints(
    id: &CloudId,
    spec: &MesosCloudSpec,
    services: &BTreeMap<String, ServiceAddress>,
    slaves: &[SlaveAddress],
) -> Vec<Endpoint> {
    let line = |name: String, component: Component, port: i32| {
        let service = services.get(&name)?;
        Some(Endpoint {
            name,
            component: component.label().to_owned(),
            address: service.ip.clone(),
            port,
            node_port: service.node_port,
        })
    };
    let members = [
        (Component::ZooKeeper, spec.zookeeper.replicas, ZOOKEEPER_PORT),
        (Component::Master, spec.masters.replicas, MASTER_PORT),
        (Component::Marathon, spec.marathon.replicas, MARATHON_PORT),
    ];
    let members = members
        .into_iter()
        .flat_map(|(component, replicas, port)| (0..replicas).map(move |n| (component, n, port)))
        .filter_map(|(component, n, port)| line(id.member(component, n), component, port));
    let ports = spec.proxies.service.ports;
    let proxies = [
        (Component::MesosProxy, ports.mesos),
        (Component::MarathonProxy, ports.marathon),
        (Component::ZkProxy, ports.zookeeper),
    ];
    let proxies = proxies
        .into_iter()
        .filter_map(|(component, port)| line(id.object(component), component, port));
    let mut slaves: Vec<_> = slaves
        .iter()
        .map(|slave| Endpoint {
            name: slave.pod.clone(),
            component: Component::Slave.label().to_owned(),
            address: slave.node_ip.clone(),
            port: spec.slaves.base_port + slave.index,
            node_port: None,
        })
        .collect();
    slaves.sort_by(|a, b| (&a.address, a.port).cmp(&(&b.address, b.port)));
    members.chain(slaves).chain(proxies).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_a_line_for_everything_that_has_an_address() {
        let id = CloudId {
            namespace: "n".into(),
            name: "c".into(),
            cluster_domain: "d".into(),
        };
        let service = |name: &str, ip: &str, node_port| {
            (
                name.to_owned(),
                ServiceAddress {
                    ip: ip.into(),
                    node_port,
                },
            )
        };
        let services = [
            service("c-zk-1", "10.0.0.2", None),
            service("c-master-0", "10.0.0.4", None),
            service("c-marathon-1", "10.0.0.8", None),
            service("c-mesos-proxy", "10.0.0.9", Some(30050)),
            service("other", "10.0.0.99", None),
        ];
        let slave = |index| SlaveAddress {
            pod: format!("c-slave-{index}-x"),
            index,
            node_ip: "172.18.0.2".into(),
        };
        let table = endpoints(
            &id,
            &MesosCloudSpec::default(),
            &services.into(),
            &[slave(1), slave(0)],
        );
        let lines: Vec<_> = table
            .iter()
            .map(|e| format!("{} {} {}:{}", e.component, e.name, e.address, e.port))
            .collect();
        assert_eq!(
            lines,
            [
                "zookeeper c-zk-1 10.0.0.2:2181",
                "master c-master-0 10.0.0.4:5050",
                "marathon c-marathon-1 10.0.0.8:8080",
                "slave c-slave-0-x 172.18.0.2:5051",
                "slave c-slave-1-x 172.18.0.2:5052",
                "mesos-proxy c-mesos-proxy 10.0.0.9:5050",
            ]
        );
        assert_eq!(table[5].node_port, Some(30050));
    }
}
