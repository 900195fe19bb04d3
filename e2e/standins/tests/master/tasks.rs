//! Slaves, frameworks and tasks, as the leader sees them; it is all forgotten with it.

use std::time::Instant;

use mesoscloud_standins::wire::{
    Accept, Decline, FrameworkEvent, KillTask, Refused, Register, Resources, RunningTask, SlaveCommand,
};
use serde_json::Value;

use crate::harness::{eventually, millis, seconds};
use crate::support::{Cloud, Master, post};
use crate::wire::{Framework, Slave, registration, resources, subscription, task};

async fn state(master: &Master) -> Value {
    master.get("/state.json").await.unwrap().json()
}

#[tokio::test]
async fn offers_are_accepted_and_tasks_run_and_end() {
    let cloud = Cloud::start().await;
    let [master] = cloud.masters(1).await;
    let mut slave = Slave::register(&master, &registration()).await;
    let mut framework = Framework::subscribe(&master, &subscription(None, 60.0)).await;

    let offer = framework.launch(&task("t1", 31003)).await;
    assert_eq!(
        (offer.slave_id.as_str(), offer.hostname.as_str()),
        (slave.id.as_str(), "s1")
    );
    assert_eq!(offer.resources, registration().resources);
    assert_eq!(offer.attributes["rack"], "r1");
    assert_eq!(slave.launched().await, task("t1", 31003));
    slave.reports(&framework.id, "t1", "TASK_RUNNING").await;
    framework.hears_state("t1", "TASK_RUNNING").await;

    // What is left is offered again; what is taken is not to be had.
    let rest = framework.offer().await;
    let left = Resources {
        mem: 512.0,
        ..resources(1.5, &[(31000, 31002), (31004, 31009)])
    };
    assert_eq!(rest.resources, left);
    let tasks = vec![task("t2", 31003)];
    framework
        .call(
            "accept",
            &Accept {
                offer_id: rest.id.clone(),
                tasks,
            },
        )
        .await;
    framework.hears_state("t2", "TASK_LOST").await;
    let tasks = vec![task("t3", 31004)];
    framework
        .call(
            "accept",
            &Accept {
                offer_id: rest.id,
                tasks,
            },
        )
        .await;
    framework.hears_state("t3", "TASK_LOST").await;

    let shown = state(&master).await;
    assert_eq!(shown["activated_slaves"], 1.0);
    let shown_slave = &shown["slaves"][0];
    assert_eq!(shown_slave["id"], slave.id);
    assert_eq!(shown_slave["hostname"], "s1");
    assert_eq!(shown_slave["pid"], "slave(1)@10.0.0.9:5051");
    assert_eq!(shown_slave["active"], true);
    assert_eq!(shown_slave["resources"]["ports"], "[31000-31009]");
    assert!(shown_slave["registered_time"].as_f64().unwrap() > 1.0e9);
    let shown_framework = &shown["frameworks"][0];
    assert_eq!(shown_framework["id"], framework.id);
    assert_eq!(shown_framework["name"], "marathon");
    assert_eq!(shown_framework["hostname"], "f1");
    assert_eq!(shown_framework["webui_url"], "http://f1:8080");
    assert_eq!(shown_framework["active"], true);
    assert_eq!(shown_framework["tasks"][0]["id"], "t1");
    assert_eq!(shown_framework["tasks"][0]["state"], "TASK_RUNNING");

    let task_id = "t1".to_owned();
    framework.call("kill", &KillTask { task_id }).await;
    let kill = |command| match command {
        SlaveCommand::Kill { task_id, .. } => Some(task_id),
        _ => None,
    };
    assert_eq!(slave.commands.hears("the end of a task", kill).await, "t1");
    slave.reports(&framework.id, "t1", "TASK_KILLED").await;
    framework.hears_state("t1", "TASK_KILLED").await;
    framework.reconcile(&["t1"]).await;
    framework.hears_state("t1", "TASK_LOST").await;
    let task_id = "t9".to_owned();
    framework.call("kill", &KillTask { task_id }).await;
    framework.hears_state("t9", "TASK_LOST").await;
    assert_eq!(
        state(&master).await["frameworks"][0]["tasks"],
        serde_json::json!([])
    );
}

