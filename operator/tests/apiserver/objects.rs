//! The objects of a cloud: all there, restored when somebody changes them, left alone at rest.

use std::collections::BTreeMap;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{ConfigMap, Service, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, Client, Resource, ResourceExt as _};
use mesoscloud_crds::MesosCloud;
use mesoscloud_operator::cloud::haproxy::{ProxyState, STATE_KEY};
use mesoscloud_operator::cloud::names::SELECTOR;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::built;
use crate::server::{ApiServer, Operator, until};
use crate::told::condition;

/// Kinds that the operator makes.
macro_rules! for_each_kind {
    ($macro:ident, $($argument:expr),*) => {
        $macro::<ServiceAccount>($($argument),*).await;
        $macro::<Role>($($argument),*).await;
        $macro::<RoleBinding>($($argument),*).await;
        $macro::<ConfigMap>($($argument),*).await;
        $macro::<Service>($($argument),*).await;
        $macro::<StatefulSet>($($argument),*).await;
        $macro::<Deployment>($($argument),*).await;
        $macro::<DaemonSet>($($argument),*).await;
        $macro::<PodDisruptionBudget>($($argument),*).await;
    };
}

trait Object:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + std::fmt::Debug
    + DeserializeOwned
    + serde::Serialize
    + Send
    + Sync
    + 'static
{
}
impl<K> Object for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned
        + serde::Serialize
        + Send
        + Sync
        + 'static
{
}

