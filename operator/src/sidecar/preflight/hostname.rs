//! Finds the address at which the tasks' ports can be reached: where Docker publishes them.
//!
//! Marathon checks a task's health at its slave's hostname. The seed's fourth trouble is that this was the
//! slave's container, while Docker published the port on its own host.

use std::net::Ipv4Addr;

/// `docker_gateway` is the gateway of Docker's own network: an address of the host that Docker runs on.
/// When this node has it, Docker runs here and publishes here; else Docker runs outside (in kind it is the
/// machine's, whose socket was mounted) and the way to it is this node's default gateway.
///
/// Without Docker, tasks run beside the slave: the node itself.
pub fn task_host(
    node: Ipv4Addr,
    docker_gateway: Option<Ipv4Addr>,
    own_addresses: &[Ipv4Addr],
    default_gateway: Option<Ipv4Addr>,
) -> Ipv4Addr {
    match docker_gateway {
        Some(gateway) if !own_addresses.contains(&gateway) => default_gateway.unwrap_or(node),
        _ => node,
    }
}

/// The default gateway in `/proc/net/route`: the line with destination and mask 0, bytes in host order.
pub fn default_gateway(route: &str) -> Option<Ipv4Addr> {
    route.lines().skip(1).find_map(|line| {
        let columns: Vec<_> = line.split_whitespace().collect();
        let is_default = columns.get(1) == Some(&"00000000") && columns.get(7) == Some(&"00000000");
        let gateway = u32::from_str_radix(columns.get(2)?, 16).ok()?;
        (is_default && gateway != 0).then(|| Ipv4Addr::from(gateway.swap_bytes()))
    })
}

/// The addresses of this network namespace in `/proc/net/fib_trie`: leaves that are `host LOCAL`.
pub fn own_addresses(fib_trie: &str) -> Vec<Ipv4Addr> {
    let lines: Vec<_> = fib_trie.lines().map(str::trim).collect();
    let mut addresses: Vec<Ipv4Addr> = lines
        .windows(2)
        .filter(|pair| pair[1] == "/32 host LOCAL")
        .filter_map(|pair| pair[0].strip_prefix("|-- ")?.parse().ok())
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> Ipv4Addr {
        text.parse().unwrap()
    }

    #[test]
    fn tasks_are_where_docker_publishes_them() {
        let (node, docker0, outside) = (ip("172.30.0.2"), ip("172.17.0.1"), ip("172.30.0.1"));
        let table = [
            // Docker of this node; Docker of the machine around kind; no Docker; Docker without a way to it.
            (Some(docker0), vec![node, docker0], Some(outside), node),
            (Some(docker0), vec![node], Some(outside), outside),
            (None, vec![node], Some(outside), node),
            (Some(docker0), vec![node], None, node),
        ];
        for (gateway, own, default, expected) in table {
            assert_eq!(task_host(node, gateway, &own, default), expected);
        }
    }

    #[test]
    fn the_kernels_tables_are_read() {
        let route = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
            eth0\t00001EAC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n\
            eth0\t00000000\t01001EAC\t0003\t0\t0\t0\t00000000\t0\t0\t0\n";
        assert_eq!(default_gateway(route), Some(ip("172.30.0.1")));
        assert_eq!(default_gateway("Iface\tDestination\n"), None);

        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n\
            Local:\n     |-- 127.0.0.1\n        /32 host LOCAL\n     |-- 172.30.0.0\n        /16 link UNICAST\n\
            \x20    |-- 172.30.0.2\n        /32 host LOCAL\n     |-- 172.30.255.255\n        /32 link BROADCAST\n";
        assert_eq!(own_addresses(trie), [ip("127.0.0.1"), ip("172.30.0.2")]);
    }
}
