import NIOCore

/// A line of requests that waited for a response that turned out not to be for them. If they all went to the origin at once, it
/// would get in one instant what it was spared before: some go, and each answer lets two more go.
///
/// Our bug: a place that leaves twice, or one of another line. Both are dropped. Nothing comes from a peer.
public struct ReleaseLine: Sendable {
    /// How many go at once, at first.
    public static let width = 16

    private enum Stage {
        case waiting, gone
    }

    private var width = Self.width
    private var atOrigin = 0
    private var stages: [Int: Stage] = [:]
    /// Places in the order in which they came; those that have left are passed over.
    private var order = CircularBuffer<Int>()
    private var next = 0

    public init() {}

    /// Whether it is empty: the line ends then, and a later one begins anew.
    public var isEmpty: Bool { self.stages.isEmpty }

    /// A place at the end. ``leave(_:status:)`` is due once, whatever becomes of the request.
    ///
    /// - Returns: `goes`: it need not wait.
    public mutating func enter() -> (place: Int, goes: Bool) {
        let place = self.next
        self.next += 1
        self.stages[place] = .waiting
        self.order.append(place)
        // There is room only if no other waits, so that it is no other's turn.
        return (place, self.advance().contains(place))
    }

    /// The request has its answer, or has gone.
    ///
    /// - Parameter status: what the origin answered; `nil` if nothing. An answer that is no server error makes the line wider by
    ///   one.
    /// - Returns: the places whose turn it is now.
    public mutating func leave(_ place: Int, status: Int?) -> [Int] {
        guard self.stages.removeValue(forKey: place) == .gone else { return [] }
        self.atOrigin -= 1
        if let status, status < 500 { self.width += 1 }
        return self.advance()
    }

    private mutating func advance() -> [Int] {
        var released: [Int] = []
        while self.atOrigin < self.width, let place = self.order.popFirst() {
            guard self.stages[place] == .waiting else { continue }
            self.stages[place] = .gone
            self.atOrigin += 1
            released.append(place)
        }
        return released
    }
}
