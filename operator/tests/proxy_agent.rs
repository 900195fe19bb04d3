//! The agent beside a real HAProxy, in front of fake masters: what clients see when leaders, members and programs change.
#![allow(clippy::unwrap_used, clippy::panic)]

mod proxy_lab;

use std::time::Duration;

use mesoscloud_operator::cloud::haproxy::{Following, Kind, Server};
use proxy_lab::client::{Client, assert_no_standby};
use proxy_lab::fakes::{Fake, Role};
use proxy_lab::{Lab, request};
use tokio::time::{Instant, sleep};

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_leader_reloads_nothing_and_loses_nothing() {
    let lab = Lab::start(Kind::Mesos, 3).await;
    let worker = lab.worker().await;
    let port = lab.port;
    let slow = tokio::spawn(request(port, "GET", "/slow"));
    lab.until("the slow request is under way", async |lab| {
        let sessions = lab.command("show stat").await.unwrap();
        sessions
            .lines()
            .any(|line| line.starts_with("mesos,master-0,0,0,1,"))
    })
    .await;
    lab.fakes[0].become_(Role::Standby);
    lab.fakes[1].become_(Role::Recovering);
    // At the start the agent may have been faster than HAProxy's first check.
    let switched = "mesoscloud_proxy_applied_seconds_count{cause=\"Leader\"} ";
    let told = lab.metric(switched);
    lab.tell(Some(1));
    sleep(Duration::from_millis(300)).await;
    let ready = Instant::now();
    lab.fakes[1].become_(Role::Leader);
    lab.until_served_by("master-1").await;
    println!("ready → served: {:?}", ready.elapsed());
    assert_eq!(lab.worker().await, worker, "nothing was reloaded");
    assert_eq!(
        slow.await.unwrap().unwrap().body,
        "master-0 Standby",
        "what is in flight ends as it began"
    );
    lab.until("the file has the new leader first", async |lab| {
        let first = lab
            .file("haproxy.cfg")
            .lines()
            .find(|l| l.starts_with("    server "))
            .unwrap()
            .to_owned();
        first.contains("server master-1 ") && !first.ends_with("backup")
    })
    .await;
    lab.until("the metrics tell", async |lab| {
        let metrics = lab.status.metrics();
        metrics.contains("mesoscloud_proxy_server_up{server=\"master-1\"} 1\n")
            && metrics.contains("mesoscloud_proxy_server_up{server=\"master-0\"} 0\n")
            && metrics.contains("mesoscloud_proxy_leader_switches_total 1\n")
            && lab.metric(switched) == told + 1
            && !metrics.contains("mesoscloud_proxy_reloads_total{")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_only_said_to_lead_is_not_served() {
    let lab = Lab::start(Kind::Mesos, 3).await;
    let client = Client::start(lab.port);
    // The operator is wrong, or late.
    lab.tell(Some(2));
    sleep(Duration::from_millis(1500)).await;
    let counts = client.end().await;
    assert_eq!(
        counts.keys().collect::<Vec<_>>(),
        ["200 master-0 Leader"],
        "{counts:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn new_members_and_addresses_are_reloaded_and_believed_down() {
    let mut lab = Lab::start(Kind::Mesos, 3).await;
    let worker = lab.worker().await;
    let client = Client::start(lab.port);
    // Two more masters, and the leader's place at the old address is a standby's.
    for n in 3..5 {
        lab.fakes.push(Fake::start(Kind::Mesos, n, Role::Standby).await);
    }
    let mut servers: Vec<_> = lab.fakes.iter().map(|fake| fake.server.clone()).collect();
    (servers[0].address, servers[4].address) = (servers[4].address.clone(), servers[0].address.clone());
    lab.write(lab.desired(&servers, None));
    lab.until("HAProxy has reloaded", async |lab| {
        lab.status
            .metrics()
            .contains("reloads_total{outcome=\"success\"} 1")
    })
    .await;
    assert_ne!(lab.worker().await, worker);
    // What was master-0 is called master-4 now, and is found by a check.
    lab.until_served_by("master-4").await;
    let known = lab.command("show servers state mesos").await.unwrap();
    for Server { name, address } in &servers {
        let port = address.rsplit_once(':').unwrap().1;
        assert!(
            known
                .lines()
                .any(|l| l.contains(&format!(" {name} 127.0.0.1 ")) && l.contains(&format!(" {port} "))),
            "{name} {address}: {known}"
        );
    }
    let counts = client.end().await;
    println!("{counts:?}");
    assert_no_standby(&counts);
    assert!(
        !counts.contains_key("nothing"),
        "a reload refuses nobody: {counts:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn unchanged_servers_stay_up_over_a_reload() {
    let mut lab = Lab::start(Kind::Mesos, 3).await;
    let client = Client::start(lab.port);
    for n in 3..5 {
        lab.fakes.push(Fake::start(Kind::Mesos, n, Role::Standby).await);
        lab.tell(Some(0));
        let reloads = format!("reloads_total{{outcome=\"success\"}} {}", n - 2);
        lab.until("HAProxy has reloaded", async |lab| {
            lab.status.metrics().contains(&reloads)
        })
        .await;
        assert!(lab.status.ready().0);
    }
    let counts = client.end().await;
    assert_eq!(
        counts.keys().collect::<Vec<_>>(),
        ["200 master-0 Leader"],
        "{counts:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_configuration_changes_nothing() {
    let mut lab = Lab::start(Kind::Mesos, 3).await;
    let worker = lab.worker().await;
    let client = Client::start(lab.port);
    let good = lab.file("haproxy.cfg");
    let servers: Vec<_> = lab.fakes.iter().map(|fake| fake.server.clone()).collect();
    let mut broken = lab.desired(&servers[..2], Some(0));
    broken.cfg.push_str("    nonsense\n");
    lab.write(broken.clone());
    lab.until("the refusal is told", async |lab| {
        lab.status.metrics().contains("settings_refused 1\n")
    })
    .await;
    let (ready, text) = lab.status.ready();
    assert!(ready && text.contains("unknown keyword 'nonsense'"), "{text}");
    lab.until("the last good file is back", async |lab| {
        lab.file("haproxy.cfg") == good
    })
    .await;
    // It still follows the leader.
    lab.fakes[0].kill().await;
    sleep(Duration::from_millis(50)).await;
    lab.fakes[0].revive(Role::Standby).await;
    lab.fakes[1].become_(Role::Leader);
    broken.state.leader = Some("master-1".to_owned());
    lab.write(broken);
    lab.until_served_by("master-1").await;
    assert_eq!(lab.worker().await, worker, "the old worker goes on");
    let counts = client.end().await;
    assert_no_standby(&counts);
    // Whatever is restarted now, starts with what is good.
    lab.kill_agent().await;
    lab.kill_haproxy().await;
    lab.start_agent();
    lab.start_haproxy().await;
    lab.until_served_by("master-1").await;
    lab.until("the refusal is told again", async |lab| {
        lab.status.metrics().contains("settings_refused 1\n")
    })
    .await;
    // Mended.
    lab.write(lab.desired(&servers[1..], Some(1)));
    lab.until("the new one is taken", async |lab| {
        let metrics = lab.status.metrics();
        metrics.contains("settings_refused 0\n") && metrics.contains("reloads_total{outcome=\"success\"} 1\n")
    })
    .await;
    lab.until_served_by("master-1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn haproxy_follows_without_the_agent_and_the_agent_takes_up_where_it_was() {
    let mut lab = Lab::start(Kind::Mesos, 3).await;
    let worker = lab.worker().await;
    lab.kill_agent().await;
    lab.fakes[0].kill().await;
    lab.fakes[1].become_(Role::Leader);
    println!("checks alone: {:?}", lab.until_served_by("master-1").await);
    // The API server is away too: it goes by what it finds.
    lab.forget();
    lab.start_agent();
    lab.until("the agent is ready", async |lab| lab.status.ready().0)
        .await;
    lab.fakes[0].revive(Role::Standby).await;
    lab.fakes[1].become_(Role::Standby);
    lab.fakes[2].become_(Role::Leader);
    lab.until_served_by("master-2").await;
    assert_eq!(lab.worker().await, worker);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_haproxy_that_starts_believes_nobody() {
    let mut lab = Lab::start(Kind::Mesos, 3).await;
    for round in 0..3 {
        let (old, new) = (round, (round + 1) % 3);
        let client = Client::start(lab.port);
        lab.kill_haproxy().await;
        lab.until("the agent has noticed", async |lab| !lab.status.ready().0)
            .await;
        lab.fakes[old].become_(Role::Standby);
        lab.fakes[new].become_(Role::Leader);
        lab.start_haproxy().await;
        let name = lab.fakes[new].server.name.clone();
        println!("start → served: {:?}", lab.until_served_by(&name).await);
        lab.until("the proxy is ready", async |lab| lab.status.ready().0)
            .await;
        assert_no_standby(&client.end().await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_is_never_served() {
    let mut lab = Lab::start(Kind::Mesos, 3).await;
    let client = Client::start(lab.port);
    let mut gaps = Vec::new();
    for round in 0..12 {
        let (old, new) = (round % 3, (round + 1) % 3);
        let killed = Instant::now();
        lab.fakes[old].kill().await;
        sleep(Duration::from_millis(40)).await;
        lab.fakes[new].become_(Role::Recovering);
        // In odd rounds the operator is away.
        if round % 2 == 0 {
            lab.tell(Some(new));
        }
        sleep(Duration::from_millis(40)).await;
        lab.fakes[new].become_(Role::Leader);
        sleep(Duration::from_millis(40)).await;
        lab.fakes[old].revive(Role::Standby).await;
        let name = lab.fakes[new].server.name.clone();
        lab.until_served_by(&name).await;
        gaps.push(killed.elapsed());
        sleep(Duration::from_millis(300)).await;
    }
    let counts = client.end().await;
    println!(
        "{counts:?}\nkilled → next served (leader ready at 80 ms; odd rounds by checks alone): {gaps:?}"
    );
    assert_no_standby(&counts);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_back_as_a_standby_before_the_next_check_finds_the_door_closed() {
    let mut lab = Lab::start_with(Kind::Mesos, 3, Following::default()).await;
    for round in 0..10 {
        // As long as a connection to a new process may take.
        sleep(Duration::from_millis(200)).await;
        // Nobody asks in between, and nobody else leads. Containers take longer.
        lab.fakes[0].kill().await;
        sleep(Duration::from_millis(50)).await;
        lab.fakes[0].revive(Role::Standby).await;
        for _ in 0..20 {
            let answer = lab.get("/").await.unwrap();
            assert_eq!(
                (answer.status, answer.server.as_deref()),
                (503, None),
                "{round}: {answer:?}"
            );
        }
        lab.fakes[0].become_(Role::Leader);
        lab.until_served_by("master-0").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_and_servers_are_told_what_a_proxy_tells() {
    let mut lab = Lab::start_with(Kind::Mesos, 3, Following::default()).await;
    let seen = lab.get("/headers").await.unwrap();
    for header in [
        "x-forwarded-for: 127.0.0.1",
        "x-forwarded-proto: http",
        "x-forwarded-host: cloud.example",
    ] {
        assert!(
            seen.body.lines().any(|line| line.eq_ignore_ascii_case(header)),
            "{header}: {}",
            seen.body
        );
    }
    lab.fakes[0].kill().await;
    lab.until("there is nobody to ask", async |lab| {
        lab.get("/").await.is_some_and(|answer| answer.status == 503)
    })
    .await;
    let nobody = lab.get("/").await.unwrap();
    assert!(
        nobody.head.to_ascii_lowercase().contains("retry-after: 1"),
        "{}",
        nobody.head
    );
    assert_eq!(
        (nobody.server, nobody.body.as_str()),
        (None, "No Mesos master leads at the moment.\n")
    );
    let post = request(lab.port, "POST", "/").await.unwrap();
    assert_eq!(post.status, 503);
    // A proxy without anybody to ask is ready: it is the one that can say so.
    assert!(lab.status.ready().0);
}
