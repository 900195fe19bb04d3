//! Proves that apps posted to Marathon on the machine's port 8080 run on the machine's Docker, get healthy, can be
//! reached where Marathon says they are, never get each other's ports, and leave nothing behind.

use kube::ResourceExt as _;
use mesoscloud_e2e::http::get;
use mesoscloud_e2e::marathon::{Marathon, pod_of};
use mesoscloud_e2e::{MACHINE, MARATHON, Result, docker, node, test};

const API: Marathon = Marathon(MARATHON);

#[test]
fn apps_run_and_are_reached_where_marathon_says() -> Result {
    test("apps", async |scene| {
        let cloud = scene.sample().await?;
        let one = API.post(scene, "/e2e-one").await?;
        let two = API.post(scene, "/e2e-two").await?;

        for task in [&one, &two] {
            assert_eq!(task.host, MACHINE, "{task:?}");
            let from_machine = get(&task.address(), "/").await?;
            assert_eq!(from_machine.status, 200, "{task:?}");
            let pod = cloud.pod_api().get("cloud-zk-0").await?;
            let from_pod = node::curl_in(&pod, &format!("http://{}/", task.address())).await?;
            // The app tells its container's name: both have reached the same one.
            assert_eq!(from_machine.text(), from_pod, "{task:?}");
            let containers = docker::of_task(&task.id).await?;
            assert!(
                containers.len() == 1 && containers[0].running,
                "{task:?}: {containers:?}"
            );
        }
        // Each needs more than half of a slave.
        assert_ne!(one.slave, two.slave);
        assert_ne!(one.port, two.port);
        let mut shares = [one.port, two.port].map(|port| port > 31500);
        shares.sort_unstable();
        assert_eq!(
            shares,
            [false, true],
            "each slave has its own half of 31000-32000: {one:?} {two:?}"
        );

        API.delete("/e2e-one").await?;
        one.no_container_left().await?;
        assert!(
            get(&one.address(), "/").await.is_err(),
            "the port of a deleted app is still served"
        );
        assert_eq!(
            API.healthy("/e2e-two", "").await?,
            two,
            "the other app was disturbed"
        );
        API.delete("/e2e-two").await?;
        two.no_container_left().await
    })
}

#[test]
fn an_app_outlives_its_slaves_pod() -> Result {
    test("apps_slave_deleted", async |scene| {
        let cloud = scene.sample().await?;
        let old = API.post(scene, "/e2e-orphan").await?;
        let pod = pod_of(&cloud, &old).await?;
        cloud.delete_pod(&pod.name_any(), false).await?;
        let new = API.healthy("/e2e-orphan", &old.id).await?;
        assert_eq!(get(&new.address(), "/").await?.status, 200);
        old.no_container_left().await?;
        cloud.settled().await?;
        API.delete("/e2e-orphan").await?;
        new.no_container_left().await
    })
}
