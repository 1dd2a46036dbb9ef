import FleetBus
import FleetLink
import NIOCore
import NIOPosix
import Settings

/// Purges of the whole fleet that come through an edge's admin port: each has a connection to the bus of its own.
struct FleetOrders: Sendable {
    private let configuration: FleetDesk.Configuration
    private let key: SigningKey

    /// nil where the edge has no key for that.
    init?(_ settings: EdgeSettings) throws {
        guard let fleet = settings.fleet, let path = fleet.signingKey, let identity = settings.identity else {
            return nil
        }
        self.configuration = try FleetDesk.Configuration(
            FleetCommandSettings(fleet: fleet, authority: identity.authority))
        self.key = try SigningKey(path: path)
    }

    /// Ends when every edge that is alive has acknowledged, or after ten seconds.
    func order(_ purge: FleetPurge) async throws -> FleetDesk.Outcome {
        let desk = try await FleetDesk(self.configuration, on: MultiThreadedEventLoopGroup.singleton.any())
        do {
            let outcome = try await desk.order(purge, by: self.key)
            await desk.close()
            return outcome
        } catch {
            await desk.close()
            throw error
        }
    }
}
