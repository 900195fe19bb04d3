//! Who leads, how it is shown, and how it ends. Lower bounds are the original's: a stand-in must never be kinder.
//! Upper bounds leave room for a busy machine.

#![allow(clippy::unwrap_used)] // tests

mod harness;

use std::time::Instant;

use harness::marathon::{Marathon, impostor, node_of, settings};
use harness::program::Program;
use harness::zookeeper::ZooKeeper;
use harness::{eventually, free_port, http, millis, seconds};
use hyper::Method;

const MASTER: &str = "127.0.0.1:1";

#[tokio::test]
async fn an_unknown_variable_is_an_unknown_flag() {
    let zookeeper = ZooKeeper::start().await;
    for (name, value) in [
        ("MARATHON_PORT", "tcp://10.0.0.1:8080"),
        ("MARATHON_SERVICE_HOST", "10.0.0.1"),
        ("MARATHON_PORT_8080_TCP_ADDR", "10.0.0.1"),
    ] {
        let mut environment = settings(&zookeeper, MASTER);
        environment.insert(name.to_owned(), value.to_owned());
        let words = Program::start("marathon", &environment)
            .fails(1, seconds(5))
            .await;
        let flag = name.trim_start_matches("MARATHON_").to_lowercase();
        assert!(words.contains(&format!("Unknown option '{flag}'")), "{words}");
        assert!(words.contains("Usage"), "{words}");
    }
    let mut environment = settings(&zookeeper, MASTER);
    environment.insert("MARATHON_APP_ID".to_owned(), "not a flag".to_owned());
    let mut program = Program::start("marathon", &environment);
    tokio::time::sleep(seconds(1)).await;
    assert!(program.running());
}

#[tokio::test]
async fn the_leader_and_a_standby() {
    let zookeeper = ZooKeeper::start().await;
    let client = zookeeper.client().await;
    let start = Instant::now();
    let leader = Marathon::start(&zookeeper, MASTER);
    leader.ready().await;
    // A JVM takes its time: 6.5 s were measured.
    assert!(start.elapsed() >= seconds(6), "{:?}", start.elapsed());
    let standby = Marathon::start(&zookeeper, MASTER);

    let node = leader.node(&client).await;
    let name = node.rsplit('/').next().unwrap();
    let digits = name.strip_prefix("member_").unwrap();
    assert!(
        digits.len() == 10 && digits.bytes().all(|byte| byte.is_ascii_digit()),
        "{name}"
    );
    let (rights, about) = client.get_acl(&node).await.unwrap();
    assert!(about.ephemeral_owner != 0);
    assert_eq!((rights[0].scheme(), rights[0].id()), ("world", "anyone"));
    assert!(standby.node(&client).await > node);

    // Every path of the standby, /ping included, is answered by the leader.
    let url = format!("http://{}", leader.name());
    for path in ["/ping", "/v2/info", "/v2/leader", "/ui/", "/v2/apps"] {
        let own = http::get(leader.port, path).await.unwrap();
        assert_eq!(
            (own.status, own.header("x-marathon-leader")),
            (200, Some(url.as_str())),
            "{path}"
        );
        assert_eq!(own.header("x-marathon-via"), None, "{path}");
        let proxied = http::get(standby.port, path).await.unwrap();
        assert_eq!(
            (proxied.status, proxied.header("x-marathon-leader")),
            (200, Some(url.as_str())),
            "{path}"
        );
        assert_eq!(
            proxied.header("x-marathon-via"),
            Some(format!("1.1 {}", standby.name()).as_str())
        );
        assert_eq!(proxied.body, own.body, "{path}");
    }
    assert_eq!(http::get(leader.port, "/ping").await.unwrap().body, "pong\n");
    assert!(
        http::get(standby.port, "/ui/")
            .await
            .unwrap()
            .body
            .contains("<title>Marathon</title>")
    );
    let root = http::get(standby.port, "/").await.unwrap();
    assert_eq!((root.status, root.header("location")), (302, Some("ui/")));
    let info = http::get(standby.port, "/v2/info").await.unwrap().json();
    assert_eq!(
        (info["version"].as_str(), info["elected"].as_bool()),
        (Some("1.1.1"), Some(true))
    );
    assert_eq!(info["leader"], leader.name());
    // Status, headers and body of errors pass through as well.
    assert_eq!(
        http::get(standby.port, "/v2/apps/none").await.unwrap().status,
        404
    );
    assert_eq!(http::get(standby.port, "/nothing").await.unwrap().status, 404);

    // A request that has been here before goes no further.
    let via = format!("1.1 {}", standby.name());
    let looping = http::Call {
        method: Method::GET,
        port: standby.port,
        path: "/ping",
        headers: &[("X-Marathon-Via", &via)],
        body: String::new(),
    };
    let looping = looping.send().await.unwrap();
    assert_eq!(looping.status, 502);
    assert!(
        looping.body.contains("Detected proxying loop."),
        "{}",
        looping.body
    );
}

