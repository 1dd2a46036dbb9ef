import Channels
import EdgeModel
import NIOCore

/// Whom a connection of HTTP/1.1 waits for, and how long.
extension HTTP1Connection {
    func rearm(_ now: NIODeadline = .now()) {
        switch self.turn {
        case .waiting:
            self.wait = .request
            self.timer?.move(to: now + self.site.limits.idleTimeout)
            self.reading.pace.rests(now: now)
        case .exchanging(let exchange):
            if exchange.response != nil, !self.isWritable {
                exchange.rests(now: now)
                return self.awaitReading(now)
            }
            self.reading.pace.rests(now: now)
            let (wait, deadline) = exchange.wait(now: now)
            self.wait = wait
            self.timer?.move(to: deadline)
        case .closing, .closed:
            break
        }
    }

    func awaitReading(_ now: NIODeadline) {
        self.wait = .clientReads
        self.reading.pace.waits(now: now)
        self.timer?.move(to: self.reading.pace.deadline(rate: self.minimumRate))
    }

    /// Whether the client has read enough lately.
    private func readsOn(_ now: NIODeadline) -> Bool {
        self.reading.look(at: self.context?.channel, now: now)
        guard self.reading.pace.look(now: now, rate: self.minimumRate) != .goesOn else { return true }
        self.site.metrics.clientTooSlow(reading: true)
        return false
    }

    func timedOut() {
        guard let context else { return }
        let now = NIODeadline.now()
        switch (self.wait, self.turn) {
        case (.origin, .exchanging(let exchange)), (.cache, .exchanging(let exchange)),
            (.requestBody, .exchanging(let exchange)):
            exchange.timedOut(self.wait, now: now)
            // It may wait on; or the next request has its turn.
            self.rearm(now)
        case (.clientReads, .exchanging(let exchange)):
            if self.readsOn(now) { return self.rearm(now) }
            exchange.cancel()
            self.abort(exchange, outcome: "client-too-slow")
        case (.clientReads, .closing):
            if self.readsOn(now) { return self.awaitReading(now) }
            AbruptClose.close(context)
        case (.lingering, _):
            AbruptClose.closeSocket(context)
        default:
            context.close(promise: nil)
        }
    }
}
