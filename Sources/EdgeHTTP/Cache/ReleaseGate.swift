import Channels
import HTTPCaching
import NIOConcurrencyHelpers
import NIOCore

/// The lines of requests that waited in vain, one for each key: see ``ReleaseLine``, which decides. Shared by all event loops.
///
/// A request that finds no line because it did not wait is not held up.
final class ReleaseGate: Sendable {
    /// One request's place in a line.
    struct Ticket: Sendable {
        fileprivate let key: CacheKey
        fileprivate let place: Int
    }

    /// How to tell a request that its turn has come.
    private struct Caller: Sendable {
        let eventLoop: any EventLoop
        let turn: @Sendable () -> Void
    }

    private struct Line {
        var places = ReleaseLine()
        var callers: [Int: Caller] = [:]
    }

    private let lines = NIOLockedValueBox<[CacheKey: Line]>([:])

    /// Takes a place in a key's line. `leave` is due once, whatever becomes of the request.
    ///
    /// - Parameter turn: run on the event loop when it is this request's turn, unless it may go at once.
    func enter(
        _ key: CacheKey, on eventLoop: any EventLoop, turn: @escaping @Sendable () -> Void
    ) -> (ticket: Ticket, goes: Bool) {
        self.lines.withLockedValue { lines in
            var line: Line = lines.removeValue(forKey: key) ?? Line()
            let (place, goes) = line.places.enter()
            if !goes { line.callers[place] = Caller(eventLoop: eventLoop, turn: turn) }
            lines[key] = line
            return (Ticket(key: key, place: place), goes)
        }
    }

    /// The request has its answer, or has gone.
    ///
    /// - Parameter status: what the origin answered; `nil` if nothing.
    func leave(_ ticket: Ticket, status: Int?) {
        let callers: [Caller] = self.lines.withLockedValue { lines in
            guard var line = lines.removeValue(forKey: ticket.key) else { return [] }
            line.callers[ticket.place] = nil
            let callers = line.places.leave(ticket.place, status: status).compactMap {
                line.callers.removeValue(forKey: $0)
            }
            if !line.places.isEmpty { lines[ticket.key] = line }
            return callers
        }
        for caller in callers { caller.eventLoop.execute(caller.turn) }
    }
}
