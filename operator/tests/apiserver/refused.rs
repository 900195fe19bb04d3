//! What the API server itself refuses, in a sentence.

use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use mesoscloud_crds::MesosCloud;
use serde_json::json;

use crate::create;
use crate::server::{ApiServer, cloud, namespace};

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
            .create(&PostParams::default(), &cloud("three", "blue", spec.clone()))
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