#[tokio::test]
async fn a_declined_slave_is_offered_again_after_five_seconds_or_when_asked_for() {
    let cloud = Cloud::start().await;
    let [master] = cloud.masters(1).await;
    let _slave = Slave::register(&master, &registration()).await;
    let mut framework = Framework::subscribe(&master, &subscription(None, 60.0)).await;
    let mut offer_id = framework.offer().await.id;
    for revive in [false, true] {
        framework.call("decline", &Decline { offer_id }).await;
        let declined = Instant::now();
        if revive {
            framework.call("revive", &()).await;
        }
        offer_id = framework.offer().await.id;
        let waited = declined.elapsed();
        let expected = if revive {
            millis(0)..seconds(2)
        } else {
            seconds(4)..seconds(8)
        };
        assert!(expected.contains(&waited), "revive {revive}: {waited:?}");
    }
}

#[tokio::test]
async fn a_slave_is_known_by_its_address_and_name() {
    let cloud = Cloud::start().await;
    let [master] = cloud.masters(1).await;
    let slave = Slave::register(&master, &registration()).await;
    let id = Some(slave.id.clone());
    for (ip, hostname) in [("10.0.0.8", "s1"), ("10.0.0.9", "s2")] {
        let moved = Register {
            id: id.clone(),
            ip: ip.to_owned(),
            hostname: hostname.to_owned(),
            ..registration()
        };
        let answer = post(&master.address, "/standin/slaves", &moved).await;
        assert_eq!(answer.status, 403, "{ip} {hostname}");
        let Refused { reason } = serde_json::from_str(&answer.body).unwrap();
        assert!(reason.contains("different IP or hostname"), "{reason}");
    }

    // Away, it is not active but known; it comes back as itself.
    drop(slave);
    eventually("it is not active", seconds(5), async || {
        let slaves = state(&master).await["slaves"].clone();
        (slaves[0]["active"] == false).then_some(())
    })
    .await;
    assert_eq!(state(&master).await["deactivated_slaves"], 1.0);
    let again = Slave::register(
        &master,
        &Register {
            id: id.clone(),
            ..registration()
        },
    )
    .await;
    assert_eq!(Some(again.id.clone()), id);
    assert_eq!(state(&master).await["activated_slaves"], 1.0);

    // Who leaves for good is forgotten at once, and may not come back.
    let path = format!("/standin/slaves/{}/unregister", again.id);
    assert_eq!(post(&master.address, &path, &()).await.status, 200);
    assert_eq!(state(&master).await["slaves"], serde_json::json!([]));
    let answer = post(
        &master.address,
        "/standin/slaves",
        &Register { id, ..registration() },
    )
    .await;
    assert_eq!(answer.status, 403);
    // Without the id it is another slave.
    let new = Slave::register(&master, &registration()).await;
    assert_ne!(new.id, again.id);
}

