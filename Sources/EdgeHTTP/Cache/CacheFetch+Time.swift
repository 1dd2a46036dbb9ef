import CacheStorage
import EdgeModel
import HTTPCaching
import NIOCore

/// How long a fetch waits: for the origin, for readers that hold others up, for a reader to want it.
extension CacheFetch {
    /// - Parameter count: bytes of the body that came; 0 for another sign of life.
    func rearm(moved count: Int = 0, now: NIODeadline) {
        self.pace.moved(count, now: now)
        self.waitOn(now)
    }

    func waitOn(_ now: NIODeadline) {
        guard !self.turn.isPaused else { return }
        self.pace.waits(now: now)
        let headDeadline = self.origin?.headDeadline ?? .distantFuture
        self.timer?.move(to: min(self.pace.deadline(rate: self.rate), headDeadline, self.turn.giveUpAt))
    }

    /// An origin that has not announced how much it sends may have nothing to send for a while.
    private var rate: Int {
        guard case .filling = self.turn.phase, self.length != nil else { return 0 }
        return self.client.configuration.minimumRate
    }

    func timedOut() {
        let now = NIODeadline.now()
        let fill = self.writer?.fill
        let due = self.turn.timedOut(
            readers: (self.turn.isUnattended ? fill?.followerCount : fill?.clientCount) ?? 0,
            takesPlace: { self.cache.enterUnattended() }, isWanted: { self.isWanted }, now: now)
        switch due {
        case .cutOffSlowest:
            self.writer?.cutOffSlowest()
            self.timer?.move(to: self.turn.deadline(pausedAt: now))
            self.mayGoOn()
            self.tellLeader()
        case .stop:
            self.origin?.cancel()
            self.finished()
        case .giveUp:
            self.stop()
        case .goOn:
            self.waitOn(now)
        case .lookAtOrigin:
            if let origin, origin.headDeadline <= now {
                return self.failed(OriginFailure(.responseTimeout, "no final head in time"))
            }
            switch self.pace.look(now: now, rate: self.rate) {
            case .goesOn: self.waitOn(now)
            case .silent: self.failed(OriginFailure(.responseTimeout))
            case .tooSlow: self.failed(OriginFailure(.tooSlow))
            }
        }
    }
}
