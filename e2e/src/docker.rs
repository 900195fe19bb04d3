//! The machine's Docker, on which the tasks run.

use serde_json::Value;

use crate::{Error, Result, command};

/// A container of a task.
#[derive(Clone, Debug)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// Whether it runs.
    pub running: bool,
}

/// The containers, running or not, of a task with this id. Mesos gives every task its id as `MESOS_TASK_ID`.
pub async fn of_task(id: &str) -> Result<Vec<Container>> {
    let listed = command::run("docker", &["ps", "-aq", "--filter", "name=^/?mesos-"], "").await?;
    let mut found = Vec::new();
    for container in listed.split_whitespace() {
        // One that goes away in between is not there.
        let Ok(inspected) = command::run("docker", &["inspect", container], "").await else {
            continue;
        };
        let inspected: Value = serde_json::from_str(&inspected)?;
        let environment = inspected[0]["Config"]["Env"].as_array();
        let wanted = format!("MESOS_TASK_ID={id}");
        if environment
            .into_iter()
            .flatten()
            .any(|variable| *variable == wanted)
        {
            found.push(Container {
                name: inspected[0]["Name"].as_str().unwrap_or_default().to_owned(),
                running: inspected[0]["State"]["Running"] == true,
            });
        }
    }
    Ok(found)
}

/// What an image says that it really is; those that the testbed makes say so.
pub async fn what(image: &str) -> Result<String> {
    let label = r#"{{index .Config.Labels "io.mesoscloud.testbed"}}"#;
    let said = command::run("docker", &["image", "inspect", "-f", label, image], "").await?;
    let said = said.trim();
    Ok(if said.is_empty() { "as published" } else { said }.to_owned())
}

/// Runs a program of an image beside everything else on the machine, with `input`; returns all it wrote, to
/// wherever.
pub async fn run(image: &str, arguments: &[&str], input: &str) -> Result<String> {
    let docker = ["run", "--rm", "-i", "--network", "host", image];
    let output = command::output("docker", &[&docker[..], arguments].concat(), input).await?;
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    if output.status.success() {
        return Ok(said);
    }
    Err(Error::new(format!(
        "{image} ended with {}: {said}",
        output.status
    )))
}
