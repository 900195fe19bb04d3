//! Programs of the machine: docker, and kubectl where a person's experience of it is the subject.

use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::{CONTEXT, Context as _, Error, Result};

/// Time for one program to end.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs a program with `input` and returns its standard output; an error if it does not succeed.
pub async fn run(program: &str, arguments: &[&str], input: &str) -> Result<String> {
    let output = output(program, arguments, input).await?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(said);
    }
    Err(Error::new(format!(
        "{program} {} ended with {}: {}{said}",
        arguments.join(" "),
        output.status,
        String::from_utf8_lossy(&output.stderr)
    )))
}

/// Runs a program with `input` and returns whatever became of it.
pub async fn output(program: &str, arguments: &[&str], input: &str) -> Result<Output> {
    let what = format!("{program} {}", arguments.join(" "));
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context(&what)?;
    let mut stdin = child.stdin.take().context("the program has an input")?;
    let feed = async {
        // One that ends without reading everything is judged by its exit status.
        let _ = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
    };
    let both = async { tokio::join!(feed, child.wait_with_output()).1 };
    tokio::time::timeout(PATIENCE, both)
        .await
        .context(&what)?
        .context(&what)
}

/// Runs kubectl, as a person would.
pub async fn kubectl(arguments: &[&str], input: &str) -> Result<Output> {
    let arguments = [&["--context", CONTEXT], arguments].concat();
    output("kubectl", &arguments, input).await
}
