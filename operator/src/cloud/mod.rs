//! The rules of the domain: pure functions that know no client and no clock. One file per rule.

pub mod component;
pub mod conditions;
pub mod election;
pub mod endpoints;
pub mod four_letter;
pub mod haproxy;
pub mod host_ports;
pub mod mesos_resources;
pub mod names;
pub mod pod_trouble;
pub mod quorum;
pub mod rollout;
pub mod scaling;
pub mod slave_rollout;
pub mod task_ports;
pub mod volume_growth;
pub mod zk_url;
pub mod zoo_cfg;
