//! What keeps a slave from starting, in the original's words.

#![allow(clippy::unwrap_used)] // tests

mod harness;

use std::path::Path;

use harness::docker::FakeDocker;
use harness::program::{Environment, Program, environment};
use harness::{eventually, free_port, http, millis, seconds};
use tempfile::TempDir;

const CPU: &str = "cgroup /sys/fs/cgroup/cpu cgroup rw,relatime,cpu 0 0\n";

/// A machine as the slave's checks see it.
fn machine(mounts: &str) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(root.path().join("sbin")).unwrap();
    std::fs::create_dir_all(root.path().join("proc")).unwrap();
    std::fs::write(root.path().join("sbin/init"), "").unwrap();
    std::fs::write(root.path().join("proc/mounts"), mounts).unwrap();
    root
}

fn slave(root: &Path, docker: &FakeDocker) -> Environment {
    environment([
        ("MESOS_MASTER", "127.0.0.1:1".to_owned()),
        ("MESOS_IP", "127.0.0.1".to_owned()),
        ("MESOS_PORT", free_port().to_string()),
        ("MESOS_HOSTNAME", "slave1".to_owned()),
        (
            "MESOS_RESOURCES",
            "cpus:1;mem:512;disk:100;ports:[31000-31009]".to_owned(),
        ),
        ("MESOS_WORK_DIR", root.join("work").display().to_string()),
        ("MESOS_CONTAINERIZERS", "docker,mesos".to_owned()),
        ("MESOS_DOCKER", docker.program().display().to_string()),
        ("STANDIN_ROOT", root.display().to_string()),
    ])
}

#[tokio::test]
async fn without_sbin_init_it_aborts() {
    let (root, docker) = (machine(CPU), FakeDocker::new());
    std::fs::remove_file(root.path().join("sbin/init")).unwrap();
    let words = Program::start("slave", &slave(root.path(), &docker))
        .dies_by(6, seconds(10))
        .await;
    assert!(words.contains("Assertion `isError()' failed"), "{words}");
}

#[tokio::test]
async fn without_cgroup_v1_cpu_the_docker_containerizer_cannot_be() {
    let docker = FakeDocker::new();
    let root = machine("cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n");
    let mut environment = slave(root.path(), &docker);
    let words = Program::start("slave", &environment).fails(1, seconds(10)).await;
    assert!(
        words.contains("Failed to find a mounted cgroups hierarchy for the 'cpu' subsystem"),
        "{words}"
    );

    // The mesos containerizer alone does not care.
    environment.insert("MESOS_CONTAINERIZERS".to_owned(), "mesos".to_owned());
    let port = environment["MESOS_PORT"].parse().unwrap();
    let mut program = Program::start("slave", &environment);
    eventually("it serves", seconds(10), async || {
        http::get(port, "/health").await.ok()
    })
    .await;
    assert!(program.running());
}

#[tokio::test]
async fn docker_s_version_must_parse() {
    let (root, docker) = (machine(CPU), FakeDocker::new());
    docker.write("version", "Docker version 26.1.5+dfsg1, build a72d7cd\n");
    let words = Program::start("slave", &slave(root.path(), &docker))
        .fails(1, seconds(10))
        .await;
    assert!(words.contains("Failed to parse docker version"), "{words}");
}

#[tokio::test]
async fn a_docker_that_does_not_answer_ends_it() {
    let (root, docker) = (machine(CPU), FakeDocker::new());
    docker.write("dead", "");
    let words = Program::start("slave", &slave(root.path(), &docker))
        .fails(1, seconds(10))
        .await;
    assert!(words.contains("Failed to perform recovery"), "{words}");
    assert!(words.contains("Cannot connect to the Docker daemon"), "{words}");
}

#[tokio::test]
async fn a_missing_docker_program_ends_it() {
    let (root, docker) = (machine(CPU), FakeDocker::new());
    let mut environment = slave(root.path(), &docker);
    environment.insert("MESOS_DOCKER".to_owned(), "/nonexistent/docker".to_owned());
    let words = Program::start("slave", &environment).fails(1, seconds(10)).await;
    assert!(words.contains("Failed to get docker version"), "{words}");
}

#[tokio::test]
async fn a_known_flag_that_does_not_parse_ends_it_and_unknown_ones_do_not() {
    let (root, docker) = (machine(CPU), FakeDocker::new());
    let mut environment = slave(root.path(), &docker);
    environment.insert("MESOS_SERVICE_HOST".to_owned(), "10.0.0.1".to_owned());
    environment.insert("MESOS_PORT".to_owned(), "tcp://10.0.0.1:5050".to_owned());
    let words = Program::start("slave", &environment).fails(1, seconds(10)).await;
    assert!(words.contains("Failed to load flag 'port'"), "{words}");
    environment.remove("MESOS_MASTER");
    let words = Program::start("slave", &environment).fails(1, seconds(10)).await;
    assert!(words.contains("--master"), "{words}");
}

#[tokio::test]
async fn one_zookeeper_name_that_does_not_resolve_ends_it() {
    let (root, docker) = (machine(CPU), FakeDocker::new());
    let mut environment = slave(root.path(), &docker);
    environment.insert(
        "MESOS_MASTER".to_owned(),
        "zk://127.0.0.1:1,no-such.invalid:2181/mesos".to_owned(),
    );
    let words = Program::start("slave", &environment).fails(1, seconds(20)).await;
    assert!(
        words.contains("zookeeper_init: No such file or directory"),
        "{words}"
    );
}

#[tokio::test]
async fn before_it_is_registered_it_is_healthy_and_says_so_in_its_metrics() {
    let (root, docker) = (machine(CPU), FakeDocker::new());
    let environment = slave(root.path(), &docker);
    let port = environment["MESOS_PORT"].parse().unwrap();
    let _program = Program::start("slave", &environment);
    let health = eventually("it serves", seconds(10), async || {
        http::get(port, "/health").await.ok()
    })
    .await;
    assert_eq!((health.status, health.body.as_str()), (200, ""));
    assert_eq!(http::get(port, "/slave(1)/health").await.unwrap().status, 200);
    assert_eq!(http::get(port, "/slave%281%29/health").await.unwrap().status, 200);
    let metrics = http::get(port, "/metrics/snapshot").await.unwrap();
    assert!(
        metrics.body.contains(r#""slave\/registered":0.0"#),
        "{}",
        metrics.body
    );
    assert_eq!(http::get(port, "/nothing").await.unwrap().status, 404);

    // Two snapshots a second; the third of three waits for a whole second.
    let start = std::time::Instant::now();
    for _ in 0..2 {
        http::get(port, "/metrics/snapshot").await.unwrap();
    }
    assert!(start.elapsed() >= millis(900), "{:?}", start.elapsed());
}
