//! The node, entered through Docker: from there, addresses of pods and Services can be reached.

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;

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

/// Sends a signal, such as `SIGKILL`, to the program of a pod's main container.
pub async fn signal(pod: &Pod, signal: &str) -> Result {
    let (container, name) = main_container(pod)?;
    let kill = [
        "ctr", "-n", "k8s.io", "task", "kill", "--signal", signal, &container,
    ];
    run(&kill, "")
        .await
        .context(format!("{signal} to {} of {}", name, pod.name_any()))?;
    Ok(())
}

/// Gives an image of the node another name.
pub async fn tag_image(image: &str, name: &str) -> Result {
    let [image, name] = [image, name].map(|i| format!("docker.io/library/{i}"));
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

/// Id and name of a pod's main container.
pub fn main_container(pod: &Pod) -> Result<(String, String)> {
    let status = pod
        .status
        .as_ref()
        .and_then(|s| s.container_statuses.as_ref()?.first());
    let status = status.context(format!("{} has no container", pod.name_any()))?;
    let id = status
        .container_id
        .as_deref()
        .and_then(|id| id.strip_prefix("containerd://"));
    let id = id.context(format!(
        "container {} of {} does not run",
        status.name,
        pod.name_any()
    ))?;
    Ok((id.to_owned(), status.name.clone()))
}
