import Edge
import EdgeModel
import FleetBus
import FleetLink
import Foundation
import NIOCore
import SecretFiles
import Settings

/// From what a file says of a fleet to what an edge and a desk are told.
extension BusConfiguration {
    init(_ settings: FleetSettings, clientName: String) throws {
        self.init(
            addresses: settings.redis.map {
                BusAddress(host: $0.endpoint.host, port: $0.endpoint.port, usesTLS: $0.usesTLS)
            },
            login: try settings.login.map { try Login($0) },
            sentinel: try settings.sentinel.map {
                Sentinel(primary: $0.primary, login: try $0.login.map { try Login($0) })
            },
            clientName: clientName)
    }
}

extension BusConfiguration.Login {
    /// Reads the password's file, of which white space at the end does not count.
    init(_ settings: FleetSettings.Login) throws {
        let text = try SecretFile.read(settings.password)
        let bytes = Array(text.utf8)
        let end = bytes.lastIndex { !($0 == 0x20 || (0x09...0x0D).contains($0)) }.map { $0 + 1 } ?? 0
        self.init(user: settings.user, password: Array(bytes[..<end]))
    }
}

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
            seal: seal, recordPath: cache.disk.map { "\($0.path)/fleet" }, facts: facts)
        self.catchUp = settings.catchUp.inMilliseconds
    }
}

extension Duration {
    fileprivate var inMilliseconds: Int64 {
        self.components.seconds * 1000 + self.components.attoseconds / 1_000_000_000_000_000
    }
}
