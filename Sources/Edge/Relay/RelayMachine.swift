/// One end of a relayed connection.
enum RelaySide: Sendable {
    case client
    case origin

    var other: RelaySide {
        switch self {
        case .client: .origin
        case .origin: .client
        }
    }
}

/// What the ends of a relayed connection's two directions mean for the other side. Pure.
///
/// An end of input travels on as an end of output, a broken connection as a reset, so that neither peer can take the one
/// for the other.
///
/// - Our bug: none; an event that has no meaning any more gives no action.
/// - Peer's violation: none; a peer may close as it likes.
/// - Silently dropped: everything about a side after its connection is closed.
struct RelayMachine {
    enum Action: Equatable {
        case none
        /// Close the output of this side, after what waits to be written to it.
        case closeOutput(RelaySide)
        /// Close this side's connection, after what waits to be written to it. Its input has ended already.
        case finish(RelaySide)
        /// Reset this side's connection.
        case reset(RelaySide)
        /// Read on from this side, and drop it: the other side is gone, but this one is still taking what it left.
        case drop(RelaySide)
    }

    private struct SideState {
        /// The peer closed its output.
        var inputEnded = false
        /// The system has told the peer that nothing more comes.
        var outputEnded = false
        /// An error broke the connection.
        var broken = false
        /// We are closing it, and want to hear nothing more of it.
        var closing = false
        /// It is closed.
        var closed = false
    }

    private var client = SideState()
    private var origin = SideState()

    private subscript(side: RelaySide) -> SideState {
        get {
            switch side {
            case .client: self.client
            case .origin: self.origin
            }
        }
        set {
            switch side {
            case .client: self.client = newValue
            case .origin: self.origin = newValue
            }
        }
    }

    /// Whether both connections are closed.
    var isOver: Bool { self.client.closed && self.origin.closed }

    /// Nothing more will be read from this side.
    mutating func inputEnded(_ side: RelaySide) -> Action {
        guard !self[side].inputEnded, !self[side].closing else { return .none }
        self[side].inputEnded = true
        return self.passOnEnd(of: side)
    }

    /// Everything written to this side was sent, and its output is closed.
    mutating func outputEnded(_ side: RelaySide) {
        self[side].outputEnded = true
    }

    /// This side's connection failed, and is about to close.
    mutating func broke(_ side: RelaySide) {
        self[side].broken = true
    }

    /// This side's connection is closed.
    mutating func closed(_ side: RelaySide) -> Action {
        guard !self[side].closed else { return .none }
        self[side].closed = true
        let wasClosing = self[side].closing
        self[side].closing = true
        let other = side.other
        guard !wasClosing, !self[other].closing else { return .none }
        guard self[side].broken || !self[side].outputEnded else {
            // With its output closed, an end of the input closes the whole connection, without an event of its own.
            guard !self[side].inputEnded else { return .none }
            self[side].inputEnded = true
            return self.passOnEnd(of: side)
        }
        // Somebody still had something to say to this side. An origin that had said everything before, and closed for
        // good, leaves the client to take that in peace; anything else is a close in the middle.
        if side == .origin && self[side].inputEnded && !self[other].inputEnded { return .drop(other) }
        self[other].closing = true
        return .reset(other)
    }

    private mutating func passOnEnd(of side: RelaySide) -> Action {
        let other = side.other
        guard !self[other].closing else { return .none }
        guard self[other].inputEnded else { return .closeOutput(other) }
        self[other].closing = true
        return .finish(other)
    }
}
