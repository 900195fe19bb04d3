//! Proves that a change of a running cloud goes member by member: an upgrade of one role costs one change of leader
//! and touches no other role, a bad one stops at the first member and goes back by itself when the spec does, and
//! one that would lose the quorum waits.

use kube::ResourceExt;
use mesoscloud_e2e::cloud::{NOTICED, touched, without};
use mesoscloud_e2e::load::Load;
use mesoscloud_e2e::{Cloud, Result, node, operator, test};
use serde_json::json;

const IMAGE: &str = "mesoscloud/mesos-master:0.28.1-centos-7";
const UPGRADE: &str = "mesoscloud/mesos-master:e2e-upgrade";
const MISSING: &str = "mesoscloud/mesos-master:does-not-exist";

#[test]
fn an_upgrade_costs_one_change_of_leader() -> Result {
    test("rollout_upgrade", async |scene| {
        let cloud = scene.sample().await?;
        let end = cloud.clone();
        scene.after(async move { image(&end, None).await });
        node::tag_image(IMAGE, UPGRADE).await?;
        let before = cloud.lives().await?;
        let load = Load::start(&cloud.name);
        load.usual().await?;
        image(&cloud, Some(UPGRADE)).await?;
        let report = load.stop().await?;
        println!("{report}");
        assert_eq!(report.changes(), 1, "{report}");
        assert!(report.wrong().is_empty(), "{:#?}", report.wrong());
        assert_eq!(report.lost(), 0, "{report}");
        for master in cloud.pods(Some("master")).await? {
            let containers = master.spec.map(|spec| spec.containers).unwrap_or_default();
            assert_eq!(containers[0].image.as_deref(), Some(UPGRADE));
        }
        assert_eq!(
            without(before, "master"),
            without(cloud.lives().await?, "master"),
            "others were disturbed"
        );
        Ok(())
    })
}

#[test]
fn a_bad_image_stops_at_the_first_member_and_is_rolled_back() -> Result {
    test("rollout_bad", async |scene| {
        let cloud = scene.sample().await?;
        let end = cloud.clone();
        scene.after(async move { image(&end, None).await });
        let before = cloud.lives().await?;
        let load = Load::start(&cloud.name);
        load.usual().await?;
        cloud
            .change(&json!({"masters": {"image": MISSING}}), false)
            .await?;
        let stalled = cloud.condition("Stalled", "True", "ImagePullFailed").await?;
        assert!(stalled.message.contains(MISSING), "{}", stalled.message);
        // An operator that starts now knows no more than this one, and touches no second member either.
        operator::restart(&scene.cluster).await?;
        operator::mends(&cloud).await?;
        let during = cloud.lives().await?;
        let rolled = touched(&before, &during);
        assert_eq!(rolled.len(), 1, "{rolled:?}");
        image(&cloud, None).await?;
        let report = load.stop().await?;
        assert_eq!(report.changes(), 0, "a standby goes first: {report}");
        assert_eq!(report.lost(), 0, "{report}");
        let after = cloud.lives().await?;
        assert_eq!(
            touched(&before, &after),
            rolled,
            "others were rolled back that had not been rolled"
        );
        Ok(())
    })
}

#[test]
fn a_change_that_would_lose_the_quorum_waits() -> Result {
    test("rollout_waits", async |scene| {
        let cloud = scene.sample().await?;
        let end = cloud.clone();
        scene.after(async move {
            env(&end, "masters", None).await?;
            end.settled().await.map(drop)
        });
        let cluster = scene.cluster.clone();
        scene.after(async move { cluster.set_schedulable(true).await });
        let leader = cloud.settled().await?.leaders.mesos.map(|leader| leader.name);
        let masters = cloud.pods(Some("master")).await?;
        let mut names = masters.iter().map(ResourceExt::name_any);
        let standby = names
            .find(|name| Some(name) != leader.as_ref())
            .unwrap_or_default();
        // The pod's successor finds no place.
        scene.cluster.set_schedulable(false).await?;
        cloud.delete_pod(&standby, false).await?;
        cloud.condition("MastersReady", "False", "Unschedulable").await?;
        let before = cloud.lives().await?;
        env(&cloud, "masters", Some("waits")).await?;
        let waits = format!("{standby} does not serve yet");
        cloud
            .until("says what it waits for", NOTICED, |status| {
                let mut conditions = status.conditions.iter();
                conditions.find(|c| c.message.contains(&waits)).map(drop)
            })
            .await?;
        let during = cloud.lives().await?;
        assert_eq!(
            touched(&before, &during),
            [standby],
            "only the one that is down may be replaced"
        );
        scene.cluster.set_schedulable(true).await?;
        cloud.settled().await?;
        for master in cloud.pods(Some("master")).await? {
            let containers = master.spec.as_ref().map(|spec| &spec.containers[0]);
            let env = containers.and_then(|c| c.env.as_ref()).into_iter().flatten();
            assert_eq!(
                env.filter(|e| e.name == "E2E_ROLLOUT").count(),
                1,
                "{}",
                master.name_any()
            );
        }
        Ok(())
    })
}

