public import FleetBus

/// What makes an edge part of a fleet.
public struct FleetMembership: Sendable {
    public var fleet: String
    public var bus: BusConfiguration
    public var tls: BusTLS
    /// Whose purges it does, and which.
    public var signers: [Signer]
    /// Who it is.
    public var seal: EdgeSeal
    /// Where it keeps how far it has come: beside its disk store; nil where it has none.
    public var recordPath: String?
    /// How long it waits at its start, before it serves what its disk store holds: milliseconds.
    public var catchUp: Int64 = 2000
    /// Milliseconds between heartbeats.
    public var heartbeat: Int64 = 5000
    /// What it says of itself; the rest is added.
    public var facts: @Sendable () -> EdgeHeartbeat

    public init(
        fleet: String, bus: BusConfiguration, tls: BusTLS, signers: [Signer], seal: EdgeSeal, recordPath: String? = nil,
        facts: @escaping @Sendable () -> EdgeHeartbeat
    ) {
        self.fleet = fleet
        self.bus = bus
        self.tls = tls
        self.signers = signers
        self.seal = seal
        self.recordPath = recordPath
        self.facts = facts
    }

    /// Where the record of an edge is that has a disk store.
    public static func recordPath(inDiskStore folder: String) -> String { "\(folder)/fleet" }

    /// An edge without a heartbeat for so long is late, and then gone: milliseconds.
    public static let lateAfter: Int64 = 15_000
    public static let goneAfter: Int64 = 60_000
}

/// What purges are done to.
public protocol FleetStore: Sendable {
    /// Whether it holds anything from before this process, or of it.
    var isEmpty: Bool { get }

    /// Does purges, in order: when it returns, nothing that they name is served as fresh, or at all, and a restart does not
    /// bring it back.
    ///
    /// - Returns: for each, whether all that it names could be understood.
    func carryOut(_ purges: [FleetPurge]) async throws -> [Bool]

    /// Removes all that a signer with these rights may purge, as durably.
    func remove(_ rights: PurgeRights) async throws

    /// Has that confirmed by its origin before it is used again, as durably.
    func confirm(_ rights: PurgeRights) async throws
}
