//! The `MesosCloud` custom resource.
