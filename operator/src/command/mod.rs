//! What the binary can be asked to do, one file per subcommand.

pub mod crd;
pub mod render;
pub mod run;
