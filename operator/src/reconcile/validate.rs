//! Second step: a cloud that can be built, or the reasons why not. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Affinity, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Resource as _;
use mesoscloud_crds::spec::{PodSettings, Slaves};
use mesoscloud_crds::{MesosCloud, MesosCloudSpec};
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::cloud::component::Component;
use crate::cloud::conditions::{Refusal, reason};
use crate::cloud::host_ports;
use crate::cloud::names::CloudId;
use crate::cloud::scaling::Size;

/// Why a cloud cannot be built at all.
#[derive(Debug, Error)]
pub enum Error {
    /// The API server gives every stored object these.
    #[error("the MesosCloud lacks metadata.{0}")]
    MissingMetadata(&'static str),
    /// A slave's attribute has a name that Mesos would read differently.
    #[error("spec.slaves.attributes: {0:?} may hold only letters, digits and . _ -")]
    AttributeName(String),
    /// A field that is opaque in the schema does not hold what Kubernetes takes there.
    #[error("spec.{block}.{field} is not what Kubernetes takes there: {source}")]
    OpaqueField {
        /// The block, such as `masters`.
        block: &'static str,
        /// The field, such as `podOverrides`.
        field: &'static str,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

/// Another cloud of the cluster, as far as it can get in this one's way.
#[derive(Clone, Debug)]
pub struct Neighbour {
    /// `namespace/name`.
    pub name: String,
    /// Whether it was there first.
    pub older: bool,
    /// Its slaves.
    pub slaves: Slaves,
}

/// What a person may say about the pods of one component, read from its opaque fields.
#[derive(Clone, Debug, Default)]
pub struct PodWishes {
    /// Affinity instead of the operator's own.
    pub affinity: Option<Affinity>,
    /// Merged over the pod template, last.
    pub overrides: Option<PodTemplateSpec>,
}

/// A cloud that can be built.
#[derive(Clone, Debug)]
pub struct ValidatedCloud {
    /// Its identity.
    pub id: CloudId,
    /// Its spec.
    pub spec: MesosCloudSpec,
    /// Reference that every object of the cloud carries.
    pub owner: OwnerReference,
    /// What its member sets are made for, where that is not simply the number of members.
    pub sizes: BTreeMap<Component, Size>,
    /// Wishes about pods, by component.
    pub wishes: BTreeMap<Component, PodWishes>,
    /// What will not be done, though the rest is.
    pub refusals: Vec<Refusal>,
}

impl ValidatedCloud {
    /// What the members of a set count on: their quorum, or their list, is made of it.
    pub fn sized_for(&self, component: Component, members: i32) -> i32 {
        self.sizes.get(&component).map_or(members, |size| size.sized_for)
    }

    /// Whether something about this component is refused, so that its objects stay as they are.
    pub fn refuses(&self, component: Component) -> bool {
        self.refusals.iter().any(|r| r.component == Some(component))
    }
}

/// Checks what the API server could not: opaque fields, and the other clouds of the cluster.
///
/// # Errors
/// When the cloud cannot be built as a whole; what concerns a single component becomes a refusal instead.
pub fn validate(
    cloud: &MesosCloud,
    cluster_domain: &str,
    neighbours: &[Neighbour],
) -> Result<ValidatedCloud, Error> {
    let id = identify(cloud, cluster_domain)?;
    let owner = cloud
        .controller_owner_ref(&())
        .ok_or(Error::MissingMetadata("uid"))?;
    let spec = cloud.spec.clone();
    let proxies = wishes("proxies", &spec.proxies.pod)?;
    let wishes = BTreeMap::from([
        (Component::ZooKeeper, wishes("zookeeper", &spec.zookeeper.pod)?),
        (Component::Master, wishes("masters", &spec.masters.pod)?),
        (Component::Marathon, wishes("marathon", &spec.marathon.pod)?),
        (Component::Slave, wishes("slaves", &spec.slaves.pod)?),
        (Component::MesosProxy, proxies.clone()),
        (Component::MarathonProxy, proxies.clone()),
        (Component::ZkProxy, proxies),
    ]);
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if let Some(name) = spec
        .slaves
        .attributes
        .keys()
        .find(|name| name.is_empty() || !name.chars().all(plain))
    {
        return Err(Error::AttributeName(name.clone()));
    }
    let refusals = neighbours
        .iter()
        .filter(|n| n.older)
        .filter_map(|n| port_conflict(&spec.slaves, n))
        .collect();
    Ok(ValidatedCloud {
        id,
        spec,
        owner,
        sizes: BTreeMap::new(),
        wishes,
        refusals,
    })
}

/// The cloud's identity.
///
/// # Errors
/// When the object does not come from an API server.
pub fn identify(cloud: &MesosCloud, cluster_domain: &str) -> Result<CloudId, Error> {
    Ok(CloudId {
        namespace: cloud
            .metadata
            .namespace
            .clone()
            .ok_or(Error::MissingMetadata("namespace"))?,
        name: cloud
            .metadata
            .name
            .clone()
            .ok_or(Error::MissingMetadata("name"))?,
        cluster_domain: cluster_domain.to_owned(),
    })
}

fn wishes(block: &'static str, settings: &PodSettings) -> Result<PodWishes, Error> {
    fn read<T: DeserializeOwned>(
        block: &'static str,
        field: &'static str,
        value: Option<&serde_json::Value>,
    ) -> Result<Option<T>, Error> {
        value
            .map(|v| serde_json::from_value(v.clone()))
            .transpose()
            .map_err(|source| Error::OpaqueField { block, field, source })
    }
    Ok(PodWishes {
        affinity: read(block, "affinity", settings.affinity.as_ref())?,
        overrides: read(block, "podOverrides", settings.pod_overrides.as_ref())?,
    })
}

fn port_conflict(slaves: &Slaves, neighbour: &Neighbour) -> Option<Refusal> {
    let common = host_ports::conflict(slaves, &neighbour.slaves)?;
    Some(Refusal {
        component: Some(Component::Slave),
        reason: reason::HOST_PORT_CONFLICT,
        message: format!(
            "the slaves of {} already take ports {}-{} of the nodes: give this cloud another slaves.basePort and \
             slaves.taskPorts, or other nodes by slaves.nodeSelector",
            neighbour.name,
            common.start(),
            common.end()
        ),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn cloud(spec: serde_json::Value) -> MesosCloud {
        serde_json::from_value(json!({
            "apiVersion": "mesoscloud.io/v1alpha1", "kind": "MesosCloud",
            "metadata": {"name": "blue", "namespace": "estate", "uid": "1"}, "spec": spec
        }))
        .unwrap()
    }

    #[test]
    fn opaque_fields_are_read_or_named() {
        let good = json!({"masters": {"podOverrides": {"spec": {"priorityClassName": "high"}}}});
        let valid = validate(&cloud(good), "cluster.local", &[]).unwrap();
        let overrides = valid.wishes[&Component::Master].overrides.clone().unwrap();
        assert_eq!(
            overrides.spec.unwrap().priority_class_name.as_deref(),
            Some("high")
        );

        let bad = json!({"zookeeper": {"affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": "x"}}}});
        let error = validate(&cloud(bad), "cluster.local", &[])
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("spec.zookeeper.affinity is not what Kubernetes takes there"),
            "{error}"
        );
    }

    #[test]
    fn only_an_older_neighbour_on_the_same_ports_is_in_the_way() {
        let neighbour = |older, base_port, begin| Neighbour {
            name: "other/red".into(),
            older,
            slaves: serde_json::from_value(json!({
                "basePort": base_port, "taskPorts": {"begin": begin, "end": begin + 99}
            }))
            .unwrap(),
        };
        let table = [
            (neighbour(true, 5052, 40000), Some("5052-5052")),
            (neighbour(true, 6000, 31950), Some("31950-32000")),
            (neighbour(false, 5052, 31950), None),
            (neighbour(true, 6000, 40000), None),
        ];
        for (neighbour, expected) in table {
            let valid = validate(&cloud(json!({})), "cluster.local", &[neighbour]).unwrap();
            assert_eq!(valid.refuses(Component::Slave), expected.is_some());
            if let Some(ports) = expected {
                assert!(
                    valid.refusals[0].message.contains(ports),
                    "{}",
                    valid.refusals[0].message
                );
            }
        }
    }
}
