import FleetBus
import Logging
import NIOConcurrencyHelpers

/// Says that the bus was lost, once, and that it is back, once.
final class BusNews: Sendable {
    private enum State {
        case new
        case lost
        case following
    }

    private let state = NIOLockedValueBox(State.new)
    private let logger: Logger
    private let metrics: FollowMetrics
    private let status: FollowStatus

    init(logger: Logger, metrics: FollowMetrics, status: FollowStatus) {
        self.logger = logger
        self.metrics = metrics
        self.status = status
    }

    func heard(_ event: BusEvent) {
        guard case .lost(let failure) = event else { return }
        self.status.change {
            $0.isFollowing = false
            $0.isListed = false
            $0.problem = "the bus is lost: \(failure)"
        }
        self.metrics.isUp(false)
        let before = self.state.withLockedValue { state in
            defer { state = .lost }
            return state
        }
        switch before {
        case .lost: self.logger.debug("still no bus", metadata: ["reason": "\(failure)"])
        case .following:
            self.metrics.lost()
            self.logger.warning("the fleet's bus is lost: this edge serves on", metadata: ["reason": "\(failure)"])
        case .new:
            self.logger.warning("the fleet's bus is not there: this edge serves on", metadata: ["reason": "\(failure)"])
        }
    }

    /// All that there was has been read.
    func following(after orders: Int) {
        self.status.change {
            $0.isFollowing = true
            $0.problem = nil
        }
        self.metrics.isUp(true)
        let before = self.state.withLockedValue { state in
            defer { state = .following }
            return state
        }
        guard before != .following else { return }
        self.logger.notice(
            before == .lost ? "the fleet's bus is back" : "the fleet's bus is followed",
            metadata: ["purges": "\(orders)"])
    }
}
