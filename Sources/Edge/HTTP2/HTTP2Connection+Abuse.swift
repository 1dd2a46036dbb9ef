import NIOCore

/// What a client may make the connection do: frames that bring nothing, requests that are taken back, slow reading.
extension HTTP2Connection: ClientInputObserver {
    func willTake(_ bytes: ByteBuffer) {
        self.frames.read(bytes) { self.budget.received($0) }
    }

    func hasTaken() {
        guard !self.budget.settle(unfinished: self.frames.current, now: .now()) else { return }
        self.fail("frame-flood")
    }

    /// What one request has to keep up of the connection's least rate.
    var minimumRate: Int {
        guard self.limits.minimumRate > 0 else { return 0 }
        return max(1, self.limits.minimumRate / max(1, min(self.streams.count, ProxyLimits.rateShares)))
    }

    func clientTooSlow() { self.site.metrics.clientTooSlow(reading: true) }

    /// The client has reset a request.
    func left(_ remainder: ProxyExchange.Remainder) {
        switch remainder {
        case .nothing: break
        case .over: self.places.reset(now: .now())
        case .goesOn: self.places.resetAtWork()
        }
    }

    func workEnded() { self.places.workEnded(now: .now()) }
}
