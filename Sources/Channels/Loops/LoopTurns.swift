public import NIOCore

/// Work of connections that have more of it than may be done at once: each gets a turn after the others, and between two
/// rounds the event loop looks after everything else. Lives on one event loop.
/// See ``LoopPause``.
public final class LoopTurns {
    /// Time for one round, after which the sockets are looked at.
    private static let round = TimeAmount.milliseconds(1)
    /// Flushing is a task, and may lead to another.
    private static let settling = 2

    /// Memory for what a connection writes in its turn.
    public let written = SpareBuffer()
    private let eventLoop: any EventLoop
    private var waiting = CircularBuffer<() -> Void>()
    private var isScheduled = false

    public init(eventLoop: any EventLoop) {
        self.eventLoop = eventLoop
    }

    /// Does this work when the others have had their turn. Never from within the call.
    public func later(_ work: @escaping () -> Void) {
        self.waiting.append(work)
        if !self.isScheduled { self.schedule() }
    }

    private func schedule() {
        self.isScheduled = true
        LoopPause.then(on: self.eventLoop, settling: Self.settling) { self.run() }
    }

    private func run() {
        let end = NIODeadline.now() + Self.round
        var left = self.waiting.count
        repeat {
            guard left > 0, let work = self.waiting.popFirst() else { break }
            left -= 1
            work()
        } while NIODeadline.now() < end
        self.isScheduled = false
        if !self.waiting.isEmpty { self.schedule() }
    }
}

/// The turns of each event loop of a group.
public final class GroupTurns: Sendable {
    private let turns: [ObjectIdentifier: NIOLoopBoundBox<LoopTurns>]

    public init(group: any EventLoopGroup) {
        var turns: [ObjectIdentifier: NIOLoopBoundBox<LoopTurns>] = [:]
        for loop in group.makeIterator() {
            turns[ObjectIdentifier(loop)] = .makeBoxSendingValue(LoopTurns(eventLoop: loop), eventLoop: loop)
        }
        self.turns = turns
    }

    /// The turns of this loop. Call it on the loop; nil if the loop is not one of the group's.
    public func turns(on eventLoop: any EventLoop) -> LoopTurns? {
        self.turns[ObjectIdentifier(eventLoop)]?.value
    }
}
