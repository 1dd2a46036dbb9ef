import EdgeModel
import Metrics
import NIOCore

/// What outlives a reload on one event loop: the numbers of its connections, and which generation takes new clients. Bound to
/// its event loop.
final class LoopSlot {
    let eventLoop: any EventLoop
    /// The number of the next connection. Loops count in steps of their count, so that numbers are the process's own.
    private var nextConnection: UInt64
    private let step: UInt64
    private var count = 0
    private let open: Meter
    /// nil: none yet.
    var current: EdgeLoop?

    init(eventLoop: any EventLoop, index: Int, of count: Int) {
        self.eventLoop = eventLoop
        self.nextConnection = UInt64(index + 1)
        self.step = UInt64(max(1, count))
        self.open = Meter(label: "latchstring_edge_connections", dimensions: [("loop", "\(index)")])
    }

    func accept(_ channel: any Channel, _ policy: ListenerPolicy) throws {
        guard let current else { throw EdgeError.tooManyConnections }
        try current.accept(channel, policy)
    }

    func number() -> UInt64 {
        defer { self.nextConnection += self.step }
        return self.nextConnection
    }

    func opened() {
        self.count += 1
        self.open.set(self.count)
    }

    func closed() {
        self.count -= 1
        self.open.set(self.count)
    }
}
