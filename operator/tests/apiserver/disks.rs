//! Disks of a former life of the cloud, and of members that were taken away.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::api::PostParams;
use kube::{Api, Client, ResourceExt as _};
use mesoscloud_crds::MesosCloud;
use mesoscloud_operator::cloud::names::LEFT_OVER_ANNOTATION;
use serde_json::json;

use crate::server::{ApiServer, Operator, cloud, namespace, until};
use crate::told::condition;
use crate::{built, create};

/// The claim of a member of the cloud `blue`.
async fn claim(client: &Client, ns: &str, component: &str, member: &str, left_over: bool) {
    let annotations = if left_over {
        json!({LEFT_OVER_ANNOTATION: "true"})
    } else {
        json!({})
    };
    let claim = json!({
        "metadata": {"name": format!("data-blue-{member}"), "annotations": annotations, "labels": {
            "app.kubernetes.io/managed-by": "mesoscloud-operator",
            "app.kubernetes.io/instance": "blue",
            "app.kubernetes.io/component": component,
        }},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    });
    Api::<PersistentVolumeClaim>::namespaced(client.clone(), ns)
        .create(&PostParams::default(), &serde_json::from_value(claim).unwrap())
        .await
        .unwrap();
}

async fn replicas(client: &Client, ns: &str, set: &str) -> Option<i32> {
    let sets = Api::<StatefulSet>::namespaced(client.clone(), ns);
    let set = until(sets, set, "is made", |_| true).await;
    set.spec.and_then(|spec| spec.replicas)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cloud_begins_with_the_disks_it_finds() {
    let (_server, client) = ApiServer::start().await;
    let ns = "disks-found";
    namespace(&client, ns).await;
    for n in 0..5 {
        claim(&client, ns, "zookeeper", &format!("zk-{n}"), false).await;
        claim(&client, ns, "master", &format!("master-{n}"), n > 2).await;
    }
    let _operator = Operator::start(client.clone()).await;
    create(&client, &cloud(ns, "blue", json!({}))).await;
    // Any of the five may have the newest.
    assert_eq!(replicas(&client, ns, "blue-zk").await, Some(5));
    // Two of these went before the others.
    assert_eq!(replicas(&client, ns, "blue-master").await, Some(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_disk_of_a_single_member_is_not_joined_by_empty_ones() {
    let (_server, client) = ApiServer::start().await;
    let ns = "disks-single";
    namespace(&client, ns).await;
    claim(&client, ns, "zookeeper", "zk-0", false).await;
    let _operator = Operator::start(client.clone()).await;
    create(&client, &cloud(ns, "blue", json!({}))).await;
    assert_eq!(replicas(&client, ns, "blue-zk").await, Some(1));
    let clouds = Api::<MesosCloud>::namespaced(client.clone(), ns);
    let told = until(clouds, "blue", "tells of it", |c| {
        condition(c, "Stalled").is_some_and(|c| c.reason == "InvalidSpec")
    })
    .await;
    let message = &condition(&told, "Stalled").unwrap().message;
    assert!(message.contains("kubectl delete pvc"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_disk_of_a_member_that_was_taken_away_is_marked() {
    let (_server, client) = ApiServer::start().await;
    let ns = "disks-marked";
    let _operator = Operator::start(client.clone()).await;
    built(&client, ns, "blue", json!({})).await;
    claim(&client, ns, "zookeeper", "zk-2", false).await;
    claim(&client, ns, "zookeeper", "zk-3", false).await;
    let claims = Api::<PersistentVolumeClaim>::namespaced(client.clone(), ns);
    let is_marked = |claim: &PersistentVolumeClaim| claim.annotations().contains_key(LEFT_OVER_ANNOTATION);
    until(claims.clone(), "data-blue-zk-3", "is marked", is_marked).await;
    let current = claims.get("data-blue-zk-2").await.unwrap();
    assert!(!is_marked(&current), "{current:#?}");
}
