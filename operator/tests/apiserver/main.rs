//! What the operator writes, against a real API server without kubelets.
#![allow(clippy::unwrap_used, clippy::panic)]

mod disks;
mod objects;
mod refused;
mod server;
mod told;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::PostParams;
use kube::{Api, Client, ResourceExt as _};
use mesoscloud_crds::MesosCloud;
use serde_json::Value;
use server::{cloud, namespace, until};

async fn create(client: &Client, object: &MesosCloud) -> MesosCloud {
    Api::namespaced(client.clone(), &object.namespace().unwrap())
        .create(&PostParams::default(), object)
        .await
        .unwrap()
}

/// A new cloud, once all of its objects are there: the last are the proxies' files, which need every address.
async fn built(client: &Client, ns: &str, name: &str, spec: Value) -> MesosCloud {
    namespace(client, ns).await;
    let made = create(client, &cloud(ns, name, spec)).await;
    for proxy in ["mesos-proxy", "marathon-proxy", "zk-proxy"] {
        until(
            Api::<ConfigMap>::namespaced(client.clone(), ns),
            &format!("{name}-{proxy}"),
            "appears",
            |_| true,
        )
        .await;
    }
    made
}
