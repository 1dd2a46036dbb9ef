import EdgeModel
import HTTP2Wire
import NIOCore

/// What a client may make the connection do: frames that bring nothing, requests that are taken back, slow reading.
extension HTTP2Connection {
    /// Everything that was received is worked off, but for a frame that has not come whole.
    func hasTaken(unfinished: FrameKind?) {
        if let flood { return self.fail(flood) }
        guard !self.budget.settle(unfinished: unfinished, now: .now()) else { return }
        self.fail("frame-flood")
    }

    /// What one request has to keep up of the connection's least rate.
    var minimumRate: Int {
        guard self.limits.minimumRate > 0 else { return 0 }
        return max(1, self.limits.minimumRate / max(1, min(self.streams.count, ProxyLimits.rateShares)))
    }

    /// What the client has acknowledged of the connection's bytes, where these wait for it to do so; otherwise nil.
    var acknowledgedBytes: UInt64? {
        guard !self.isWritable, let context else { return nil }
        return AcknowledgedBytes.count(on: context.channel)
    }

    /// How many requests share what the client reads.
    var sharers: Int { max(1, self.streams.count) }

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
