import Edge
import EdgeModel
import FleetBus
import FleetLink
import Foundation
import NIOCore
import Settings

/// From what a file says of a fleet to what an edge and a desk are told.
extension BusTLS {
    init(_ settings: FleetSettings) throws { try self.init(roots: settings.roots, name: settings.tlsName) }
}

extension PurgeRights {
    init(_ rights: FleetSettings.Rights?) {
        self = rights.map { .some(hosts: $0.hosts, tags: $0.tags) } ?? .everything
    }
}

extension FleetDesk.Configuration {
    init(_ settings: FleetCommandSettings) throws {
        let fleet = settings.fleet
        self.init(
            fleet: fleet.name, bus: try BusConfiguration(fleet, clientName: "latchstring-command"),
            tls: try BusTLS(fleet), authority: settings.authority)
        self.expected = fleet.edges
        self.streamLength = fleet.streamLength
    }
}

extension FleetMembership {
    init(
        _ settings: FleetSettings, identity: IdentitySettings, cache: EdgeCacheConfiguration,
        facts: @escaping @Sendable () -> EdgeHeartbeat
    ) throws {
        let seal = try EdgeSeal(certificateFile: identity.certificate, keyFile: identity.key)
        self.init(
            fleet: settings.name, bus: try BusConfiguration(settings, clientName: "latchstring-\(seal.name)"),
            tls: try BusTLS(settings),
            signers: settings.signers.map { Signer(name: $0.name, key: $0.key, rights: PurgeRights($0.may)) },
            seal: seal, recordPath: cache.disk.map { FleetMembership.recordPath(inDiskStore: $0.path) }, facts: facts)
        self.catchUp = settings.catchUp.inMilliseconds
    }
}

extension Duration {
    fileprivate var inMilliseconds: Int64 {
        self.components.seconds * 1000 + self.components.attoseconds / 1_000_000_000_000_000
    }
}
