//! Programs that run inside the cloud's own pods.
