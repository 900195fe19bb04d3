//! Proves that the operator keeps what it owns: each object, deleted, comes back (a Service at its old address);
//! each managed field, edited, is put right; and what others wrote beside it stays.

use kube::ResourceExt as _;
use kube::api::DynamicObject;
use mesoscloud_e2e::objects::{Object, at};
use mesoscloud_e2e::{Cloud, Context as _, Result, test};
use serde_json::{Value, json};

/// What others may write: a label and an annotation.
const FOREIGN: &str = "example.com/owner";

#[test]
fn configuration_that_is_deleted_comes_back_and_disturbs_nobody() -> Result {
    test("drift_configuration", async |scene| {
        let cloud = scene.sample().await?;
        let lives = cloud.lives().await?;
        let objects: Vec<_> = cloud
            .objects()
            .await?
            .into_iter()
            .filter(|o| !is_workload(o))
            .collect();
        // An account, a role and its binding, a configuration and a Service for each of three proxies, a Service
        // for each of eight members, ZooKeeper's configuration, and a disruption budget for each kind of member.
        assert_eq!(objects.len(), 3 * 5 + 8 + 1 + 3, "{:?}", titles(&objects));
        for object in &objects {
            let successor = object.delete_and_await_successor().await?;
            same(object, &successor, "/data");
            same(object, &successor, "/rules");
            same(object, &successor, "/spec/clusterIP");
            same(object, &successor, "/spec/ports");
        }
        cloud.settled().await?;
        assert_eq!(cloud.lives().await?, lives, "pods were disturbed");
        Ok(())
    })
}

#[test]
fn workloads_that_are_deleted_come_back() -> Result {
    test("drift_workloads", async |scene| {
        let cloud = scene.sample().await?;
        let objects: Vec<_> = cloud.objects().await?.into_iter().filter(is_workload).collect();
        // Three proxies, two slaves; ZooKeeper, masters and Marathon.
        assert_eq!(objects.len(), 3 + 2 + 3, "{:?}", titles(&objects));
        for object in &objects {
            let successor = object.delete_and_await_successor().await?;
            same(object, &successor, "/spec/template");
            if object.kind.kind == "StatefulSet" {
                // The others live by it, and shall not be struck while they are down.
                cloud.settled().await?;
            }
        }
        cloud.settled().await?;
        Ok(())
    })
}

#[test]
fn edited_fields_are_put_right_and_foreign_ones_stay() -> Result {
    test("drift_edits", async |scene| {
        let cloud = scene.sample().await?;
        let operators = "/metadata/labels/app.kubernetes.io~1component";
        let edits = [
            (
                "ServiceAccount",
                "cloud-zk-proxy",
                json!({"automountServiceAccountToken": true}),
                "/automountServiceAccountToken",
            ),
            ("Role", "cloud-mesos-proxy", json!({"rules": []}), "/rules"),
            (
                "RoleBinding",
                "cloud-mesos-proxy",
                json!({"subjects": []}),
                "/subjects",
            ),
            (
                "ConfigMap",
                "cloud-mesos-proxy",
                json!({"data": {"haproxy.cfg": "nonsense"}}),
                "/data/haproxy.cfg",
            ),
            (
                "ConfigMap",
                "cloud-zk",
                json!({"data": {"zoo-0.cfg": null}}),
                "/data/zoo-0.cfg",
            ),
            (
                "Service",
                "cloud-master-0",
                json!({"spec": {"publishNotReadyAddresses": false}}),
                "/spec/publishNotReadyAddresses",
            ),
            (
                "Service",
                "cloud-mesos-proxy",
                json!({"spec": {"type": "ClusterIP"}}),
                "/spec/ports/0/nodePort",
            ),
            (
                "Service",
                "cloud-zk-1",
                json!({"metadata": {"labels": {"app.kubernetes.io/component": null}}}),
                operators,
            ),
            (
                "Deployment",
                "cloud-zk-proxy",
                json!({"spec": {"replicas": 0}}),
                "/spec/replicas",
            ),
            (
                "DaemonSet",
                "cloud-slave-1",
                json!({"spec": {"template": {"spec": {"hostNetwork": false}}}}),
                "/spec/template/spec/hostNetwork",
            ),
            (
                "StatefulSet",
                "cloud-marathon",
                json!({"spec": {"replicas": 1}}),
                "/spec/replicas",
            ),
            (
                "StatefulSet",
                "cloud-master",
                json!({"spec": {"replicas": 4}}),
                "/spec/replicas",
            ),
            (
                "StatefulSet",
                "cloud-zk",
                json!({"spec": {"replicas": 4}}),
                "/spec/replicas",
            ),
        ];
        for (kind, name, patch, pointer) in edits {
            let object = find(&cloud, kind, name).await?;
            put_right(&object, patch, pointer).await?;
        }
        // By this, the operator would forget whom the object belongs to.
        let object = find(&cloud, "Service", "cloud-zk-2").await?;
        put_right(
            &object,
            json!({"metadata": {"ownerReferences": []}}),
            "/metadata/ownerReferences",
        )
        .await?;
        cloud.settled().await?;
        Ok(())
    })
}

/// Edits a field that the operator manages, together with two that it does not, and waits until the one is as it
/// was and the others are as they were edited.
async fn put_right(object: &Object, mut patch: Value, pointer: &str) -> Result {
    let before = object.at(pointer);
    assert!(!before.is_null(), "{}: {pointer} is not there", object.title());
    patch["metadata"]["annotations"] = json!({FOREIGN: "somebody"});
    patch["metadata"]["labels"][FOREIGN] = json!("somebody");
    let edited = object.edit(&patch).await?;
    assert_ne!(
        edited.at(pointer),
        before,
        "{}: {pointer} could not be edited",
        object.title()
    );
    let back = |content: &DynamicObject| at(content, pointer) == before;
    let restored = edited.until(&format!("has its {pointer} again"), back).await?;
    let kept =
        |map: &std::collections::BTreeMap<String, String>| map.get(FOREIGN).is_some_and(|v| v == "somebody");
    assert!(
        kept(restored.content.annotations()),
        "{}: a foreign annotation is gone",
        object.title()
    );
    assert!(
        kept(restored.content.labels()),
        "{}: a foreign label is gone",
        object.title()
    );
    let forget = json!({"metadata": {"annotations": {FOREIGN: null}, "labels": {FOREIGN: null}}});
    restored.edit(&forget).await?;
    Ok(())
}

async fn find(cloud: &Cloud, kind: &str, name: &str) -> Result<Object> {
    let mut objects = cloud.objects().await?.into_iter();
    objects
        .find(|o| o.kind.kind == kind && o.name() == name)
        .context(format!("no {kind} {name}"))
}

fn is_workload(object: &Object) -> bool {
    object.kind.group == "apps"
}

fn titles(objects: &[Object]) -> Vec<String> {
    objects.iter().map(Object::title).collect()
}

fn same(old: &Object, new: &Object, pointer: &str) {
    let what = |object: &Object| without_operators_image(&object.at(pointer).to_string());
    assert_eq!(what(old), what(new), "{}: {pointer}", old.title());
}

/// A workload of an earlier operator comes back with the image of today's.
fn without_operators_image(text: &str) -> String {
    let mut parts = text.split("\"mesoscloud-operator:");
    let first = parts.next().unwrap_or_default().to_owned();
    let rest = parts.map(|part| part.split_once('"').map_or("", |(_, rest)| rest));
    first + &rest.collect::<Vec<_>>().join("\"\"")
}
