//! The real HAProxy, for tests.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

/// A HAProxy of 3.0 or newer: the one that `HAPROXY` names, the one in `PATH`, or the testbed's.
pub static HAPROXY: LazyLock<PathBuf> = LazyLock::new(find);

fn find() -> PathBuf {
    let named = std::env::var_os("HAPROXY").map(PathBuf::from);
    let candidates = named.into_iter().chain([PathBuf::from("haproxy")]);
    if let Some(found) = candidates
        .into_iter()
        .find(|program| version(program) >= Some((3, 0)))
    {
        return found;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../e2e/testbed/haproxy");
    let output = Command::new(&script).output();
    match output {
        Ok(output) if output.status.success() => {
            PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
        }
        failed => panic!(
            "these tests need HAProxy 3.0 or newer (older ones do not tell whether a reload succeeded): install it, \
            or name it in HAPROXY; {} could not bring one: {failed:?}",
            script.display()
        ),
    }
}

/// Major and minor version; `None` when it cannot be run.
fn version(program: &Path) -> Option<(u32, u32)> {
    let output = Command::new(program).arg("-v").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let mut numbers = text.strip_prefix("HAProxy version ")?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}
