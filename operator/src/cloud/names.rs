//! Names and labels of everything a cloud is made of.

use std::collections::BTreeMap;

use super::component::Component;

/// Value of `app.kubernetes.io/managed-by` on every object of a cloud, and the field manager of its content.
pub const MANAGER: &str = "mesoscloud-operator";
/// Label that names the cloud an object belongs to.
pub const INSTANCE_LABEL: &str = "app.kubernetes.io/instance";
/// Label that names the component an object belongs to.
pub const COMPONENT_LABEL: &str = "app.kubernetes.io/component";
/// Label selector of everything this operator makes.
pub const SELECTOR: &str = "app.kubernetes.io/managed-by=mesoscloud-operator";
/// Label of a slave's pods: which of its node's slaves it is.
pub const SLAVE_INDEX_LABEL: &str = "mesoscloud.io/slave-index";
/// Annotation of a pod template: hash of the configuration files its pods read at start.
pub const CONFIG_HASH_ANNOTATION: &str = "mesoscloud.io/config-hash";
/// Annotation of every object: hash of what the operator last applied.
pub const APPLIED_HASH_ANNOTATION: &str = "mesoscloud.io/applied-hash";
/// Annotation of a StatefulSet: how many members the operator gave it. `spec.replicas` may be somebody else's.
pub const MEMBERS_ANNOTATION: &str = "mesoscloud.io/members";
/// Annotation of a StatefulSet and of its pods: how many members they count on (their quorum, or their list).
pub const SIZED_FOR_ANNOTATION: &str = "mesoscloud.io/sized-for";

/// Annotation of the claim of a member that was taken away: its disk is no longer one of the set's.
pub const LEFT_OVER_ANNOTATION: &str = "mesoscloud.io/left-over";

/// Client port of a ZooKeeper member.
pub const ZOOKEEPER_PORT: i32 = 2181;
/// Port by which ZooKeeper members follow their leader.
pub const ZOOKEEPER_PEER_PORT: i32 = 2888;
/// Port by which ZooKeeper members elect their leader.
pub const ZOOKEEPER_ELECTION_PORT: i32 = 3888;
/// Port of a Mesos master.
pub const MASTER_PORT: i32 = 5050;
/// Port of a Marathon.
pub const MARATHON_PORT: i32 = 8080;
/// Port of the guard beside a master or Marathon: health, metrics, and where replicas answer.
pub const GUARD_PORT: i32 = 9103;

/// A cloud's identity, from which every name is derived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudId {
    /// `metadata.namespace` of the MesosCloud.
    pub namespace: String,
    /// `metadata.name` of the MesosCloud.
    pub name: String,
    /// DNS domain of the cluster, such as `cluster.local`.
    pub cluster_domain: String,
}

impl CloudId {
    /// Name of the component's workload, and of its Service, ConfigMap and account where it has them.
    pub fn object(&self, component: Component) -> String {
        format!("{}-{}", self.name, component.suffix())
    }

    /// Name of one member: of its pod and of its Service.
    pub fn member(&self, component: Component, ordinal: i32) -> String {
        format!("{}-{}-{ordinal}", self.name, component.suffix())
    }

    /// DNS name of one member's Service, in full: short names cost a lookup per search domain.
    pub fn member_host(&self, component: Component, ordinal: i32) -> String {
        format!(
            "{}.{}.svc.{}",
            self.member(component, ordinal),
            self.namespace,
            self.cluster_domain
        )
    }

    /// Labels of an object of this cloud. The same for ever: selectors and volume claims are made of them.
    pub fn labels(&self, component: Component) -> BTreeMap<String, String> {
        [
            ("app.kubernetes.io/name", "mesoscloud"),
            (INSTANCE_LABEL, &self.name),
            (COMPONENT_LABEL, component.label()),
            ("app.kubernetes.io/managed-by", MANAGER),
        ]
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .into()
    }
}

/// The ordinal at the end of a member's name, such as 2 of `cloud-master-2`.
pub fn ordinal(member: &str) -> Option<i32> {
    member.rsplit_once('-')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> CloudId {
        CloudId {
            namespace: "estate".into(),
            name: "blue".into(),
            cluster_domain: "cluster.local".into(),
        }
    }

    #[test]
    fn members_have_stable_full_names() {
        assert_eq!(id().object(Component::ZooKeeper), "blue-zk");
        assert_eq!(id().member(Component::Master, 2), "blue-master-2");
        assert_eq!(
            id().member_host(Component::ZooKeeper, 0),
            "blue-zk-0.estate.svc.cluster.local"
        );
        assert_eq!(ordinal("blue-master-12"), Some(12));
        assert_eq!(ordinal("blue-master"), None);
    }

    #[test]
    fn the_longest_name_leaves_room_for_what_kubernetes_appends() {
        let name = "a".repeat(mesoscloud_crds::spec::MAX_NAME_LENGTH);
        let id = CloudId { name, ..id() };
        for component in Component::ALL {
            assert!(id.object(component).len() <= 63, "a Service: {component}");
        }
        for component in [Component::ZooKeeper, Component::Master, Component::Marathon] {
            // Their pods carry the label controller-revision-hash=<name>-<10 characters>.
            assert!(
                id.object(component).len() <= 63 - 11,
                "a StatefulSet: {component}"
            );
        }
    }
}