#[tokio::test]
async fn a_new_leader_learns_everything_from_slaves_and_frameworks() {
    let cloud = Cloud::start().await;
    let [mut first, second, _third] = cloud.masters(2).await;
    let answer = post(&second.address, "/standin/slaves", &registration()).await;
    assert_eq!(answer.status, 503, "only the leader knows slaves");
    let mut slave = Slave::register(&first, &registration()).await;
    let mut framework = Framework::subscribe(&first, &subscription(None, 60.0)).await;
    framework.launch(&task("t1", 31003)).await;
    slave.launched().await;
    slave.reports(&framework.id, "t1", "TASK_RUNNING").await;

    cloud.kill(&mut first).await;
    second.leads().await;
    assert!(
        second.log().contains("Recovered 1 slaves from the registry"),
        "{}",
        second.log()
    );
    assert_eq!(state(&second).await["slaves"], serde_json::json!([]));

    let id = framework.id.clone();
    let mut framework = Framework::subscribe(&second, &subscription(Some(&id), 60.0)).await;
    assert_eq!(framework.id, id);
    // Its slave is in the registry and may have the task: nothing is said yet.
    framework.reconcile(&["t1"]).await;
    let heard = tokio::time::timeout(millis(1500), framework.update()).await;
    assert!(heard.is_err(), "{heard:?}");

    let running = RunningTask {
        framework_id: id.clone(),
        task: task("t1", 31003),
        state: "TASK_RUNNING".to_owned(),
    };
    let again = Register {
        id: Some(slave.id.clone()),
        tasks: vec![running],
        ..registration()
    };
    let slave = Slave::register(&second, &again).await;
    framework.reconcile(&["t1", "t2"]).await;
    framework.hears_state("t1", "TASK_RUNNING").await;
    framework.hears_state("t2", "TASK_LOST").await;
    assert_eq!(
        state(&second).await["frameworks"][0]["tasks"][0]["slave_id"],
        slave.id
    );
    assert_eq!(
        framework.offer().await.resources.ports,
        [(31000, 31002), (31004, 31009)]
    );
}

/// News for a framework that is away waits for it; one that stays away is removed, and its tasks with it.
#[tokio::test]
async fn a_framework_may_be_away_for_as_long_as_it_said() {
    let cloud = Cloud::start().await;
    let [master] = cloud.masters(1).await;
    let mut slave = Slave::register(&master, &registration()).await;
    let mut framework = Framework::subscribe(&master, &subscription(None, 4.0)).await;
    framework.launch(&task("t1", 31003)).await;
    slave.launched().await;
    let id = framework.id.clone();
    drop(framework);
    eventually("it is away", seconds(3), async || {
        (state(&master).await["frameworks"][0]["active"] == false).then_some(())
    })
    .await;
    slave.reports(&id, "t1", "TASK_RUNNING").await;

    let mut framework = Framework::subscribe(&master, &subscription(Some(&id), 2.0)).await;
    framework.hears_state("t1", "TASK_RUNNING").await;
    // A second one takes over.
    let mut taking_over = Framework::subscribe(&master, &subscription(Some(&id), 2.0)).await;
    let error = |event| match event {
        FrameworkEvent::Error { message } => Some(message),
        _ => None,
    };
    assert_eq!(
        framework.events.hears("it is replaced", error).await,
        "Framework failed over"
    );
    taking_over.offer().await;
    drop(taking_over);
    let kill = |command| match command {
        SlaveCommand::Kill { task_id, .. } => Some(task_id),
        _ => None,
    };
    assert_eq!(slave.commands.hears("the end of its task", kill).await, "t1");
    assert_eq!(state(&master).await["frameworks"], serde_json::json!([]));
    let answer = post(
        &master.address,
        "/standin/frameworks",
        &subscription(Some(&id), 2.0),
    )
    .await;
    let Refused { reason } = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(
        (answer.status, reason.as_str()),
        (403, "Framework has been removed")
    );
}

/// Five pings of fifteen seconds. Called with the other things that take long.
pub async fn a_slave_that_stays_away_is_removed() {
    let cloud = Cloud::start().await;
    let [master] = cloud.masters(1).await;
    let mut slave = Slave::register(&master, &registration()).await;
    let mut framework = Framework::subscribe(&master, &subscription(None, 60.0)).await;
    framework.launch(&task("t1", 31003)).await;
    slave.launched().await;
    let id = slave.id.clone();
    drop(slave);
    tokio::time::sleep(seconds(70)).await;
    assert_eq!(state(&master).await["slaves"][0]["active"], false);
    framework.hears_state("t1", "TASK_LOST").await;
    assert_eq!(state(&master).await["slaves"], serde_json::json!([]));
    let again = Register {
        id: Some(id),
        ..registration()
    };
    assert_eq!(post(&master.address, "/standin/slaves", &again).await.status, 403);
}
