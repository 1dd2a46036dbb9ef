import HTTP2Wire
import HTTPForwarding
import NIOCore

/// Whom a stream waits for, and how long.
extension HTTP2Stream {
    func rearm(_ now: NIODeadline = .now()) {
        // However it comes to light: nothing else would have the origin go on.
        if case .exchanging(let exchange) = self.state, self.isPaused, self.isWritable {
            self.isPaused = false
            exchange.clientWritabilityChanged(true)
        }
        switch self.state {
        case .exchanging(let exchange):
            let isWritable = self.isWritable
            self.isPaused = !isWritable
            if isWritable || exchange.response == nil {
                self.reading.rests(now: now)
                (self.wait, self.deadline) = exchange.wait(now: now)
            } else {
                exchange.rests(now: now)
                self.awaitReading(now)
            }
        // A request waits for its turn where the client does not take the answers to those before.
        case .ending, .judged:
            self.awaitReading(now)
        case .awaitingBody:
            break
        case .over:
            self.deadline = .distantFuture
        }
        self.connection.wake(at: self.deadline)
    }

    private func awaitReading(_ now: NIODeadline) {
        self.reading.waits(now: now)
        (self.wait, self.deadline) = (.clientReads, self.reading.deadline(rate: self.minimumRate))
    }

    /// Where all streams wait in the socket, each has its share of what the client acknowledges.
    private func lookAtSocket(_ now: NIODeadline) {
        guard let bytes = self.connection.acknowledgedBytes, bytes > self.acknowledged else { return }
        self.reading.moved(Int(clamping: bytes - self.acknowledged) / self.connection.sharers, now: now)
        self.acknowledged = bytes
    }

    func timedOut(_ now: NIODeadline) {
        switch self.state {
        case .over: return
        case .awaitingBody(let section):
            self.state = .over
            return self.connection.bodyIsLate(section, on: self)
        case .judged, .exchanging, .ending: break
        }
        if case .clientReads = self.wait { self.lookAtSocket(now) }
        switch (self.wait, self.state) {
        case (.clientReads, _) where self.reading.look(now: now, rate: self.minimumRate) == .goesOn:
            break
        case (.clientReads, .exchanging(let exchange)):
            self.connection.clientTooSlow()
            exchange.cancel()
            self.abort(exchange, outcome: "client-too-slow")
        case (.clientReads, let state):
            self.connection.clientTooSlow()
            if case .judged(let request, let begun) = state { self.record(request, begun, "client-too-slow") }
            self.reset(.cancel)
        case (_, .exchanging(let exchange)):
            exchange.timedOut(self.wait, now: now)
        default:
            self.reset(.cancel)
        }
        self.rearm(now)
    }
}