async fn names<K: Object>(client: &Client, ns: &str, all: &mut Vec<String>) {
    let list = Api::<K>::namespaced(client.clone(), ns)
        .list(&ListParams::default().labels(SELECTOR))
        .await
        .unwrap();
    all.extend(
        list.iter()
            .map(|object| format!("{} {}", K::kind(&()), object.name_any())),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_spec_is_the_whole_cloud() {
    let (_server, client) = ApiServer::start().await;
    let _operator = Operator::start(client.clone()).await;
    built(&client, "one", "blue", json!({})).await;
    let mut all = Vec::new();
    for_each_kind!(names, &client, "one", &mut all);
    all.sort();
    insta::assert_snapshot!(all.join("\n"));
    let proxy = until(
        Api::<ConfigMap>::namespaced(client.clone(), "one"),
        "blue-mesos-proxy",
        "lists the masters",
        |c| {
            c.data
                .as_ref()
                .is_some_and(|d| d["haproxy.cfg"].matches("server master-").count() == 3)
        },
    );
    proxy.await;
    let told = until(
        Api::<MesosCloud>::namespaced(client.clone(), "one"),
        "blue",
        "tells its addresses",
        |c| {
            c.status
                .as_ref()
                .is_some_and(|s| s.endpoints.len() == 3 + 3 + 2 + 3)
        },
    )
    .await;
    let says = |type_| condition(&told, type_).unwrap().status.as_str();
    assert_eq!(
        (says("Ready"), says("Reconciling"), says("Stalled")),
        ("False", "True", "False")
    );
}

/// Until the new member's Service has an address there is nothing to write, and nothing to delete.
#[tokio::test(flavor = "multi_thread")]
async fn a_proxys_configuration_outlives_a_new_member() {
    let (_server, client) = ApiServer::start().await;
    let _operator = Operator::start(client.clone()).await;
    built(&client, "ten", "blue", json!({})).await;
    let maps = Api::<ConfigMap>::namespaced(client.clone(), "ten");
    let before = maps.get("blue-marathon-proxy").await.unwrap();
    let grown = json!({"spec": {"marathon": {"replicas": 3}}});
    Api::<MesosCloud>::namespaced(client.clone(), "ten")
        .patch("blue", &PatchParams::default(), &Patch::Merge(grown))
        .await
        .unwrap();
    let after = until(maps, "blue-marathon-proxy", "lists three Marathons", |c| {
        let state = c.data.as_ref().map(|data| data[STATE_KEY].as_str());
        let state: ProxyState = serde_json::from_str(state.unwrap_or_default()).unwrap();
        state.servers.len() == 3
    })
    .await;
    assert_eq!(after.uid(), before.uid(), "it was deleted and made anew");
}

/// Deletes each object of a kind and waits until it is there again, then changes what is the operator's and
/// what is not.
async fn is_restored<K: Object>(client: &Client, ns: &str) {
    let api = Api::<K>::namespaced(client.clone(), ns);
    for object in api.list(&ListParams::default().labels(SELECTOR)).await.unwrap() {
        let (name, uid) = (object.name_any(), object.uid());
        let address = |o: &K| serde_json::to_value(o).unwrap()["spec"]["clusterIP"].clone();
        api.delete(&name, &DeleteParams::background()).await.unwrap();
        let again = until(api.clone(), &name, "comes back", |o| o.uid() != uid).await;
        if K::kind(&()) == "Service" {
            assert_eq!(
                address(&again),
                address(&object),
                "{name} comes back at its address"
            );
        }
        let foreign = json!({"metadata": {"annotations": {"example.com/theirs": "stays"}, "labels": {"app.kubernetes.io/name": "changed"}}});
        api.patch(&name, &PatchParams::default(), &Patch::Merge(foreign))
            .await
            .unwrap();
        let mended = until(api.clone(), &name, "is mended", |o| {
            o.labels()
                .get("app.kubernetes.io/name")
                .is_some_and(|l| l == "mesoscloud")
        });
        assert_eq!(
            mended
                .await
                .annotations()
                .get("example.com/theirs")
                .map(String::as_str),
            Some("stays"),
            "{name}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_deleted_or_changed_is_restored() {
    let (_server, client) = ApiServer::start().await;
    let _operator = Operator::start(client.clone()).await;
    built(&client, "two", "blue", json!({})).await;
    for_each_kind!(is_restored, &client, "two");

    let sets = Api::<StatefulSet>::namespaced(client.clone(), "two");
    let change = json!({"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 7, "enableServiceLinks": true}}}});
    sets.patch("blue-marathon", &PatchParams::default(), &Patch::Merge(change))
        .await
        .unwrap();
    until(sets, "blue-marathon", "has its template back", |s| {
        let pod = s.spec.as_ref().and_then(|s| s.template.spec.as_ref());
        pod.is_some_and(|p| p.enable_service_links == Some(false))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_that_comes_back_changes_nothing() {
    let (_server, client) = ApiServer::start().await;
    let operator = Operator::start(client.clone()).await;
    built(&client, "nine", "blue", json!({})).await;
    until(
        Api::<MesosCloud>::namespaced(client.clone(), "nine"),
        "blue",
        "tells its addresses",
        |c| c.status.as_ref().is_some_and(|s| s.endpoints.len() == 11),
    )
    .await;
    drop(operator);
    let mut before = BTreeMap::new();
    for_each_kind!(versions, &client, "nine", &mut before);
    let operator = Operator::start(client.clone()).await;
    // A cloud that comes later is done later: by then the first has been looked at.
    built(
        &client,
        "nine",
        "later",
        json!({"slaves": {"basePort": 5061, "taskPorts": {"begin": 32100, "end": 32199}}}),
    )
    .await;
    let mut after = BTreeMap::new();
    for_each_kind!(versions, &client, "nine", &mut after);
    after.retain(|name, _| before.contains_key(name));
    assert_eq!(before, after);
    drop(operator);
}

async fn versions<K: Object>(client: &Client, ns: &str, all: &mut BTreeMap<String, Option<String>>) {
    let list = Api::<K>::namespaced(client.clone(), ns)
        .list(&ListParams::default().labels(SELECTOR))
        .await
        .unwrap();
    all.extend(
        list.iter()
            .map(|o| (format!("{} {}", K::kind(&()), o.name_any()), o.resource_version())),
    );
}
