//! The node, entered through Docker: from there, addresses of pods and Services can be reached.

use std::process::Stdio;
use std::time::{Duration, SystemTime};

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::ResourceExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::cloud::container_statuses;
use crate::{Context as _, Result, command};

/// The container that is the node.
const NODE: &str = "mesoscloud-control-plane";

/// Runs a program on the node; returns its standard output.
pub async fn run(arguments: &[&str], input: &str) -> Result<String> {
    command::run("docker", &[&["exec", "-i", NODE], arguments].concat(), input).await
}

/// Sends `text` to a TCP port and returns all that comes back, as `echo text | nc host port` would.
pub async fn talk(host: &str, port: i32, text: &str) -> Result<String> {
    let script = "exec 3<>/dev/tcp/$0/$1 && cat >&3 && cat <&3";
    let port = port.to_string();
    let arguments = ["timeout", "10", "bash", "-c", script, host, &port];
    run(&arguments, text)
        .await
        .context(format!("{text} to {host}:{port}"))
}

/// Fetches a page from the node, following redirects; an error unless the status is below 400.
pub async fn curl(url: &str) -> Result<String> {
    run(&["curl", "-sS", "-f", "-L", "-m", "10", url], "").await
}

/// Fetches a page from inside a pod: in its network, with the node's own curl.
pub async fn curl_in(pod: &Pod, url: &str) -> Result<String> {
    let (container, _) = main_container(pod)?;
    let pid = pid(&container).await?;
    let enter = ["nsenter", "-t", &pid, "-n"];
    run(
        &[&enter[..], &["curl", "-sS", "-f", "-m", "10", url]].concat(),
        "",
    )
    .await
}

/// Sends a signal, such as `SIGKILL`, to every process of a pod's main container: the first is often an init.
pub async fn signal(pod: &Pod, signal: &str) -> Result {
    let (container, name) = main_container(pod)?;
    let sent = signal_container(&container, signal).await;
    sent.context(format!("{signal} to {name} of {}", pod.name_any()))
}

/// The same to every process of a container, a sidecar too.
pub async fn signal_container(container: &str, signal: &str) -> Result {
    let kill = [
        "ctr", "-n", "k8s.io", "task", "kill", "--all", "--signal", signal, container,
    ];
    run(&kill, "").await.map(drop)
}

/// A SIGKILL that waits for nothing but a line on its input, so that nothing comes between decision and death.
pub struct Armed(Child);

/// Prepares the killing of a process of the node.
pub async fn arm(pid: &str) -> Result<Armed> {
    let script = format!("echo armed; read -r line; date +%s.%N; kill -9 {pid}");
    let mut child = Command::new("docker")
        .args(["exec", "-i", NODE, "sh", "-c", &script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut said = [0; 6];
    let stdout = child.stdout.as_mut().context("no output")?;
    stdout.read_exact(&mut said).await?;
    (&said == b"armed\n").then_some(()).context("not armed")?;
    Ok(Armed(child))
}

impl Armed {
    /// Kills. Returns when, by the clock that the machine and its containers share, taken just before the signal.
    pub async fn fire(mut self) -> Result<SystemTime> {
        let mut stdin = self.0.stdin.take().context("no input")?;
        stdin.write_all(b"now\n").await?;
        let output = timeout(Duration::from_secs(60), self.0.wait_with_output()).await??;
        (output.status.success())
            .then_some(())
            .context("it could not be killed")?;
        let seconds: f64 = String::from_utf8_lossy(&output.stdout).trim().parse()?;
        Ok(SystemTime::UNIX_EPOCH + Duration::from_secs_f64(seconds))
    }
}

/// Has the API server stand still, or go on.
pub async fn pause_api_server(pause: bool) -> Result {
    let signal = if pause { "-STOP" } else { "-CONT" };
    run(&["pkill", signal, "-x", "kube-apiserver"], "")
        .await
        .map(drop)
}

/// Gives a container no more memory than it has, and takes what is left: the kernel kills its programs for it.
pub async fn exhaust_memory(container: &str) -> Result {
    // cgroup v1 and v2 call it differently.
    let script = r#"
        for folder in $(find /sys/fs/cgroup -type d -name "*$0*"); do
            for names in memory.usage_in_bytes:memory.limit_in_bytes memory.current:memory.max; do
                used=$folder/${names%:*} limit=$folder/${names#*:}
                [ -e "$limit" ] || continue
                echo $(($(cat "$used") + 8 * 1024 * 1024)) > "$limit"
                echo $$ > "$folder/cgroup.procs"
                timeout -s KILL 3 tail /dev/zero || true
                exit 0
            done
        done
        exit 1"#;
    run(&["bash", "-c", script, container], "").await.map(drop)
}

/// Keeps the kubelet's questions from a port of a pod, or lets them through again.
pub async fn keep_kubelet_from(pod: &Pod, port: i32, keep: bool) -> Result {
    let pid = pid(&container(pod, "guard")?).await?;
    let script = "from=$(ip route get $0 | sed -n 's/.* src \\([^ ]*\\).*/\\1/p') && \
        nsenter -t $1 -n iptables $2 INPUT -s $from -p tcp --dport $3 -j DROP";
    let (address, action, port) = (
        crate::cloud::pod_address(pod)?,
        if keep { "-I" } else { "-D" },
        port.to_string(),
    );
    run(&["bash", "-c", script, &address, &pid, action, &port], "")
        .await
        .map(drop)
}

/// Gives an image of the node another name.
pub async fn tag_image(image: &str, name: &str) -> Result {
    let [image, name] = [image, name].map(|i| {
        let folder = if i.contains('/') { "" } else { "library/" };
        format!("docker.io/{folder}{i}")
    });
    run(
        &["ctr", "-n", "k8s.io", "images", "tag", "--force", &image, &name],
        "",
    )
    .await?;
    Ok(())
}

/// Process id, on the node, of a container's first process.
pub async fn pid(container: &str) -> Result<String> {
    let tasks = run(&["ctr", "-n", "k8s.io", "task", "ls"], "").await?;
    let line = tasks.lines().find(|line| line.starts_with(container));
    let pid = line.and_then(|line| line.split_whitespace().nth(1));
    Ok(pid
        .context(format!("container {container} has no process"))?
        .to_owned())
}

/// What a container's first process holds resident, in KiB.
pub async fn resident_kib(container: &str) -> Result<u64> {
    let status = run(&["cat", &format!("/proc/{}/status", pid(container).await?)], "").await?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number.context("it does not say what is resident")?.parse()?)
}

/// Id and name of a pod's main container.
pub fn main_container(pod: &Pod) -> Result<(String, String)> {
    let status = pod
        .status
        .as_ref()
        .and_then(|s| s.container_statuses.as_ref()?.first());
    let status = status.context(format!("{} has no container", pod.name_any()))?;
    Ok((id_of(pod, status)?, status.name.clone()))
}

/// Id of a pod's container with this name, a sidecar too.
pub fn container(pod: &Pod, name: &str) -> Result<String> {
    let mut statuses = container_statuses(pod);
    let status = statuses.find(|status| status.name == name);
    id_of(pod, status.context(format!("{} has no {name}", pod.name_any()))?)
}

fn id_of(pod: &Pod, status: &ContainerStatus) -> Result<String> {
    let id = status
        .container_id
        .as_deref()
        .and_then(|id| id.strip_prefix("containerd://"));
    let id = id.context(format!(
        "container {} of {} does not run",
        status.name,
        pod.name_any()
    ))?;
    Ok(id.to_owned())
}
