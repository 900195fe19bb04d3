//! What is generated from the types is current. `make docs` writes it anew.

use std::path::Path;

fn is_current(file: &str, generated: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        std::fs::write(&path, generated).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(there == generated, "{file} is stale: run `make docs`");
}

#[test]
fn the_definition_is_current() {
    let definition = serde_yaml_ng::to_string(&mesoscloud_crds::definition()).unwrap();
    is_current("crds/mesosclouds.mesoscloud.io.yaml", &definition);
}

#[test]
fn the_reference_is_current() {
    is_current(
        "docs/spec.md",
        &mesoscloud_crds::reference::markdown(&mesoscloud_crds::definition()),
    );
}
