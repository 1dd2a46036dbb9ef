import CacheStorage
import EdgeHTTP
import FleetLink
import Logging
import NIOCore
import NIOPosix

/// An edge's part in its fleet while the edge runs.
///
/// It has an event loop of its own: a burst of purges is megabytes to be read, which must not stand between a client and its
/// answer. Where there is nothing to be read, its thread sleeps.
final class EdgeFleet: Sendable {
    private let follower: FleetFollower
    private let group: MultiThreadedEventLoopGroup
    private let following: Task<Void, any Error>

    /// Begins to follow, and returns when what is stored may be served.
    init(
        _ membership: FleetMembership, store: ResponseStore?, administration: CacheAdministration, status: FollowStatus,
        logger: Logger
    ) async throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let follower = FleetFollower(
            membership, store: FleetCache(store: store, administration: administration), on: group.any(),
            logger: logger, status: status)
        self.group = group
        self.follower = follower
        do {
            try await follower.prepare()
        } catch {
            try? await group.shutdownGracefully()
            throw error
        }
        self.following = Task { try await follower.run() }
        do {
            try await follower.awaitCatchUp()
        } catch {
            await self.stop()
            throw error
        }
    }

    func stop() async {
        self.following.cancel()
        _ = await self.following.result
        try? await self.group.shutdownGracefully()
    }
}
