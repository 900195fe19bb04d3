//! A slave and its master: registration, identity, leaving.

#![allow(clippy::unwrap_used)] // tests

mod harness;

use std::os::unix::process::ExitStatusExt;
use std::path::Path;

use harness::master::{FakeMaster, Heard};
use harness::program::{Environment, Program, environment};
use harness::zookeeper::ZooKeeper;
use harness::{eventually, free_port, http, seconds};
use mesoscloud_standins::wire::{Command, Resources, SlaveCommand, TaskInfo};
use tempfile::TempDir;

/// A slave without Docker.
fn slave(work: &Path, master: &str) -> Environment {
    environment([
        ("PATH", "/usr/bin:/bin".to_owned()),
        ("MESOS_MASTER", master.to_owned()),
        ("MESOS_IP", "127.0.0.1".to_owned()),
        ("MESOS_PORT", free_port().to_string()),
        ("MESOS_HOSTNAME", "slave1".to_owned()),
        (
            "MESOS_RESOURCES",
            "cpus:1;mem:512;disk:100;ports:[31000-31009]".to_owned(),
        ),
        ("MESOS_ATTRIBUTES", "rack:r1".to_owned()),
        ("MESOS_WORK_DIR", work.display().to_string()),
        ("MESOS_CONTAINERIZERS", "mesos".to_owned()),
        ("STANDIN_ROOT", "/".to_owned()),
    ])
}

fn task(id: &str, line: &str) -> TaskInfo {
    TaskInfo {
        id: id.to_owned(),
        name: "app".to_owned(),
        resources: Resources {
            cpus: 0.1,
            mem: 32.0,
            disk: 0.0,
            ports: vec![(31000, 31000)],
        },
        command: Command {
            shell: Some(line.to_owned()),
            ..Command::default()
        },
        container: None,
    }
}

fn launch(task: TaskInfo) -> SlaveCommand {
    SlaveCommand::Launch {
        framework_id: "F".to_owned(),
        task,
    }
}

/// Its id, once the master can tell it something.
async fn registered(master: &FakeMaster, work: &Path) -> String {
    let latest = work.join("meta/slaves/latest");
    eventually("the slave listens", seconds(20), async || {
        let id = std::fs::read_link(&latest)
            .ok()?
            .file_name()?
            .to_string_lossy()
            .into_owned();
        master.listened_to(&id).then_some(id)
    })
    .await
}

async fn metric(port: u16) -> String {
    http::get(port, "/metrics/snapshot")
        .await
        .map(|reply| reply.body)
        .unwrap_or_default()
}

