//! What makes a slave this slave and no other.
//!
//! A slave that comes back with another hostname, port, address, resources or attributes is refused by itself:
//! "Incompatible slave info detected", and the remedy that Mesos 0.28.1 then recommends is done here, when one of
//! them was changed on purpose: `latest` is forgotten, and it registers as a new slave
//! (src/slave/slave.cpp @ 0.28.1).

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

/// File in the work folder that holds the identity of the slave that last used it.
const FILE: &str = "identity";

/// Makes the work folder that of the slave with this identity. Returns the former one, if it was another's.
///
/// # Errors
/// When the folder cannot be written.
pub fn take_up(work_dir: &Path, identity: &str) -> io::Result<Option<String>> {
    let file = work_dir.join(FILE);
    let former = fs::read_to_string(&file).ok().filter(|former| former != identity);
    if former.is_some() {
        match fs::remove_file(work_dir.join("meta/slaves/latest")) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    fs::write(file, identity)?;
    Ok(former)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_another_identity_forgets_the_slave() {
        let dir = tempfile::tempdir().unwrap();
        let latest = dir.path().join("meta/slaves/latest");
        fs::create_dir_all(latest.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink("S1", &latest).unwrap();
        let remembered = || latest.symlink_metadata().is_ok();
        // Nothing is known of the slave before.
        assert_eq!(take_up(dir.path(), "a").unwrap(), None);
        assert!(remembered());
        assert_eq!(take_up(dir.path(), "a").unwrap(), None);
        assert!(remembered());
        assert_eq!(take_up(dir.path(), "b").unwrap().as_deref(), Some("a"));
        assert!(!remembered());
        assert_eq!(take_up(dir.path(), "c").unwrap().as_deref(), Some("b"));
    }
}
