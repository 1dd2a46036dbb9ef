import Synchronization
package import TLSWire

/// Which domains of one site are leased now, for all event loops: a request on a connection of one domain may ask for another one,
/// and no lease of the one is a lease of the other.
///
/// A lock for each request whose host is not its connection's name, and for each change of a lease.
package final class LeasedDomains: Sendable {
    private let domains: ServerNameTable<ServerNamePattern>
    private let leased = Mutex<Set<ServerNamePattern>>([])

    package init(_ domains: [ServerNamePattern]) {
        var table = ServerNameTable<ServerNamePattern>()
        for domain in domains { _ = table.insert(domain, for: domain) }
        self.domains = table
    }

    /// An exact domain's lease counts for its name, and not that of a wildcard over it.
    package func serves(_ name: ServerName) -> Bool {
        guard let domain = self.domains.value(for: name) else { return false }
        return self.leased.withLock { $0.contains(domain) }
    }

    package func update(_ domain: ServerNamePattern, isLeased: Bool) {
        self.leased.withLock { leased in
            if isLeased { leased.insert(domain) } else { leased.remove(domain) }
        }
    }
}
