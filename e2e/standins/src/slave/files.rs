//! `/files/…`: what the sandbox pages of the Mesos UI ask the slave for (`files/files.cpp @ 0.28.1`).

use std::fs::Metadata;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// `read.json` hands out 16 pages at most.
const MAX_LENGTH: u64 = 16 * 4096;

/// Why a file is not shown.
#[derive(Debug, PartialEq, Eq)]
pub enum Refusal {
    /// 400.
    BadRequest(&'static str),
    /// 404.
    NotFound,
}

/// The sandboxes under one work directory, shown under their real paths.
#[derive(Debug, Clone)]
pub struct Files {
    sandboxes: PathBuf,
}

impl Files {
    /// Everything below `<work_dir>/slaves`.
    pub fn new(work_dir: &Path) -> Self {
        Self {
            sandboxes: work_dir.join("slaves"),
        }
    }

    /// The real file behind a path, if it lies in a sandbox.
    fn resolve(&self, path: Option<&str>) -> Result<PathBuf, Refusal> {
        let path = path
            .filter(|path| !path.is_empty())
            .ok_or(Refusal::BadRequest("Expecting 'path=value' in query."))?;
        let root = self.sandboxes.canonicalize().map_err(|_| Refusal::NotFound)?;
        let real = Path::new(path).canonicalize().map_err(|_| Refusal::NotFound)?;
        if real.starts_with(root) {
            Ok(real)
        } else {
            Err(Refusal::NotFound)
        }
    }

    /// `browse.json`: the entries of a folder.
    pub fn browse(&self, path: Option<&str>) -> Result<Value, Refusal> {
        let folder = self.resolve(path)?;
        let shown = Path::new(path.unwrap_or_default());
        let mut entries = Vec::new();
        for entry in folder.read_dir().map_err(|_| Refusal::NotFound)?.flatten() {
            if let Ok(metadata) = entry.metadata() {
                entries.push((entry.file_name(), metadata));
            }
        }
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(entries
            .into_iter()
            .map(|(name, metadata)| describe(&shown.join(name), &metadata))
            .collect())
    }

    /// `read.json`: a piece of a file; offset −1 asks for its size.
    pub fn read(
        &self,
        path: Option<&str>,
        offset: Option<i64>,
        length: Option<i64>,
    ) -> Result<Value, Refusal> {
        let file = self.resolve(path)?;
        if file.is_dir() {
            return Err(Refusal::BadRequest("Cannot read a directory."));
        }
        let mut file = std::fs::File::open(file).map_err(|_| Refusal::NotFound)?;
        let size = file.metadata().map_err(|_| Refusal::NotFound)?.len();
        let Some(offset) = u64::try_from(offset.unwrap_or(-1))
            .ok()
            .filter(|offset| *offset < size)
        else {
            return Ok(json!({"data": "", "offset": size}));
        };
        let wanted = length
            .and_then(|length| u64::try_from(length).ok())
            .unwrap_or(size - offset);
        let mut data = Vec::new();
        read_piece(&mut file, offset, wanted.min(MAX_LENGTH), &mut data).map_err(|_| Refusal::NotFound)?;
        Ok(json!({"data": String::from_utf8_lossy(&data), "offset": offset}))
    }

    /// `download`: a whole file.
    pub fn download(&self, path: Option<&str>) -> Result<(String, Vec<u8>), Refusal> {
        let file = self.resolve(path)?;
        if file.is_dir() {
            return Err(Refusal::BadRequest("Cannot download a directory."));
        }
        let name = file
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        Ok((name, std::fs::read(file).map_err(|_| Refusal::NotFound)?))
    }
}

fn read_piece(file: &mut std::fs::File, offset: u64, length: u64, data: &mut Vec<u8>) -> io::Result<()> {
    file.seek(SeekFrom::Start(offset))?;
    file.take(length).read_to_end(data).map(drop)
}

fn describe(path: &Path, metadata: &Metadata) -> Value {
    let name = |id: u32| {
        if id == 0 {
            "root".to_owned()
        } else {
            id.to_string()
        }
    };
    json!({
        "path": path,
        "nlink": metadata.nlink(),
        "size": metadata.len(),
        "mtime": metadata.mtime(),
        "mode": mode(metadata),
        "uid": name(metadata.uid()),
        "gid": name(metadata.gid()),
    })
}

/// `drwxr-xr-x`.
fn mode(metadata: &Metadata) -> String {
    let kind = if metadata.is_dir() {
        'd'
    } else if metadata.is_symlink() {
        'l'
    } else {
        '-'
    };
    let bits = (0..9).rev().map(|bit| {
        let letter = ['x', 'w', 'r'][bit % 3];
        if metadata.mode() >> bit & 1 == 1 {
            letter
        } else {
            '-'
        }
    });
    std::iter::once(kind).chain(bits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sandboxes_are_shown() {
        let work = tempfile::tempdir().unwrap();
        let sandbox = work.path().join("slaves/S0/run");
        std::fs::create_dir_all(&sandbox).unwrap();
        std::fs::write(sandbox.join("stdout"), "hello").unwrap();
        std::fs::write(work.path().join("secret"), "x").unwrap();
        let files = Files::new(work.path());
        let path = |name: &str| Some(sandbox.join(name).display().to_string());

        let listing = files.browse(path("").as_deref()).unwrap();
        assert_eq!(listing[0]["path"], json!(sandbox.join("stdout")));
        assert_eq!(listing[0]["size"], 5);
        assert!(listing[0]["mode"].as_str().unwrap().starts_with("-rw"));

        let stdout = path("stdout");
        assert_eq!(
            files.read(stdout.as_deref(), Some(-1), None),
            Ok(json!({"data": "", "offset": 5}))
        );
        assert_eq!(
            files.read(stdout.as_deref(), Some(1), Some(3)),
            Ok(json!({"data": "ell", "offset": 1}))
        );
        assert_eq!(
            files.download(stdout.as_deref()),
            Ok(("stdout".to_owned(), b"hello".to_vec()))
        );
        assert_eq!(
            files.read(path("stderr").as_deref(), Some(0), None),
            Err(Refusal::NotFound)
        );
        assert_eq!(
            files.download(path("../../../secret").as_deref()),
            Err(Refusal::NotFound)
        );
        assert!(matches!(files.browse(None), Err(Refusal::BadRequest(_))));
    }
}
