//! What the operator writes, against a real API server without kubelets.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{ConfigMap, Service, ServiceAccount};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, Resource, ResourceExt as _};
use mesoscloud_crds::MesosCloud;
use mesoscloud_operator::cloud::names::SELECTOR;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use support::{ApiServer, Operator, cloud, namespace, until};

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

fn holds(cloud: &MesosCloud, type_: &str, reason: &str) -> bool {
    let conditions = cloud.status.iter().flat_map(|s| &s.conditions);
    conditions
        .into_iter()
        .any(|c| c.type_ == type_ && c.reason == reason)
}

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
    let status = until(
        Api::<MesosCloud>::namespaced(client.clone(), "one"),
        "blue",
        "tells its addresses",
        |c| {
            c.status
                .as_ref()
                .is_some_and(|s| s.endpoints.len() == 3 + 3 + 2 + 3)
        },
    )
    .await
    .status
    .unwrap();
    let condition = |type_: &str| {
        status
            .conditions
            .iter()
            .find(|c| c.type_ == type_)
            .unwrap()
            .status
            .clone()
    };
    assert_eq!(
        (condition("Ready"), condition("Reconciling"), condition("Stalled")),
        ("False".into(), "True".into(), "False".into())
    );
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
async fn what_breaks_a_rule_is_refused_with_a_sentence() {
    let (_server, client) = ApiServer::start().await;
    namespace(&client, "three").await;
    let api = Api::<MesosCloud>::namespaced(client.clone(), "three");
    let table = [
        (
            json!({"masters": {"replicas": 2}}),
            "masters.replicas must be odd",
        ),
        (
            json!({"masters": {"replicas": 4}}),
            "masters.replicas must be odd",
        ),
        (
            json!({"masters": {"replicas": 0}}),
            "masters.replicas must be at least 1",
        ),
        (
            json!({"zookeeper": {"replicas": 2}}),
            "zookeeper.replicas must be odd",
        ),
        (
            json!({"zookeeper": {"replicas": 4}}),
            "zookeeper.replicas must be odd",
        ),
        (
            json!({"zookeeper": {"replicas": 0}}),
            "zookeeper.replicas must be at least 1",
        ),
        (
            json!({"marathon": {"replicas": 0}}),
            "marathon.replicas must be at least 1",
        ),
        (
            json!({"slaves": {"perNode": 0}}),
            "slaves.perNode must be at least 1",
        ),
        (
            json!({"masters": {"zkPath": "/"}}),
            "masters.zkPath must be an absolute ZooKeeper path",
        ),
        (
            json!({"masters": {"zkPath": "mesos"}}),
            "masters.zkPath must be an absolute ZooKeeper path",
        ),
        (
            json!({"masters": {"zkPath": "/mesos/"}}),
            "masters.zkPath must be an absolute ZooKeeper path",
        ),
        (
            json!({"marathon": {"zkPath": "/mesos/my_mesos/marathon"}}),
            "must not be equal or lie inside each other",
        ),
        (
            json!({"marathon": {"zkPath": "/mesos/my_mesos"}}),
            "must not be equal or lie inside each other",
        ),
        (
            json!({"masters": {"zkPath": "/zookeeper/quota"}}),
            "belongs to ZooKeeper itself",
        ),
        (
            json!({"slaves": {"taskPorts": {"begin": 31000, "end": 31000}}}),
            "at least one port for each slave",
        ),
        (
            json!({"slaves": {"taskPorts": {"begin": 31001, "end": 31000}}}),
            "must not end before it begins",
        ),
        (
            json!({"slaves": {"basePort": 31500}}),
            "must lie outside taskPorts",
        ),
        (json!({"slaves": {"basePort": 65535}}), "must not exceed 65535"),
        (
            json!({"slaves": {"workDir": "/a/../b"}}),
            "slaves.workDir must be an absolute path",
        ),
        (
            json!({"zookeeper": {"storage": {"size": "much"}}}),
            "storage.size must be a quantity",
        ),
        (
            json!({"zookeeper": {"tickTime": 4000}}),
            "at least twice tickTime",
        ),
        (
            json!({"proxies": {"holdTimeout": 60000}}),
            "should be less than or equal to 30000",
        ),
        (
            json!({"proxies": {"service": {"nodePorts": {"mesos": 30050}}}}),
            "need proxies.service.type",
        ),
        (
            json!({"proxies": {"service": {"type": "NodePort", "nodePorts": {"mesos": 30050, "marathon": 30050}}}}),
            "must differ from each other",
        ),
        (
            json!({"proxies": {"service": {"type": "NodePort", "nodePorts": {"mesos": 31050}}}}),
            "must lie outside slaves.taskPorts",
        ),
    ];
    for (spec, sentence) in table {
        let error = api
            .create(&PostParams::default(), &raw(&spec))
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains(sentence), "{spec}: {error}");
    }
    for name in ["1st", "a".repeat(41).as_str(), "dotted.name"] {
        let error = api
            .create(&PostParams::default(), &cloud("three", name, json!({})))
            .await
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("metadata.name must start with a letter"),
            "{name}: {error}"
        );
    }
}

