//! Keeps what is linked statically small in memory: a sidecar runs beside every member.

/// A program that may be loaded anywhere first puts right each address that it holds. Their list, read whole at every
/// start, is 2 MB of memory; in its packed form (DT_RELR) it is 20 kB. Static programs read it themselves, so no loader
/// need know the form; glibc does since 2.36.
fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let has = |variable: &str, wanted: &str| {
        let value = std::env::var(variable).unwrap_or_default();
        value.split(',').any(|one| one == wanted)
    };
    if has("CARGO_CFG_TARGET_ENV", "gnu") && has("CARGO_CFG_TARGET_FEATURE", "crt-static") {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}
