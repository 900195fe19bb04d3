//! What takes a minute. All of it at once, so that it takes only one.

use std::time::Instant;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{eventually, seconds};
use crate::support::{Asker, Cloud, Master};
use crate::tasks;

#[tokio::test]
async fn what_takes_a_minute() {
    tokio::join!(
        a_fresh_log_without_all_masters_never_starts(),
        a_replica_that_comes_late_is_not_asked(),
        two_lost_disks_are_for_ever(),
        a_silent_connection_stays_open(),
        tasks::a_slave_that_stays_away_is_removed(),
    );
}

/// The elected one has 60 seconds, then it ends; the other one is next, and ends as well.
async fn a_fresh_log_without_all_masters_never_starts() {
    let cloud = Cloud::start().await;
    let [mut first, mut second] = std::array::from_fn(|_| cloud.master(2));
    first.start();
    cloud.node(&first).await;
    second.start();
    eventually("it is elected", seconds(10), async || {
        (first.scheduler().await == Some(503)).then_some(())
    })
    .await;
    gives_up_after_a_minute(&mut first, Instant::now()).await;
}

async fn gives_up_after_a_minute(master: &mut Master, elected: Instant) {
    tokio::time::sleep(seconds(50)).await;
    assert_eq!(master.scheduler().await, Some(503));
    assert_eq!(master.get("/health").await.unwrap().status, 200);
    let status = master.program().end(seconds(20)).await;
    assert_eq!(status.code(), Some(1));
    assert!(
        (seconds(55)..seconds(66)).contains(&elected.elapsed()),
        "{:?}",
        elected.elapsed()
    );
    assert!(
        master.log().contains("Failed to perform fetch within 1mins"),
        "{}",
        master.log()
    );
}

/// Measured: the leader of three with quorum 3 dies and its node is withdrawn at once; the next one asks two replicas,
/// and never the third one, which is back a moment later.
async fn a_replica_that_comes_late_is_not_asked() {
    let cloud = Cloud::start().await;
    let [mut first, mut second, mut third] = cloud.masters(2).await;
    for standby in [&mut second, &mut third] {
        cloud.kill(standby).await;
        standby.set("MESOS_QUORUM", "3");
        standby.start();
        standby.votes().await;
        cloud.node(standby).await;
    }
    first.set("MESOS_QUORUM", "3");
    cloud.kill(&mut first).await;
    eventually("it is elected", seconds(10), async || {
        (second.scheduler().await == Some(503)).then_some(())
    })
    .await;
    let elected = Instant::now();
    first.start();
    first.votes().await;
    gives_up_after_a_minute(&mut second, elected).await;
}

/// The survivor votes, the others have nothing, and the leader goes on as if nothing were wrong.
async fn two_lost_disks_are_for_ever() {
    let cloud = Cloud::start().await;
    let [first, mut second, mut third] = cloud.masters(2).await;
    for lost in [&mut second, &mut third] {
        cloud.kill(lost).await;
        lost.wipe();
    }
    second.start();
    third.start();
    let asker = Asker::new().await;
    // Several rounds of the recovery.
    tokio::time::sleep(seconds(25)).await;
    assert_eq!(asker.ask(&first.address).await.unwrap().status, 1);
    for lost in [&second, &third] {
        assert_eq!(asker.ask(&lost.address).await.unwrap().status, 4);
    }
    assert_eq!(first.scheduler().await, Some(405));
}

/// Longer than any usual patience with silence; then it can still be used.
async fn a_silent_connection_stays_open() {
    let cloud = Cloud::start().await;
    let [master] = cloud.masters(1).await;
    let mut connection = TcpStream::connect(&master.address).await.unwrap();
    let mut byte = [0];
    let silent = tokio::time::timeout(seconds(65), connection.read(&mut byte)).await;
    assert!(silent.is_err(), "{silent:?}");
    connection
        .write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    let mut answer = vec![0; 15];
    connection.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 200 OK");
}
