//! What the operator cannot carry out: told in a condition or an event, and everything else goes on.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::apps::v1::{DaemonSet, StatefulSet};
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use mesoscloud_crds::MesosCloud;
use serde_json::json;

use crate::server::{ApiServer, Operator, cloud, namespace, until};
use crate::{built, create};

/// A cloud's condition of this type, if it has been told.
pub(crate) fn condition<'a>(cloud: &'a MesosCloud, type_: &str) -> Option<&'a Condition> {
    let status = cloud.status.as_ref()?;
    status.conditions.iter().find(|c| c.type_ == type_)
}

fn holds(cloud: &MesosCloud, type_: &str, reason: &str) -> bool {
    condition(cloud, type_).is_some_and(|c| c.reason == reason)
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
    let message = &condition(&refused, "SlavesReady").unwrap().message;
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
    let stalled = condition(&told, "Stalled").unwrap();
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
    let definitions = Api::<CustomResourceDefinition>::all(client.clone());
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
    let stalled = condition(&told, "Stalled").unwrap();
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