#[tokio::test]
async fn it_registers_and_keeps_its_id() {
    let (work, mut master) = (TempDir::new().unwrap(), FakeMaster::start().await);
    let hostname = work.path().join("hostname");
    std::fs::write(&hostname, "172.30.0.1").unwrap();
    let mut environment = slave(&work.path().join("work"), &master.address());
    environment.insert(
        "MESOS_HOSTNAME".to_owned(),
        format!("file://{}", hostname.display()),
    );
    let port: u16 = environment["MESOS_PORT"].parse().unwrap();

    let mut program = Program::start("slave", &environment);
    let register = master.registration().await;
    assert_eq!(
        (register.id, register.hostname.as_str(), register.ip.as_str()),
        (None, "172.30.0.1", "127.0.0.1")
    );
    assert_eq!(
        (register.port, register.resources.ports),
        (port, vec![(31000, 31009)])
    );
    assert_eq!(register.attributes["rack"], "r1");
    let id = registered(&master, &work.path().join("work")).await;
    eventually("the metrics say so", seconds(10), async || {
        metric(port)
            .await
            .contains(r#""slave\/registered":1.0"#)
            .then_some(())
    })
    .await;
    let state = http::get(port, "/state.json").await.unwrap().json();
    assert_eq!(state["id"], id.as_str());
    assert_eq!(state["pid"], format!("slave(1)@127.0.0.1:{port}"));
    assert_eq!(state["hostname"], "172.30.0.1");

    // Killed and started anew with the same flags: the same slave.
    program.signal("KILL");
    program.end(seconds(5)).await;
    let _program = Program::start("slave", &environment);
    assert_eq!(master.registration().await.id.as_deref(), Some(id.as_str()));
}

#[tokio::test]
async fn a_changed_identity_is_incompatible() {
    let (work, mut master) = (TempDir::new().unwrap(), FakeMaster::start().await);
    let environment = slave(work.path(), &master.address());
    let mut program = Program::start("slave", &environment);
    master.registration().await;
    registered(&master, work.path()).await;
    program.signal("KILL");
    program.end(seconds(5)).await;
    for (name, value) in [
        ("MESOS_HOSTNAME", "slave2".to_owned()),
        (
            "MESOS_RESOURCES",
            "cpus:2;mem:512;disk:100;ports:[31000-31009]".to_owned(),
        ),
        ("MESOS_ATTRIBUTES", "rack:r2".to_owned()),
        ("MESOS_PORT", free_port().to_string()),
    ] {
        let mut changed = environment.clone();
        changed.insert(name.to_owned(), value);
        let words = Program::start("slave", &changed).fails(1, seconds(10)).await;
        assert!(
            words.contains("Incompatible slave info detected"),
            "{name}: {words}"
        );
        let advice = format!("rm -f {}/meta/slaves/latest", work.path().display());
        assert!(words.contains(&advice), "{name}: {words}");
    }
    // The advice helps.
    std::fs::remove_file(work.path().join("meta/slaves/latest")).unwrap();
    let mut changed = environment.clone();
    changed.insert("MESOS_HOSTNAME".to_owned(), "slave2".to_owned());
    let _program = Program::start("slave", &changed);
    assert_eq!(master.registration().await.id, None);
}

#[tokio::test]
async fn it_follows_the_leading_master() {
    let zookeeper = ZooKeeper::start().await;
    let client = zookeeper.client().await;
    let (mut first, mut second) = (FakeMaster::start().await, FakeMaster::start().await);
    let path = "/mesos/my_mesos";
    let work = TempDir::new().unwrap();
    let _program = Program::start("slave", &slave(work.path(), &zookeeper.url(path)));
    let node = first.contend(&client, path).await;
    second.contend(&client, path).await;
    first.registration().await;
    let id = registered(&first, work.path()).await;
    first.command(&id, &launch(task("t1", "sleep 100")));
    first.state("t1", "TASK_RUNNING").await;

    client.delete(&node, None).await.unwrap();
    let register = second.registration().await;
    assert_eq!(register.id.as_deref(), Some(id.as_str()));
    let tasks: Vec<_> = register
        .tasks
        .iter()
        .map(|task| (task.task.id.as_str(), task.state.as_str()))
        .collect();
    assert_eq!(tasks, [("t1", "TASK_RUNNING")]);
    // The task went on, and obeys the new master.
    registered(&second, work.path()).await;
    second.command(
        &id,
        &SlaveCommand::Kill {
            framework_id: "F".to_owned(),
            task_id: "t1".to_owned(),
        },
    );
    second.state("t1", "TASK_KILLED").await;
}

#[tokio::test]
async fn a_master_that_refuses_it_shuts_it_down() {
    let (work, mut master) = (TempDir::new().unwrap(), FakeMaster::start().await);
    let environment = slave(work.path(), &master.address());
    let mut program = Program::start("slave", &environment);
    master.registration().await;
    let id = registered(&master, work.path()).await;
    master.command(&id, &launch(task("t1", "sleep 100")));
    master.state("t1", "TASK_RUNNING").await;
    master.command(
        &id,
        &SlaveCommand::Shutdown {
            reason: "because".to_owned(),
        },
    );
    assert_eq!(program.end(seconds(10)).await.code(), Some(0));
    assert!(
        program.log().contains("asked to shut down by master"),
        "{}",
        program.log()
    );
    assert!(program.log().contains("t1 is TASK_KILLED"), "{}", program.log());
    assert!(!work.path().join("meta/slaves/latest").exists());

    master.refuse("Slave attempted to re-register after removal");
    let mut program = Program::start("slave", &environment);
    assert_eq!(program.end(seconds(10)).await.code(), Some(0));
    assert!(program.log().contains("after removal"), "{}", program.log());
}

#[tokio::test]
async fn sigusr1_leaves_for_good_and_sigterm_just_dies() {
    let (work, mut master) = (TempDir::new().unwrap(), FakeMaster::start().await);
    let environment = slave(work.path(), &master.address());

    let mut program = Program::start("slave", &environment);
    master.registration().await;
    let id = registered(&master, work.path()).await;
    let start = std::time::Instant::now();
    program.signal("TERM");
    let status = program.end(seconds(5)).await;
    assert!(start.elapsed() < seconds(3));
    assert!(
        status.code() == Some(143) || status.signal() == Some(15),
        "{status}"
    );
    assert!(!master.heard_so_far(|heard| matches!(heard, Heard::Unregistered(_))));
    assert!(work.path().join("meta/slaves/latest").exists());

    let mut program = Program::start("slave", &environment);
    assert_eq!(master.registration().await.id.as_deref(), Some(id.as_str()));
    registered(&master, work.path()).await;
    master.command(&id, &launch(task("t1", "sleep 100")));
    master.state("t1", "TASK_RUNNING").await;
    program.signal("USR1");
    let left = master.hears("that it leaves", |heard| match heard {
        Heard::Unregistered(id) => Some(id),
        _ => None,
    });
    assert_eq!(left.await, id);
    assert_eq!(program.end(seconds(10)).await.code(), Some(0));
    assert!(program.log().contains("t1 is TASK_KILLED"), "{}", program.log());
    assert!(!work.path().join("meta/slaves/latest").exists());
}

#[tokio::test]
async fn a_command_runs_in_a_sandbox_the_ui_can_read() {
    let (work, mut master) = (TempDir::new().unwrap(), FakeMaster::start().await);
    let environment = slave(work.path(), &master.address());
    let port: u16 = environment["MESOS_PORT"].parse().unwrap();
    let _program = Program::start("slave", &environment);
    master.registration().await;
    let id = registered(&master, work.path()).await;
    master.command(&id, &launch(task("web.1", "echo to the sandbox; sleep 100")));
    master.state("web.1", "TASK_RUNNING").await;

    let state = http::get(port, "/slave(1)/state").await.unwrap().json();
    let executor = &state["frameworks"][0]["executors"][0];
    assert_eq!(executor["tasks"][0]["state"], "TASK_RUNNING");
    let directory = executor["directory"].as_str().unwrap();
    let expected = format!(
        "{}/slaves/{id}/frameworks/F/executors/web.1/runs/",
        work.path().display()
    );
    assert!(directory.starts_with(&expected), "{directory}");
    let listing = http::get(port, &format!("/files/browse.json?path={directory}"))
        .await
        .unwrap()
        .json();
    let names: Vec<_> = listing
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["path"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [format!("{directory}/stderr"), format!("{directory}/stdout")]
    );
    let path = format!("/files/read.json?path={directory}/stdout&offset=0&length=1000&jsonp=cb");
    let stdout = eventually("the task's words", seconds(5), async || {
        let body = http::get(port, &path).await.unwrap().body;
        body.contains("to the sandbox").then_some(body)
    })
    .await;
    assert!(stdout.starts_with("cb({"), "{stdout}");
    let download = http::get(port, &format!("/files/download?path={directory}/stdout"))
        .await
        .unwrap();
    assert!(download.body.contains("to the sandbox"));
    assert_eq!(
        http::get(port, "/files/read.json?path=/etc/passwd&offset=0")
            .await
            .unwrap()
            .status,
        404
    );

    // How commands end.
    master.command(&id, &launch(task("web.2", "exit 3")));
    master.state("web.2", "TASK_RUNNING").await;
    assert_eq!(
        master.state("web.2", "TASK_FAILED").await,
        "Command exited with status 3"
    );
    master.command(&id, &launch(task("web.3", "true")));
    master.state("web.3", "TASK_RUNNING").await;
    master.state("web.3", "TASK_FINISHED").await;
    let unknown = SlaveCommand::Kill {
        framework_id: "F".to_owned(),
        task_id: "web.9".to_owned(),
    };
    master.command(&id, &unknown);
    master.state("web.9", "TASK_LOST").await;

    // A container needs the docker containerizer.
    let mut container = task("web.4", "true");
    container.container = Some(mesoscloud_standins::wire::Container::default());
    master.command(&id, &launch(container));
    let words = master.state("web.4", "TASK_FAILED").await;
    assert!(words.contains("None of the enabled containerizers"), "{words}");
}
