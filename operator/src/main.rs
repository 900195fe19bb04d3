//! Kubernetes operator for `MesosCloud`.

fn main() {}
