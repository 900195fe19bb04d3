//! Proves that a masters' log of which too few replicas are left is told, with what to do about it, and that doing
//! it helps.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::Api;
use kube::api::{DeleteParams, ListParams};
use mesoscloud_e2e::{Result, node, test};
use serde_json::json;

#[test]
fn a_lost_log_is_told_and_begun_anew() -> Result {
    test("masters_log", async |scene| {
        let masters = json!({"masters": {"replicas": 3}});
        let cloud = scene.small("forgetful", masters).await?;

        // Both at the same moment: one that is back before the other goes would bring its replica along.
        let mut script = String::new();
        for master in &cloud.pods(Some("master")).await?[..2] {
            let (container, _) = node::main_container(master)?;
            let pid = node::pid(&container).await?;
            script =
                format!("rm -r /proc/{pid}/root/var/lib/mesos/replicated_log && {script} kill -9 {pid};");
        }
        node::run(&["sh", "-c", &script], "").await?;
        let stalled = cloud.condition("Stalled", "True", "LogLost").await?;
        println!("{}", stalled.message);
        let selector = format!(
            "app.kubernetes.io/instance={},app.kubernetes.io/component=master",
            cloud.name
        );
        let remedy = format!("kubectl delete pvc,pod -n {} -l {selector}", cloud.namespace);
        assert!(stalled.message.contains(&remedy), "{}", stalled.message);

        let lives = cloud.lives().await?;
        let (params, all) = (DeleteParams::default(), ListParams::default().labels(&selector));
        let claims: Api<PersistentVolumeClaim> = scene.cluster.api(&cloud.namespace);
        claims.delete_collection(&params, &all).await?;
        cloud.pod_api().delete_collection(&params, &all).await?;
        for (name, life) in lives.iter().filter(|(name, _)| name.contains("-master-")) {
            cloud.reborn(name, life).await?;
        }
        cloud.settled().await?;
        Ok(())
    })
}