#[tokio::test]
async fn a_leader_that_refuses_gives_502_and_itself_unready_503_after_11_looks() {
    let zookeeper = ZooKeeper::start().await;
    let client = zookeeper.client().await;
    let dead = impostor(&client, &format!("127.0.0.1:{}", free_port())).await;
    let marathon = Marathon::start(&zookeeper, MASTER);
    marathon.node(&client).await;
    let refused = eventually("502", seconds(5), async || {
        http::get(marathon.port, "/ping")
            .await
            .ok()
            .filter(|reply| reply.status == 502)
    })
    .await;
    assert!(refused.took < millis(1000), "{:?}", refused.took);
    assert!(
        refused.body.contains("Connection to leader refused."),
        "{}",
        refused.body
    );
    for header in ["x-marathon-leader", "x-marathon-via"] {
        assert_eq!(refused.header(header), None);
    }

    // The lowest node bears its own name, but it is not its own: its predecessor's, whose session lasts.
    let old_self = zookeeper.client().await;
    client.delete(&dead, None).await.unwrap();
    marathon.ready().await;
    let mut marathon = marathon;
    marathon.program.signal("KILL");
    marathon.program.end(seconds(5)).await;
    let own_name = marathon.name();
    eventually("the session ends", seconds(10), async || {
        node_of(&client, &own_name).await.is_none().then_some(())
    })
    .await;
    impostor(&old_self, &own_name).await;
    let marathon = Marathon::with(marathon.environment.clone());
    let held = eventually("an answer", seconds(20), async || {
        http::get(marathon.port, "/ping").await.ok()
    })
    .await;
    assert_eq!(held.status, 503, "{held:?}");
    assert!(
        held.took >= millis(2700) && held.took < millis(5000),
        "{:?}",
        held.took
    );
    assert!(
        held.body.contains("Could not determine the current leader"),
        "{}",
        held.body
    );
    for header in ["x-marathon-leader", "x-marathon-via"] {
        assert_eq!(held.header(header), None);
    }
}

#[tokio::test]
async fn a_leader_told_to_end_closes_its_port_and_takes_its_node_away() {
    let zookeeper = ZooKeeper::start().await;
    let client = zookeeper.client().await;
    let (mut leader, mut standby) = pair(&zookeeper).await;
    let node = leader.node(&client).await;

    let start = Instant::now();
    leader.program.signal("TERM");
    eventually("its port is closed", millis(500), async || {
        http::get(leader.port, "/ping").await.err()
    })
    .await;
    eventually("its node is gone", seconds(2), async || {
        client.check_stat(&node).await.unwrap().is_none().then_some(())
    })
    .await;
    assert!(start.elapsed() >= millis(50), "{:?}", start.elapsed());
    assert_eq!(leader.program.end(seconds(5)).await.code(), Some(143));
    assert!(start.elapsed() < seconds(3), "{:?}", start.elapsed());
    standby.ready().await;
    assert!(start.elapsed() >= millis(570), "{:?}", start.elapsed());

    // A standby leaves its node to the end of its session.
    let other = Marathon::with(leader.environment.clone());
    let node = other.node(&client).await;
    let mut other = other;
    other.program.signal("TERM");
    assert_eq!(other.program.end(seconds(5)).await.code(), Some(143));
    tokio::time::sleep(seconds(2)).await;
    assert!(client.check_stat(&node).await.unwrap().is_some());
    assert_eq!(http::get(standby.port, "/ping").await.unwrap().status, 200);
    let gone = async || client.check_stat(&node).await.unwrap().is_none().then_some(());
    eventually("the session ends", seconds(5), gone).await;
    assert!(standby.program.running());
}

#[tokio::test]
async fn a_killed_leader_s_node_stays_until_its_session_ends() {
    let zookeeper = ZooKeeper::start().await;
    let client = zookeeper.client().await;
    let (mut leader, standby) = pair(&zookeeper).await;
    let node = leader.node(&client).await;
    let start = Instant::now();
    leader.program.signal("KILL");
    leader.program.end(seconds(5)).await;
    let refused = http::get(standby.port, "/ping").await.unwrap();
    assert_eq!(refused.status, 502);
    let gone = async || client.check_stat(&node).await.unwrap().is_none().then_some(());
    eventually("the session ends", seconds(10), gone).await;
    assert!(start.elapsed() >= seconds(2), "{:?}", start.elapsed());
    standby.ready().await;
}

#[tokio::test]
async fn a_node_deleted_for_a_dead_leader_elects_the_next_within_a_second() {
    let zookeeper = ZooKeeper::start().await;
    let client = zookeeper.client().await;
    let (mut leader, standby) = pair(&zookeeper).await;
    let node = leader.node(&client).await;
    leader.program.signal("KILL");
    leader.program.end(seconds(5)).await;
    let start = Instant::now();
    client.delete(&node, None).await.unwrap();
    // Wait until the standby knows, then ask: it holds the request.
    tokio::time::sleep(millis(50)).await;
    let held = http::get(standby.port, "/ping").await.unwrap();
    assert_eq!((held.status, held.header("x-marathon-via")), (200, None));
    let took = start.elapsed();
    assert!(took >= millis(570) && took < seconds(4), "{took:?}");
}

