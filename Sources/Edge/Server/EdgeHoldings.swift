import CacheStorage
import EdgeHTTP
import Logging
import NIOConcurrencyHelpers

/// What one process of an edge has at a time: the folder of the disk store, and the edge's place in its fleet.
final class EdgeHoldings: Sendable {
    let store: ResponseStore?
    private let joinFleet: (@Sendable () async throws -> EdgeFleet)?
    private let fleet = NIOLockedValueBox<EdgeFleet?>(nil)

    /// - Parameter joinFleet: begins to follow the fleet, and returns when what is stored may be served; nil: there is none.
    init(store: ResponseStore?, joinFleet: (@Sendable () async throws -> EdgeFleet)?) {
        self.store = store
        self.joinFleet = joinFleet
    }

    func begin() async throws {
        guard let fleet = try await self.joinFleet?() else { return }
        self.fleet.withLockedValue { $0 = fleet }
    }

    /// Another process takes them. What is stored in memory stays.
    func letGo() async {
        await self.leaveFleet()
        await self.store?.letGoOfDisk()
    }

    /// No other process has taken them after all.
    func takeBack() async throws {
        try await self.store?.takeDiskBack()
        try await self.begin()
    }

    func close() async {
        await self.leaveFleet()
        await self.store?.close()
    }

    private func leaveFleet() async {
        let fleet = self.fleet.withLockedValue { fleet in
            defer { fleet = nil }
            return fleet
        }
        await fleet?.stop()
    }
}
