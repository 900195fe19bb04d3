//! What the API server refuses, with the reason; and what kubectl says of a manifest that is not one.

use mesoscloud_e2e::command::kubectl;
use mesoscloud_e2e::{Cloud, Context as _, Result, SAMPLE_NAMESPACE, test};
use serde_json::{Value, json};

#[test]
fn a_new_cloud_that_cannot_work() -> Result {
    test("bad_input_new", async |scene| {
        let cloud = Cloud::new(&scene.cluster, SAMPLE_NAMESPACE, "refused");
        let ports = |begin: i32, end: i32| json!({"begin": begin, "end": end});
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
            (json!({"masters": {"zkPath": "/"}}), "masters.zkPath"),
            (
                json!({"masters": {"zkPath": "mesos"}}),
                "masters.zkPath must be an absolute ZooKeeper path",
            ),
            (json!({"masters": {"zkPath": "/mesos/"}}), "does not end in '/'"),
            (json!({"marathon": {"zkPath": "/"}}), "marathon.zkPath"),
            (
                json!({"marathon": {"zkPath": "marathon"}}),
                "marathon.zkPath must be an absolute ZooKeeper path",
            ),
            (
                json!({"marathon": {"zkPath": "/marathon/"}}),
                "does not end in '/'",
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
                json!({"masters": {"zkPath": "/marathon/my_marathon/mesos"}}),
                "must not be equal or lie inside each other",
            ),
            (
                json!({"slaves": {"taskPorts": ports(31000, 31000)}}),
                "at least one port for each slave of a node",
            ),
            (
                json!({"slaves": {"taskPorts": ports(32000, 31000)}}),
                "must not end before it begins",
            ),
            (
                json!({"slaves": {"basePort": 31000}}),
                "must lie outside taskPorts",
            ),
            (json!({"slaves": {"basePort": 65535}}), "must not exceed 65535"),
            (
                json!({"masters": {"storage": {"size": "nothing"}}}),
                "must be a quantity above 0",
            ),
            (
                json!({"masters": {"replicas": "three"}}),
                "must be of type integer",
            ),
        ];
        // The table is refused for what it says: without it, the same cloud is taken.
        cloud.create(&json!({}), true).await?;
        for (spec, reason) in table {
            refused(cloud.create(&spec, true).await, reason, &spec);
        }
        let long = Cloud::new(&scene.cluster, SAMPLE_NAMESPACE, &"a".repeat(41));
        refused(
            long.create(&json!({}), true).await,
            "at most 40 characters",
            &json!({}),
        );
        Ok(())
    })
}

#[test]
fn a_change_that_a_running_cloud_cannot_bear() -> Result {
    test("bad_input_change", async |scene| {
        let cloud = scene.sample().await?;
        let table = [
            (
                json!({"masters": {"replicas": 1}}),
                "cannot change between 1 and more",
            ),
            (
                json!({"zookeeper": {"replicas": 1}}),
                "cannot change between 1 and more",
            ),
            (
                json!({"masters": {"replicas": 4}}),
                "masters.replicas must be odd",
            ),
            (
                json!({"masters": {"zkPath": "/mesos/other"}}),
                "masters.zkPath cannot change",
            ),
            (
                json!({"marathon": {"zkPath": "/marathon/other"}}),
                "marathon.zkPath cannot change",
            ),
            (
                json!({"masters": {"storage": {"size": "512Mi"}}}),
                "storage.size must not shrink",
            ),
            (
                json!({"zookeeper": {"storage": {"size": "1000M"}}}),
                "storage.size must not shrink",
            ),
            (
                json!({"zookeeper": {"storage": {"storageClassName": "other"}}}),
                "storageClassName cannot change",
            ),
            (
                json!({"slaves": {"workDir": "/elsewhere"}}),
                "slaves.workDir cannot change",
            ),
        ];
        cloud.change(&json!({"marathon": {"replicas": 3}}), true).await?;
        for (spec, reason) in table {
            refused(cloud.change(&spec, true).await, reason, &spec);
        }
        Ok(())
    })
}

#[test]
fn a_manifest_that_kubectl_does_not_understand() -> Result {
    test("bad_input_kubectl", async |_| {
        applies("masters: {replicas: 5}", true, "created (server dry run)").await?;
        applies("mastres: {replicas: 5}", false, "unknown field \"spec.mastres\"").await?;
        applies(
            "masters: {replica: 5}",
            false,
            "unknown field \"spec.masters.replica\"",
        )
        .await?;
        applies("masters: {replicas: three}", false, "must be of type integer").await
    })
}

fn refused(result: Result<(), kube::Error>, reason: &str, spec: &Value) {
    match result {
        Err(kube::Error::Api(status)) => {
            assert_eq!(status.code, 422, "{spec}: {}", status.message);
            assert!(status.message.contains(reason), "{spec}: {}", status.message);
        }
        other => assert!(
            other.is_err_and(|e| e.to_string().is_empty()),
            "{spec} was not refused"
        ),
    }
}

/// Applies a manifest as a person does, with kubectl's defaults, without keeping it.
async fn applies(spec: &str, taken: bool, says: &str) -> Result {
    let manifest = format!(
        "apiVersion: mesoscloud.io/v1alpha1\nkind: MesosCloud\n\
         metadata: {{name: refused, namespace: {SAMPLE_NAMESPACE}}}\nspec:\n  {spec}\n"
    );
    let output = kubectl(&["apply", "--dry-run=server", "-f", "-"], &manifest)
        .await
        .context(spec)?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert_eq!(output.status.success(), taken, "{spec}: {said}");
    assert!(said.contains(says), "{spec}: {said}");
    Ok(())
}
