//! The same with the real Docker, where there is one and the image of the test app.

#![allow(clippy::unwrap_used)] // tests

mod harness;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command as Process;

use harness::master::FakeMaster;
use harness::program::{Program, environment};
use harness::{eventually, free_port, http, seconds};
use mesoscloud_standins::wire::{Command, Container, PortMapping, Resources, SlaveCommand, TaskInfo};
use tempfile::TempDir;

const SOCKET: &str = "/var/run/docker.sock";
const IMAGE: &str = "mesoscloud/testapp:1";

fn docker(arguments: &[&str]) -> Option<String> {
    let output = Process::new("docker").args(arguments).output().ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// What the operator's `preflight` writes: a PATH, an API version Mesos can live with, a parsable version.
fn wrapper(folder: &Path) -> String {
    let path = folder.join("docker");
    let text = format!(
        "#!/bin/sh\nexport PATH={} DOCKER_API_VERSION=1.44\n\
         [ \"$3\" = --version ] && {{ echo 'Docker version 28.2.2, build e6534b4'; exit 0; }}\nexec docker \"$@\"\n",
        std::env::var("PATH").unwrap()
    );
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path.display().to_string()
}

/// Removes this slave's containers, whatever happens.
struct CleanUp(String);

impl Drop for CleanUp {
    fn drop(&mut self) {
        for id in docker(&["ps", "-aq", "--filter", &format!("name=mesos-{}", self.0)])
            .unwrap_or_default()
            .lines()
        {
            docker(&["rm", "-f", "-v", id]);
        }
    }
}

#[tokio::test]
async fn a_container_s_port_is_published_and_a_ghost_keeps_it() {
    if !Path::new(SOCKET).exists() || docker(&["image", "inspect", IMAGE]).is_none() {
        eprintln!("SKIPPED: needs {SOCKET} and {IMAGE}");
        return;
    }
    let (root, mut master) = (TempDir::new().unwrap(), FakeMaster::start().await);
    for folder in ["sbin", "proc"] {
        std::fs::create_dir_all(root.path().join(folder)).unwrap();
    }
    std::fs::write(root.path().join("sbin/init"), "").unwrap();
    std::fs::write(root.path().join("proc/mounts"), "cgroup /c cgroup rw,cpu 0 0\n").unwrap();
    let port = free_port();
    let mut settings = environment([
        ("PATH", std::env::var("PATH").unwrap()),
        ("MESOS_MASTER", master.address()),
        ("MESOS_IP", "127.0.0.1".to_owned()),
        ("MESOS_PORT", free_port().to_string()),
        ("MESOS_HOSTNAME", "127.0.0.1".to_owned()),
        (
            "MESOS_RESOURCES",
            format!("cpus:1;mem:512;disk:100;ports:[{port}-{port}]"),
        ),
        ("MESOS_WORK_DIR", root.path().join("work").display().to_string()),
        ("MESOS_CONTAINERIZERS", "docker,mesos".to_owned()),
        ("MESOS_DOCKER", wrapper(root.path())),
        ("STANDIN_ROOT", root.path().display().to_string()),
    ]);
    let latest = root.path().join("work/meta/slaves/latest");
    let listens = async |master: &FakeMaster| {
        eventually("the slave listens", seconds(20), async || {
            let id = std::fs::read_link(&latest)
                .ok()?
                .file_name()?
                .to_string_lossy()
                .into_owned();
            master.listened_to(&id).then_some(id)
        })
        .await
    };
    let mut program = Program::start("slave", &settings);
    master.registration().await;
    let id = listens(&master).await;
    let _clean_up = CleanUp(id.clone());
    let task = TaskInfo {
        id: "web.1".to_owned(),
        name: "web".to_owned(),
        resources: Resources {
            cpus: 0.1,
            mem: 32.0,
            disk: 0.0,
            ports: vec![(port, port)],
        },
        command: Command::default(),
        container: Some(Container {
            image: IMAGE.to_owned(),
            network: "BRIDGE".to_owned(),
            port_mappings: vec![PortMapping {
                container_port: 8080,
                host_port: port,
                protocol: "tcp".to_owned(),
            }],
            ..Container::default()
        }),
    };
    let launch = |id: &str| {
        let task = TaskInfo {
            id: id.to_owned(),
            ..task.clone()
        };
        SlaveCommand::Launch {
            framework_id: "F".to_owned(),
            task,
        }
    };
    master.command(&id, &launch("web.1"));
    master.state("web.1", "TASK_RUNNING").await;
    let answers = async || {
        http::get(port, "/health")
            .await
            .ok()
            .filter(|reply| reply.status == 200)
    };
    eventually("the app answers", seconds(20), answers).await;

    // The slave dies; its task is lost, and the container goes on with its port.
    program.signal("KILL");
    program.end(seconds(5)).await;
    let mut program = Program::start("slave", &settings);
    master.registration().await;
    master.state("web.1", "TASK_LOST").await;
    assert!(answers().await.is_some());
    listens(&master).await;
    master.command(&id, &launch("web.2"));
    let message = master.state("web.2", "TASK_FAILED").await;
    assert!(
        message.contains("exited with status 125"),
        "the ghost holds the port: {message}"
    );

    // Killed tasks leave stopped containers.
    docker(&[
        "rm",
        "-f",
        &docker(&["ps", "-q", "--filter", &format!("name=mesos-{id}")]).unwrap(),
    ])
    .unwrap();
    master.command(&id, &launch("web.3"));
    master.state("web.3", "TASK_RUNNING").await;
    let kill = SlaveCommand::Kill {
        framework_id: "F".to_owned(),
        task_id: "web.3".to_owned(),
    };
    master.command(&id, &kill);
    master.state("web.3", "TASK_KILLED").await;
    let filter = format!("name=mesos-{id}");
    assert_eq!(docker(&["ps", "-q", "--filter", &filter]).as_deref(), Some(""));
    let all = docker(&["ps", "-aq", "--filter", &filter, "--filter", "status=exited"]).unwrap();
    assert_eq!(all.lines().count(), 1, "{all}");

    // Without the wrapper's API version Mesos cannot read the image (where the engine is that new).
    program.signal("KILL");
    program.end(seconds(5)).await;
    let newer = docker(&[
        "version",
        "--format",
        "{{.Server.APIVersion}} {{.Client.APIVersion}}",
    ])
    .unwrap();
    let at_least_1_45 = |version: &str| {
        version
            .rsplit('.')
            .next()
            .and_then(|minor| minor.parse::<u32>().ok())
            .is_some_and(|minor| minor >= 45)
    };
    if newer.split(' ').all(at_least_1_45) {
        let program = docker(&["version"]).and_then(|_| which("docker")).unwrap();
        settings.insert("MESOS_DOCKER".to_owned(), program);
        let program = Program::start("slave", &settings);
        master.registration().await;
        listens(&master).await;
        master.command(&id, &launch("web.4"));
        let message = master.state("web.4", "TASK_FAILED").await;
        assert!(
            message.contains("Unable to find 'ContainerConfig.Entrypoint'"),
            "{message}"
        );
        drop(program);
    }
}

fn which(program: &str) -> Option<String> {
    let path = std::env::var("PATH").ok()?;
    let found = path
        .split(':')
        .map(|folder| Path::new(folder).join(program))
        .find(|path| path.exists())?;
    Some(found.display().to_string())
}
