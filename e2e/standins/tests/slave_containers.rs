//! Tasks in containers, with a docker program that remembers what it was asked.

#![allow(clippy::unwrap_used)] // tests

mod harness;

use std::collections::BTreeMap;
use std::path::Path;

use harness::docker::FakeDocker;
use harness::master::FakeMaster;
use harness::program::{Environment, Program, environment};
use harness::{eventually, free_port, seconds};
use mesoscloud_standins::wire::{Command, Container, PortMapping, Resources, SlaveCommand, TaskInfo};
use tempfile::TempDir;

struct Machine {
    root: TempDir,
    docker: FakeDocker,
    master: FakeMaster,
    environment: Environment,
}

impl Machine {
    async fn new() -> Self {
        let (root, docker, master) = (
            TempDir::new().unwrap(),
            FakeDocker::new(),
            FakeMaster::start().await,
        );
        for folder in ["sbin", "proc"] {
            std::fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        std::fs::write(root.path().join("sbin/init"), "").unwrap();
        std::fs::write(
            root.path().join("proc/mounts"),
            "cgroup /c cgroup rw,cpu,cpuacct 0 0\n",
        )
        .unwrap();
        let environment = environment([
            ("PATH", format!("{}:/usr/bin:/bin", docker.folder().display())),
            ("DOCKER_API_VERSION", "1.44".to_owned()),
            ("MESOS_MASTER", master.address()),
            ("MESOS_IP", "127.0.0.1".to_owned()),
            ("MESOS_PORT", free_port().to_string()),
            ("MESOS_HOSTNAME", "slave1".to_owned()),
            (
                "MESOS_RESOURCES",
                "cpus:1;mem:512;disk:100;ports:[31000-31009]".to_owned(),
            ),
            ("MESOS_WORK_DIR", root.path().join("work").display().to_string()),
            ("MESOS_CONTAINERIZERS", "docker,mesos".to_owned()),
            ("MESOS_DOCKER", docker.program().display().to_string()),
            ("STANDIN_ROOT", root.path().display().to_string()),
        ]);
        Self {
            root,
            docker,
            master,
            environment,
        }
    }

    fn work(&self) -> &Path {
        Path::new(&self.environment["MESOS_WORK_DIR"])
    }

    /// Starts the slave and waits until it obeys.
    async fn start(&mut self) -> (Program, String) {
        let program = Program::start("slave", &self.environment);
        self.master.registration().await;
        let latest = self.work().join("meta/slaves/latest");
        let id = eventually("the slave listens", seconds(20), async || {
            let id = std::fs::read_link(&latest)
                .ok()?
                .file_name()?
                .to_string_lossy()
                .into_owned();
            self.master.listened_to(&id).then_some(id)
        })
        .await;
        (program, id)
    }

    fn launch(&self, slave: &str, task: TaskInfo) {
        self.master.command(
            slave,
            &SlaveCommand::Launch {
                framework_id: "F".to_owned(),
                task,
            },
        );
    }

    fn kill(&self, slave: &str, task: &str) {
        let command = SlaveCommand::Kill {
            framework_id: "F".to_owned(),
            task_id: task.to_owned(),
        };
        self.master.command(slave, &command);
    }

    /// Waits until exactly these states are there.
    async fn containers(&self, states: &[&str]) -> Vec<String> {
        eventually(&format!("containers are {states:?}"), seconds(10), async || {
            let found = self.docker.containers();
            let matches = found
                .iter()
                .map(|(_, state)| state.as_str())
                .eq(states.iter().copied());
            matches.then(|| found.into_iter().map(|(name, _)| name).collect())
        })
        .await
    }
}

fn task(id: &str) -> TaskInfo {
    TaskInfo {
        id: id.to_owned(),
        name: "web".to_owned(),
        resources: Resources {
            cpus: 0.5,
            mem: 64.0,
            disk: 0.0,
            ports: vec![(31004, 31004)],
        },
        command: Command {
            environment: BTreeMap::from([("PORT0".to_owned(), "31004".to_owned())]),
            ..Command::default()
        },
        container: Some(Container {
            image: "app:1".to_owned(),
            network: "BRIDGE".to_owned(),
            port_mappings: vec![PortMapping {
                container_port: 8080,
                host_port: 31004,
                protocol: "tcp".to_owned(),
            }],
            ..Container::default()
        }),
    }
}

#[tokio::test]
async fn a_container_is_run_as_mesos_runs_it_and_stays_when_it_is_killed() {
    let mut machine = Machine::new().await;
    let (_program, id) = machine.start().await;
    machine.launch(&id, task("web.1"));
    machine.master.state("web.1", "TASK_RUNNING").await;
    let name = machine.containers(&["running"]).await.remove(0);
    let container = name.strip_prefix(&format!("mesos-{id}.")).expect(&name);
    let sandbox = format!(
        "{}/slaves/{id}/frameworks/F/executors/web.1/runs/{container}",
        machine.work().display()
    );
    let calls = machine.docker.read("calls");
    let expected = format!(
        "run --cpu-shares 512 --memory 67108864 -e PORT0=31004 -e MESOS_SANDBOX=/mnt/mesos/sandbox \
         -e MESOS_CONTAINER_NAME={name} -v {sandbox}:/mnt/mesos/sandbox --net bridge -p 31004:8080/tcp \
         --name {name} app:1"
    );
    assert!(calls.lines().any(|call| call == expected), "{calls}\n{expected}");
    let stdout = std::fs::read_to_string(format!("{sandbox}/stdout")).unwrap();
    assert!(stdout.contains(&format!("hello from {name}")), "{stdout}");

    // Executors have an empty environment.
    let environment = machine.docker.read("environment");
    for absent in ["PATH=", "DOCKER_API_VERSION="] {
        assert!(
            !environment.lines().any(|line| line.starts_with(absent)),
            "{environment}"
        );
    }
    assert!(environment.contains(&format!("HOME={sandbox}")), "{environment}");

    machine.kill(&id, "web.1");
    machine.master.state("web.1", "TASK_KILLED").await;
    machine.containers(&["exited"]).await;
    let calls = machine.docker.read("calls");
    assert!(calls.contains(&format!("stop -t 0 {name}")), "{calls}");
    assert!(!calls.contains("rm "), "{calls}");
}

#[tokio::test]
async fn the_end_of_a_container_is_the_end_of_its_task() {
    let mut machine = Machine::new().await;
    let (_program, id) = machine.start().await;
    for (index, (code, state, words)) in [
        (0, "TASK_FINISHED", ""),
        (
            3,
            "TASK_FAILED",
            "Docker container run error: Container exited on error: exited with status 3",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("web.{index}");
        machine.launch(&id, task(&name));
        machine.master.state(&name, "TASK_RUNNING").await;
        let running = machine
            .docker
            .containers()
            .into_iter()
            .find(|(_, state)| state == "running");
        machine.docker.exit(&running.unwrap().0, code);
        assert_eq!(machine.master.state(&name, state).await, words);
    }
}

#[tokio::test]
async fn an_ended_container_is_removed_after_the_delay() {
    let mut machine = Machine::new().await;
    machine
        .environment
        .insert("MESOS_DOCKER_REMOVE_DELAY".to_owned(), "1secs".to_owned());
    let (_program, id) = machine.start().await;
    machine.launch(&id, task("web.1"));
    machine.master.state("web.1", "TASK_RUNNING").await;
    machine.kill(&id, "web.1");
    machine.master.state("web.1", "TASK_KILLED").await;
    machine.containers(&["exited"]).await;
    machine.containers(&[]).await;
}

#[tokio::test]
async fn images_that_mesos_cannot_read_or_have_fail_the_task() {
    let mut machine = Machine::new().await;
    let (_program, id) = machine.start().await;
    machine.docker.write(
        "images/new:1",
        r#"[{"Id":"x","Config":{"Entrypoint":null,"Env":null}}]"#,
    );
    for (image, words) in [
        (
            "new:1",
            "Unable to create image: Unable to find 'ContainerConfig.Entrypoint'",
        ),
        ("none:1", "not found"),
    ] {
        let mut task = task(image);
        task.container.as_mut().unwrap().image = image.to_owned();
        machine.launch(&id, task);
        let message = machine.master.state(image, "TASK_FAILED").await;
        assert!(message.starts_with("Failed to launch container: "), "{message}");
        assert!(message.contains(words), "{message}");
    }
    // What the registry has is pulled.
    machine.docker.write(
        "registry/late:1",
        r#"[{"ContainerConfig":{"Entrypoint":null,"Env":null}}]"#,
    );
    let mut task = task("late");
    task.container.as_mut().unwrap().image = "late:1".to_owned();
    machine.launch(&id, task);
    machine.master.state("late", "TASK_RUNNING").await;
}

#[tokio::test]
async fn ports_outside_the_task_s_resources_fail_it() {
    let mut machine = Machine::new().await;
    let (_program, id) = machine.start().await;
    let mut stray = task("web.1");
    stray.resources.ports = vec![(31005, 31005)];
    machine.launch(&id, stray);
    let message = machine.master.state("web.1", "TASK_FAILED").await;
    assert!(
        message.contains("Port [31004] not included in resources"),
        "{message}"
    );
}

#[tokio::test]
async fn without_a_path_docker_is_found_in_bin_and_usr_bin_only() {
    let mut machine = Machine::new().await;
    // The slave has a PATH and finds it; the executor has none.
    machine
        .environment
        .insert("MESOS_DOCKER".to_owned(), "fakedocker".to_owned());
    let (_program, id) = machine.start().await;
    machine.launch(&id, task("web.1"));
    let message = machine.master.state("web.1", "TASK_FAILED").await;
    let words = "Failed to os::execvpe on path 'fakedocker': No such file or directory";
    assert!(message.contains(words), "{message}");
}

#[tokio::test]
async fn the_slave_s_death_loses_its_tasks_and_leaves_ghosts() {
    let mut machine = Machine::new().await;
    let (mut program, id) = machine.start().await;
    machine.launch(&id, task("web.1"));
    machine.master.state("web.1", "TASK_RUNNING").await;
    let ghost = machine.containers(&["running"]).await.remove(0);
    // Containers of this slave that it never heard of, and of another slave.
    machine
        .docker
        .write(&format!("containers/mesos-{id}.stranger"), "running\n");
    machine.docker.write("containers/mesos-other-S0.x", "running\n");
    program.signal("KILL");
    program.end(seconds(5)).await;

    let (mut program, again) = machine.start().await;
    assert_eq!(again, id);
    let message = machine.master.state("web.1", "TASK_LOST").await;
    assert_eq!(message, "Abnormal executor termination");
    // The ghost runs on with its host port; the stranger is stopped and removed; the other's is left alone.
    let mut names: Vec<_> = machine.docker.containers().into_iter().collect();
    names.sort();
    let mut expected = vec![
        (ghost.clone(), "running".to_owned()),
        ("mesos-other-S0.x".to_owned(), "running".to_owned()),
    ];
    expected.sort();
    assert_eq!(names, expected);

    // Another life later the ghost is forgotten, and so an orphan like any other.
    program.signal("KILL");
    program.end(seconds(5)).await;
    machine.start().await;
    assert_eq!(
        machine.docker.containers(),
        [("mesos-other-S0.x".to_owned(), "running".to_owned())]
    );
    assert!(machine.root.path().exists());
}
