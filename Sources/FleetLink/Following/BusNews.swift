import FleetBus
import Logging
import NIOConcurrencyHelpers
import NIOCore

/// Says that the bus was lost, once, and that it is back, once.
final class BusNews: Sendable {
    private enum State {
        case new
        case lost
        case following
    }

    private let state = NIOLockedValueBox(State.new)
    private let log: FollowLog
    private let metrics: FollowMetrics
    private let status: FollowStatus

    init(log: FollowLog, metrics: FollowMetrics, status: FollowStatus) {
        self.log = log
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
        let reason = ["reason": "\(failure)"] as Logger.Metadata
        switch before {
        case .lost: break
        case .following:
            self.metrics.lost()
            self.log.write(.warning, "the fleet's bus is lost: this edge serves on", reason, at: Self.now)
        case .new: self.log.write(.warning, "the fleet's bus is not there: this edge serves on", reason, at: Self.now)
        }
    }

    private static var now: Int64 { Int64(NIODeadline.now().uptimeNanoseconds / 1_000_000) }

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
        self.log.write(
            .notice, before == .lost ? "the fleet's bus is back" : "the fleet's bus is followed",
            ["purges": "\(orders)"], at: Self.now)
    }
}
