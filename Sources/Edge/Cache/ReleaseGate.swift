import HTTPCaching
import NIOConcurrencyHelpers
import NIOCore

/// Lets those go to the origin who waited for a response that turned out not to be for them. If they all went at once, the
/// origin would get in one instant what it was spared before: some go, and each answer lets two more go.
///
/// Shared by all event loops; a line for each key, which ends with its last request. A request that finds no line because it
/// did not wait is not held up.
final class ReleaseGate: Sendable {
    /// How many go at once, at first.
    static let width = 16

    /// One request's place in a line.
    final class Ticket: Sendable {
        enum Stage {
            case waiting, gone, over
        }

        fileprivate let key: CacheKey
        fileprivate let eventLoop: any EventLoop
        fileprivate let turn: @Sendable () -> Void
        /// Written only under the gate's lock.
        fileprivate let stage = NIOLockedValueBox(Stage.waiting)

        fileprivate init(_ key: CacheKey, _ eventLoop: any EventLoop, _ turn: @escaping @Sendable () -> Void) {
            self.key = key
            self.eventLoop = eventLoop
            self.turn = turn
        }

        /// Whether it is this request's turn.
        var mayGo: Bool { self.stage.withLockedValue { $0 == .gone } }
    }

    private struct Line {
        var width = ReleaseGate.width
        var atOrigin = 0
        var waiting = CircularBuffer<Ticket>()

        /// Those whose turn it is now.
        mutating func next() -> [Ticket] {
            var next: [Ticket] = []
            while self.atOrigin < self.width, let ticket = self.waiting.popFirst() {
                guard ticket.goes() else { continue }
                self.atOrigin += 1
                next.append(ticket)
            }
            return next
        }
    }

    private let lines = NIOLockedValueBox<[CacheKey: Line]>([:])

    /// Takes a place in a key's line. `leave` is due once, whatever becomes of the request.
    ///
    /// - Parameter turn: run on the event loop when it is this request's turn, unless the ticket says at once that it is.
    func enter(_ key: CacheKey, on eventLoop: any EventLoop, turn: @escaping @Sendable () -> Void) -> Ticket {
        let ticket = Ticket(key, eventLoop, turn)
        self.lines.withLockedValue { lines in
            var line: Line = lines.removeValue(forKey: key) ?? Line()
            line.waiting.append(ticket)
            // There is room only if nobody else waits, so that it is nobody else's turn.
            _ = line.next()
            lines[key] = line
        }
        return ticket
    }

    /// The request has its answer, or has gone.
    ///
    /// - Parameter widens: the origin answered, and may get more.
    func leave(_ ticket: Ticket, widens: Bool) {
        let next: [Ticket] = self.lines.withLockedValue { lines in
            let stage: Ticket.Stage = ticket.stage.withLockedValue { stage in
                defer { stage = .over }
                return stage
            }
            guard stage == .gone, var line = lines.removeValue(forKey: ticket.key) else { return [] }
            line.atOrigin -= 1
            if widens { line.width += 1 }
            let next: [Ticket] = line.next()
            if line.atOrigin > 0 { lines[ticket.key] = line }
            return next
        }
        for ticket in next { ticket.eventLoop.execute(ticket.turn) }
    }
}

extension ReleaseGate.Ticket {
    /// Whether it goes: not if it has left.
    fileprivate func goes() -> Bool {
        self.stage.withLockedValue { stage in
            guard stage == .waiting else { return false }
            stage = .gone
            return true
        }
    }
}
