//! The agent beside a real HAProxy, in front of fake Marathons and ZooKeeper members: what becomes of connections
//! that live long.
#![allow(clippy::unwrap_used, clippy::panic)]

mod proxy_lab;

use std::time::Duration;

use mesoscloud_operator::cloud::haproxy::Kind;
use proxy_lab::fakes::{Fake, Role};
use proxy_lab::{Lab, request};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

/// Opens an event stream, and returns it once its first line is there, with the server's name.
async fn event_stream(lab: &Lab) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", lab.port)).await.unwrap();
    stream
        .write_all(b"GET /v2/events HTTP/1.1\r\nHost: cloud.example\r\n\r\n")
        .await
        .unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    let server = head
        .lines()
        .find_map(|line| line.strip_prefix("x-mesoscloud-server: "))
        .unwrap()
        .to_owned();
    (stream, server)
}

#[tokio::test(flavor = "multi_thread")]
async fn marathons_event_streams_survive_silence_and_end_with_the_leadership() {
    let lab = Lab::start(Kind::Marathon, 2).await;
    for (told, old, new) in [(true, 0, 1), (false, 1, 0)] {
        let (mut stream, server) = event_stream(&lab).await;
        assert_eq!(server, lab.fakes[old].server.name);
        // Every other patience of HAProxy is one second here.
        assert!(
            timeout(Duration::from_secs(3), stream.read_u8()).await.is_err(),
            "a silent stream goes on"
        );
        lab.fakes[old].become_(Role::Standby);
        lab.fakes[new].become_(Role::Leader);
        if told {
            lab.tell(Some(new));
        }
        let deposed = Instant::now();
        let ended = timeout(proxy_lab::PATIENCE, stream.read_u8()).await;
        assert!(ended.expect("the stream of a deposed Marathon ends").is_err());
        println!("deposed → stream ended (told: {told}): {:?}", deposed.elapsed());
        let name = lab.fakes[new].server.name.clone();
        // Until a check has found it, any of them may answer.
        lab.until("the new one is known to lead", async |lab| {
            let states = lab.command("show servers state marathon-leader").await.unwrap();
            states
                .lines()
                .any(|line| line.contains(&format!(" {name} 127.0.0.1 2 ")))
        })
        .await;
        assert_eq!(event_stream(&lab).await.1, name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_stream_does_not_outlive_a_reload_for_long() {
    let mut lab = Lab::start(Kind::Marathon, 2).await;
    let (mut stream, _) = event_stream(&lab).await;
    lab.fakes
        .push(Fake::start(Kind::Marathon, 2, Role::Standby).await);
    lab.tell(Some(0));
    // The replaced worker would not see that its Marathon is deposed.
    let ended = timeout(proxy_lab::PATIENCE, stream.read_u8()).await;
    assert!(ended.expect("the stream ends").is_err());
    assert_eq!(event_stream(&lab).await.1, "marathon-0");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_leading_marathon_what_may_not_be_sent_twice_waits_with_a_standby() {
    let mut lab = Lab::start(Kind::Marathon, 2).await;
    lab.fakes[0].kill().await;
    let body = "marathon-1 Standby";
    lab.until("the other answers", async |lab| {
        let answer = request(lab.port, "POST", "/v2/apps").await;
        answer.is_some_and(|answer| answer.body == body)
    })
    .await;
    // Whatever may be sent twice waits for the leader itself.
    let held = tokio::spawn(request(lab.port, "GET", "/"));
    lab.until("one is held", async |lab| {
        lab.status.metrics().contains("mesoscloud_proxy_held 1\n")
    })
    .await;
    lab.fakes[1].become_(Role::Leader);
    assert_eq!(held.await.unwrap().unwrap().body, "marathon-1 Leader");
    lab.fakes[1].kill().await;
    lab.until("nobody answers", async |lab| {
        let answer = request(lab.port, "POST", "/v2/apps").await;
        answer.is_some_and(|answer| answer.status == 503 && answer.head.contains("retry-after"))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn zookeeper_connections_survive_a_reload_and_a_failed_check() {
    let mut lab = Lab::start(Kind::ZooKeeper, 3).await;
    let mut stream = TcpStream::connect(("127.0.0.1", lab.port)).await.unwrap();
    let mut ping = async || {
        let mut answer = [0; 64];
        stream.write_all(b"ping").await.unwrap();
        let n = stream.read(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer[..n]).into_owned()
    };
    let member = ping().await;
    assert!(member.ends_with(" ping"), "{member:?}");
    let worker = lab.worker().await;
    lab.fakes
        .push(Fake::start(Kind::ZooKeeper, 3, Role::Standby).await);
    lab.tell(None);
    lab.until("HAProxy has reloaded", async |lab| {
        lab.status
            .metrics()
            .contains("reloads_total{outcome=\"success\"} 1")
    })
    .await;
    assert_ne!(lab.worker().await, worker);
    assert_eq!(ping().await, member);
    // A member that does not show a Mode gets nobody new and cuts nobody off.
    let ordinal: usize = member[3..4].parse().unwrap();
    lab.fakes[ordinal].become_(Role::Standby);
    lab.until("it is known not to serve", async |lab| {
        lab.status
            .metrics()
            .contains(&format!("server_up{{server=\"zk-{ordinal}\"}} 0\n"))
    })
    .await;
    assert_eq!(ping().await, member);
    for _ in 0..8 {
        let mut stream = TcpStream::connect(("127.0.0.1", lab.port)).await.unwrap();
        stream.write_all(b"ping").await.unwrap();
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).await.unwrap();
        let serves = usize::from(answer[3] - b'0');
        assert!(serves != ordinal && serves != 3, "zk-{serves} shows no Mode");
    }
}