/// A proxy is one pod, and its successor serves before it goes. Clients that come are never refused; one that keeps a
/// connection to the old pod may find it closed between two requests, as HTTP allows, and connects anew.
#[test]
fn proxies_are_rolled_under_load() -> Result {
    test("rollout_proxies", async |scene| {
        let cloud = scene.sample().await?;
        let end = cloud.clone();
        scene.after(async move {
            env(&end, "proxies", None).await?;
            end.settled().await.map(drop)
        });
        let before = cloud.lives().await?;
        let load = Load::start(&cloud.name);
        load.usual().await?;
        env(&cloud, "proxies", Some("rolled")).await?;
        cloud.settled().await?;
        let report = load.stop().await?;
        println!("{report}");
        assert!(report.wrong().is_empty(), "{:#?}", report.wrong());
        let (kept, lost): (Vec<_>, Vec<_>) = report
            .samples
            .iter()
            .filter(|s| s.is_lost())
            .partition(|s| s.kept);
        assert!(lost.is_empty(), "{lost:#?}");
        assert!(kept.len() <= 1, "it connected anew and was refused: {kept:#?}");
        let proxies: Vec<_> = before.keys().filter(|name| name.contains("-proxy-")).collect();
        let rolled = touched(&before, &cloud.lives().await?);
        assert_eq!(rolled.iter().collect::<Vec<_>>(), proxies, "not just the proxies");
        Ok(())
    })
}

/// A change of everything comes to one role after the other.
#[test]
fn roles_change_in_their_order() -> Result {
    test("rollout_order", async |scene| {
        let cloud = scene.small("ordered", json!({})).await?;
        let env = json!({"env": [{"name": "E2E_ROLLOUT", "value": "order"}]});
        let everywhere = json!({
            "zookeeper": env, "masters": env, "marathon": env, "proxies": env, "slaves": env,
        });
        let before = cloud.lives().await?;
        cloud.change(&everywhere, false).await?;
        cloud.settled().await?;
        assert_eq!(touched(&before, &cloud.lives().await?).len(), before.len());
        let mut last = None;
        for role in [
            &["zookeeper"][..],
            &["master"],
            &["marathon"],
            &["mesos-proxy", "marathon-proxy", "zk-proxy"],
            &["slave"],
        ] {
            let (mut made, mut ready) = (Vec::new(), Vec::new());
            for component in role {
                for pod in cloud.pods(Some(component)).await? {
                    made.extend(pod.creation_timestamp());
                    let conditions = pod.status.into_iter().filter_map(|s| s.conditions).flatten();
                    let serves = conditions.filter(|c| c.type_ == "Ready");
                    ready.extend(serves.filter_map(|c| c.last_transition_time));
                }
            }
            println!("{role:?}: made {made:?}, ready {ready:?}");
            assert!(last.as_ref() <= made.iter().min(), "{role:?} did not wait");
            last = ready.into_iter().max();
        }
        Ok(())
    })
}

/// Has the masters run another image, or the usual one, and waits until they do.
async fn image(cloud: &Cloud, image: Option<&str>) -> Result {
    cloud.change(&json!({"masters": {"image": image}}), false).await?;
    cloud.settled().await?;
    Ok(())
}

/// Changes the template of a block of the spec by a variable that its program does not know.
async fn env(cloud: &Cloud, block: &str, value: Option<&str>) -> Result {
    let env = value.map(|value| json!([{"name": "E2E_ROLLOUT", "value": value}]));
    cloud.change(&json!({block: {"env": env}}), false).await?;
    Ok(())
}