#[tokio::test]
async fn delete_v2_leader_abdicates_and_joins_again() {
    let zookeeper = ZooKeeper::start().await;
    let client = zookeeper.client().await;
    let (leader, standby) = pair(&zookeeper).await;
    let node = leader.node(&client).await;
    let start = Instant::now();
    let reply = http::delete(standby.port, "/v2/leader").await.unwrap();
    assert_eq!(
        (reply.status, reply.json()["message"].as_str()),
        (200, Some("Leadership abdicated"))
    );
    let gone = async || client.check_stat(&node).await.unwrap().is_none().then_some(());
    eventually("its node is gone", seconds(2), gone).await;
    let again = leader.node(&client).await;
    assert!(again > node, "{again}");
    let took = start.elapsed();
    assert!(took >= millis(500) && took < seconds(4), "{took:?}");
    let new = eventually("the other leads", seconds(5), async || {
        let reply = http::get(leader.port, "/v2/leader")
            .await
            .ok()
            .filter(|reply| reply.status == 200)?;
        Some(reply.json()["leader"].as_str()?.to_owned())
    })
    .await;
    assert_eq!(new, standby.name());
}

#[tokio::test]
async fn any_zookeeper_disconnect_ends_the_leadership() {
    let mut zookeeper = ZooKeeper::start().await;
    let leader = Marathon::start(&zookeeper, MASTER);
    leader.ready().await;
    let client = zookeeper.client().await;
    let node = leader.node(&client).await;
    drop(client);
    zookeeper.stop();
    let held = eventually("503", seconds(10), async || {
        http::get(leader.port, "/ping")
            .await
            .ok()
            .filter(|reply| reply.status == 503)
    })
    .await;
    assert!(held.took >= millis(2700), "{:?}", held.took);
    // It waits for ZooKeeper and comes back, as a new candidate.
    zookeeper.start_again().await;
    let client = zookeeper.client().await;
    eventually("a higher number", seconds(20), async || {
        node_of(&client, &leader.name())
            .await
            .filter(|again| *again > node)
    })
    .await;
    leader.ready().await;
}

#[tokio::test]
async fn a_libprocess_address_that_cannot_be_bound_ends_it_when_it_leads() {
    let zookeeper = ZooKeeper::start().await;
    let mut environment = settings(&zookeeper, MASTER);
    environment.insert("LIBPROCESS_IP".to_owned(), "192.0.2.1".to_owned());
    let words = Program::start("marathon", &environment)
        .dies_by(6, seconds(20))
        .await;
    assert!(words.contains("Failed to bind on 192.0.2.1:0"), "{words}");
}

#[tokio::test]
async fn it_waits_for_zookeeper_before_it_listens() {
    let mut zookeeper = ZooKeeper::start().await;
    zookeeper.stop();
    let marathon = Marathon::start(&zookeeper, MASTER);
    tokio::time::sleep(seconds(8)).await;
    assert!(http::get(marathon.port, "/ping").await.is_err());
    zookeeper.start_again().await;
    marathon.ready().await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_30_seconds_and_at_once_when_it_is_killed() {
    use tokio::io::AsyncReadExt;
    let zookeeper = ZooKeeper::start().await;
    let marathon = Marathon::start(&zookeeper, MASTER);
    marathon.ready().await;
    let connect = async || {
        tokio::net::TcpStream::connect(("127.0.0.1", marathon.port))
            .await
            .unwrap()
    };
    let (mut idle, start) = (connect().await, Instant::now());
    assert_eq!(idle.read(&mut [0; 16]).await.unwrap_or(0), 0);
    let took = start.elapsed();
    assert!(took >= seconds(29) && took < seconds(35), "{took:?}");

    let mut held = connect().await;
    marathon.program.signal("KILL");
    let ended = tokio::time::timeout(seconds(5), held.read(&mut [0; 16]))
        .await
        .unwrap();
    assert_eq!(ended.unwrap_or(0), 0);
}

/// A leader and a standby that follows it.
async fn pair(zookeeper: &ZooKeeper) -> (Marathon, Marathon) {
    let leader = Marathon::start(zookeeper, MASTER);
    tokio::time::sleep(millis(300)).await;
    let standby = Marathon::start(zookeeper, MASTER);
    leader.ready().await;
    let name = eventually("both follow one leader", seconds(20), async || {
        let reply = http::get(standby.port, "/v2/leader")
            .await
            .ok()
            .filter(|reply| reply.status == 200)?;
        Some(reply.json()["leader"].as_str()?.to_owned())
    })
    .await;
    if name == leader.name() {
        (leader, standby)
    } else {
        (standby, leader)
    }
}
