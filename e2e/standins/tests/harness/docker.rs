//! A docker program that is none: it remembers containers as files.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

const SCRIPT: &str = r#"#!/bin/sh
D=@D@
[ "$3" = run ] && /usr/bin/env > $D/environment
PATH=/usr/bin:/bin
shift 2
echo "$@" >> $D/calls
if [ -e $D/dead ] && [ "$1" != --version ]; then
    echo "Cannot connect to the Docker daemon. Is the docker daemon running on this host?" >&2
    exit 1
fi
case "$1" in
--version) cat $D/version ;;
ps)
    echo "CONTAINER ID  IMAGE  COMMAND  CREATED  STATUS  PORTS  NAMES"
    for c in $D/containers/*; do [ -e "$c" ] && echo "0  image  cmd  now  up  none  ${c##*/}"; done
    exit 0 ;;
inspect)
    if [ -e "$D/containers/$2" ]; then
        echo '[{"State":{"StartedAt":"2026-01-01T00:00:00Z"}}]'
    elif [ -e "$D/images/$2" ]; then
        cat "$D/images/$2"
    else
        echo "[]"; exit 1
    fi ;;
pull) [ -e "$D/registry/$2" ] && mv "$D/registry/$2" "$D/images/$2" || { echo "not found" >&2; exit 1; } ;;
run)
    while [ "$1" != --name ]; do shift; done
    c=$D/containers/$2
    echo running > $c
    echo "hello from $2"
    while [ "$(cat $c 2>/dev/null)" = running ]; do sleep 0.05; done
    exit "$(cat $D/codes/${c##*/} 2>/dev/null || echo 137)" ;;
stop) echo exited > "$D/containers/$4" ;;
rm) for c; do :; done; rm "$D/containers/$c" ;;
esac
"#;

pub struct FakeDocker(TempDir);

impl FakeDocker {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["codes", "containers", "images", "registry"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        let docker = Self(folder);
        docker.write("version", "Docker version 1.11.2, build b9f10c9\n");
        docker.write(
            "images/app:1",
            r#"[{"Id":"x","ContainerConfig":{"Entrypoint":null,"Env":null}}]"#,
        );
        docker.write("calls", "");
        let program = docker.program();
        std::fs::write(
            &program,
            SCRIPT.replace("@D@", &docker.0.path().display().to_string()),
        )
        .unwrap();
        std::fs::set_permissions(program, std::fs::Permissions::from_mode(0o755)).unwrap();
        docker
    }

    pub fn folder(&self) -> &Path {
        self.0.path()
    }

    pub fn program(&self) -> PathBuf {
        self.0.path().join("fakedocker")
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.path().join(name), text).unwrap();
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.0.path().join(name)).unwrap_or_default()
    }

    /// Name and state of each container.
    pub fn containers(&self) -> Vec<(String, String)> {
        let mut found: Vec<_> = std::fs::read_dir(self.0.path().join("containers"))
            .unwrap()
            .flatten()
            .map(|entry| {
                let name = entry.file_name().to_string_lossy().into_owned();
                let state = self.read(&format!("containers/{name}")).trim().to_owned();
                (name, state)
            })
            .collect();
        found.sort();
        found
    }

    /// The container's process ends by itself.
    pub fn exit(&self, name: &str, code: u8) {
        self.write(&format!("codes/{name}"), &code.to_string());
        self.write(&format!("containers/{name}"), "exited\n");
    }
}
