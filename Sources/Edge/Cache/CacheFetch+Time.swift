import CacheStorage
import NIOCore

/// How long a fetch waits: for the origin, for readers that hold others up, for anyone to want it.
extension CacheFetch {
    /// - Parameter count: bytes of the body that came; 0 for another sign of life.
    func rearm(moved count: Int = 0) {
        let now = NIODeadline.now()
        self.pace.moved(count, now: now)
        self.waitOn(now)
    }

    func waitOn(_ now: NIODeadline) {
        guard !self.isPaused else { return }
        self.pace.waits(now: now)
        let headDeadline = self.origin?.headDeadline ?? .distantFuture
        self.timer?.move(to: min(self.pace.deadline(rate: self.rate), headDeadline, self.giveUpAt))
    }

    /// An origin that has not announced how much it sends may have nothing to send for a while.
    private var rate: Int {
        guard case .filling = self.state, self.lengthIsKnown else { return 0 }
        return self.client.configuration.minimumRate
    }

    func timedOut() {
        let now = NIODeadline.now()
        if self.isPaused, case .filling = self.state {
            self.writer.cutOffSlowest()
            self.timer?.move(to: now + Self.patience)
            self.mayGoOn()
        } else if now >= self.giveUpAt {
            if case .draining = self.state {
                self.origin?.cancel()
                self.finished()
            } else if self.writer.fill.followerCount > 0 {
                self.giveUpAt = now + Self.unattendedTime
                self.waitOn(now)
            } else {
                self.giveUp()
            }
        } else if let origin, origin.headDeadline <= now {
            self.failed(OriginFailure(.responseTimeout, "no final head in time"))
        } else {
            switch self.pace.look(now: now, rate: self.rate) {
            case .goesOn: self.waitOn(now)
            case .silent: self.failed(OriginFailure(.responseTimeout))
            case .tooSlow: self.failed(OriginFailure(.tooSlow))
            }
        }
    }
}