/// A cloud as a person writes it: the types' defaults are left to the API server.
fn raw(spec: &Value) -> MesosCloud {
    cloud("three", "blue", spec.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_change_is_refused_with_a_sentence() {
    let (_server, client) = ApiServer::start().await;
    namespace(&client, "four").await;
    let api = Api::<MesosCloud>::namespaced(client.clone(), "four");
    create(&client, &cloud("four", "three-masters", json!({}))).await;
    create(
        &client,
        &cloud(
            "four",
            "one-master",
            json!({"masters": {"replicas": 1}, "zookeeper": {"replicas": 1}}),
        ),
    )
    .await;
    let table = [
        (
            "one-master",
            json!({"masters": {"replicas": 3}}),
            "masters.replicas cannot change between 1 and more",
        ),
        (
            "three-masters",
            json!({"masters": {"replicas": 1}}),
            "masters.replicas cannot change between 1 and more",
        ),
        (
            "one-master",
            json!({"zookeeper": {"replicas": 3}}),
            "zookeeper.replicas cannot change between 1 and more",
        ),
        (
            "three-masters",
            json!({"masters": {"storage": {"size": "512Mi"}}}),
            "storage.size must not shrink",
        ),
        (
            "three-masters",
            json!({"zookeeper": {"storage": {"storageClassName": "fast"}}}),
            "storageClassName cannot change",
        ),
        (
            "three-masters",
            json!({"masters": {"zkPath": "/other"}}),
            "masters.zkPath cannot change",
        ),
        (
            "three-masters",
            json!({"marathon": {"zkPath": "/other"}}),
            "marathon.zkPath cannot change",
        ),
        (
            "three-masters",
            json!({"slaves": {"workDir": "/other"}}),
            "slaves.workDir cannot change",
        ),
    ];
    for (name, spec, sentence) in table {
        let patch = Patch::Merge(json!({"spec": spec}));
        let error = api
            .patch(name, &PatchParams::default(), &patch)
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains(sentence), "{name} {patch:?}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clouds_that_would_take_the_same_ports_do_not_disturb_each_other() {
    let (_server, client) = ApiServer::start().await;
    let _operator = Operator::start(client.clone()).await;
    built(&client, "five", "first", json!({})).await;
    // Who was first is told by times in whole seconds.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    built(&client, "five", "second", json!({})).await;
    let clouds = Api::<MesosCloud>::namespaced(client.clone(), "five");
    let refused = until(clouds.clone(), "second", "is refused its ports", |c| {
        holds(c, "Stalled", "HostPortConflict")
    })
    .await;
    let message = &refused
        .status
        .unwrap()
        .conditions
        .iter()
        .find(|c| c.type_ == "SlavesReady")
        .unwrap()
        .message
        .clone();
    assert!(
        message.contains("five/first") && message.contains("slaves.basePort"),
        "{message}"
    );
    let daemons = Api::<DaemonSet>::namespaced(client.clone(), "five");
    assert!(daemons.get_opt("second-slave-0").await.unwrap().is_none());
    assert!(daemons.get_opt("first-slave-0").await.unwrap().is_some());
    let first = clouds.get("first").await.unwrap();
    assert!(!holds(&first, "Stalled", "HostPortConflict"));

    let apart = json!({"spec": {"slaves": {"basePort": 5061, "taskPorts": {"begin": 32100, "end": 32199}}}});
    clouds
        .patch("second", &PatchParams::default(), &Patch::Merge(apart))
        .await
        .unwrap();
    until(daemons, "second-slave-1", "appears", |_| true).await;
    until(clouds, "second", "goes on", |c| holds(c, "Stalled", "NotStalled")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_carried_out_is_told_and_the_running_cloud_stays() {
    let (_server, client) = ApiServer::start().await;
    let _operator = Operator::start(client.clone()).await;
    built(&client, "six", "blue", json!({})).await;
    let clouds = Api::<MesosCloud>::namespaced(client.clone(), "six");
    let sets = Api::<StatefulSet>::namespaced(client.clone(), "six");
    let before = sets.get("blue-zk").await.unwrap();

    let wrong = json!({"spec": {"zookeeper": {"podOverrides": {"spec": {"containers": "none"}}}}});
    clouds
        .patch("blue", &PatchParams::default(), &Patch::Merge(wrong))
        .await
        .unwrap();
    let told = until(clouds.clone(), "blue", "tells what is wrong", |c| {
        holds(c, "Stalled", "InvalidSpec")
    })
    .await;
    let stalled = told
        .status
        .unwrap()
        .conditions
        .into_iter()
        .find(|c| c.type_ == "Stalled")
        .unwrap();
    assert!(
        stalled.message.contains("spec.zookeeper.podOverrides"),
        "{}",
        stalled.message
    );
    assert_eq!(
        sets.get("blue-zk").await.unwrap().metadata.generation,
        before.metadata.generation
    );

    let right = json!({"spec": {"zookeeper": {"podOverrides": {"spec": {"containers": null, "priorityClassName": "system-node-critical"}}}}});
    clouds
        .patch("blue", &PatchParams::default(), &Patch::Merge(right))
        .await
        .unwrap();
    until(clouds, "blue", "goes on", |c| holds(c, "Stalled", "NotStalled")).await;
    until(sets, "blue-zk", "has the override", |s| {
        let pod = s.spec.as_ref().and_then(|s| s.template.spec.as_ref());
        pod.is_some_and(|p| p.priority_class_name.as_deref() == Some("system-node-critical"))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_cloud_is_told_of_and_the_others_go_on() {
    let (_server, client) = ApiServer::start().await;
    namespace(&client, "seven").await;
    // As an older version could have stored it: the schema of today would not take it.
    let definitions = Api::<
        k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
    >::all(client.clone());
    let name = "mesosclouds.mesoscloud.io";
    let definition = definitions.get(name).await.unwrap();
    let anything = json!([{"op": "replace", "path": "/spec/versions/0/schema/openAPIV3Schema", "value":
        {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}]);
    let patch = serde_json::from_value(anything).unwrap();
    definitions
        .patch(name, &PatchParams::default(), &Patch::<()>::Json(patch))
        .await
        .unwrap();
    let broken = json!({"apiVersion": "mesoscloud.io/v1alpha1", "kind": "MesosCloud",
        "metadata": {"name": "broken", "namespace": "seven"}, "spec": {"masters": {"replicas": "three"}}});
    let resource = kube::api::ApiResource::erase::<MesosCloud>(&());
    let dynamic = Api::<kube::api::DynamicObject>::namespaced_with(client.clone(), "seven", &resource);
    dynamic
        .create(&PostParams::default(), &serde_json::from_value(broken).unwrap())
        .await
        .unwrap();
    definitions
        .replace(name, &PostParams::default(), &{
            let mut back = definition.clone();
            back.metadata.resource_version = definitions.get(name).await.unwrap().metadata.resource_version;
            back
        })
        .await
        .unwrap();

    let _operator = Operator::start(client.clone()).await;
    built(&client, "seven", "sound", json!({})).await;
    let events = Api::<Event>::namespaced(client.clone(), "seven")
        .list(&ListParams::default())
        .await
        .unwrap();
    let about: Vec<_> = events
        .iter()
        .filter(|e| e.regarding.as_ref().and_then(|r| r.name.as_deref()) == Some("broken"))
        .map(|e| e.reason.clone().unwrap_or_default())
        .collect();
    assert_eq!(about, ["Unreadable"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_somebody_else_is_taken_over() {
    let (_server, client) = ApiServer::start().await;
    let _operator = Operator::start(client.clone()).await;
    namespace(&client, "eight").await;
    let maps = Api::<ConfigMap>::namespaced(client.clone(), "eight");
    let theirs: ConfigMap =
        serde_json::from_value(json!({"metadata": {"name": "blue-zk"}, "data": {"theirs": "1"}})).unwrap();
    maps.create(&PostParams::default(), &theirs).await.unwrap();
    create(&client, &cloud("eight", "blue", json!({}))).await;
    let clouds = Api::<MesosCloud>::namespaced(client.clone(), "eight");
    let told = until(clouds.clone(), "blue", "tells of it", |c| {
        holds(c, "Stalled", "ApplyFailed")
    })
    .await;
    let stalled = told
        .status
        .unwrap()
        .conditions
        .into_iter()
        .find(|c| c.type_ == "Stalled")
        .unwrap();
    assert!(
        stalled.message.contains("ConfigMap blue-zk exists"),
        "{}",
        stalled.message
    );
    assert_eq!(
        maps.get("blue-zk").await.unwrap().data,
        Some(BTreeMap::from([("theirs".to_owned(), "1".to_owned())]))
    );
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
