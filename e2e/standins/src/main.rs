//! Stand-ins for Mesos and Marathon.

fn main() {}
