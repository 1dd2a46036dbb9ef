/// What the ends of a pump's two directions mean for the other side. Pure.
///
/// An end of input travels on as an end of output, a broken connection as a reset, so that neither peer can take the one
/// for the other.
///
/// - Our bug: none; an event that has no meaning any more gives no action.
/// - Peer's violation: none; a peer may close as it likes.
/// - Silently dropped: everything about a side after its connection is closed.
package struct PumpMachine {
    package enum Action: Equatable {
        /// Close the output of this side, after what waits to be written to it.
        case closeOutput(PumpSide)
        /// Close this side's connection, after what waits to be written to it. Its input has ended already.
        case finish(PumpSide)
        /// The same, within the time that a side has which the other one has left.
        case finishSoon(PumpSide)
        /// Break this side's connection off.
        case breakOff(PumpSide)
        /// Read on from this side, and drop it: the other side is gone, but this one is still taking what it left.
        case drop(PumpSide)
    }

    private struct SideState {
        let traits: PumpTraits
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

    private var client: SideState
    private var origin: SideState
    /// One side broke off.
    package private(set) var brokeOff = false

    package init(client: PumpTraits, origin: PumpTraits) {
        self.client = SideState(traits: client)
        self.origin = SideState(traits: origin)
    }

    private subscript(side: PumpSide) -> SideState {
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
    package var isOver: Bool { self.client.closed && self.origin.closed }

    /// Nothing more will be read from this side.
    package mutating func inputEnded(_ side: PumpSide) -> Action? {
        guard !self[side].inputEnded, !self[side].closing else { return nil }
        self[side].inputEnded = true
        return self.passOnEnd(of: side)
    }

    /// Everything written to this side was sent, and its output is closed.
    package mutating func outputEnded(_ side: PumpSide) {
        self[side].outputEnded = true
    }

    /// This side's connection failed, and is about to close.
    package mutating func broke(_ side: PumpSide) {
        self[side].broken = true
    }

    /// This side's connection is closed.
    ///
    /// - Returns: at most two actions, in their order.
    package mutating func closed(_ side: PumpSide) -> [Action] {
        guard !self[side].closed else { return [] }
        let traits = self[side].traits
        if traits.closeEndsBoth, !self[side].broken {
            self[side].closed = true
            self[side].closing = true
            let other = side.other
            guard !self[other].closing else { return [] }
            self[other].closing = true
            return [.finishSoon(other)]
        }
        var actions: [Action] = []
        if traits.closeEndsInput, !self[side].broken, let action = self.inputEnded(side) { actions.append(action) }
        if let action = self.parted(from: side) { actions.append(action) }
        return actions
    }

    private mutating func parted(from side: PumpSide) -> Action? {
        self[side].closed = true
        let wasClosing = self[side].closing
        self[side].closing = true
        let other = side.other
        guard !wasClosing, !self[other].closing else { return nil }
        guard self[side].broken || !self[side].outputEnded else {
            // With its output closed, an end of the input closes the whole connection, without an event of its own.
            guard !self[side].inputEnded else { return nil }
            self[side].inputEnded = true
            return self.passOnEnd(of: side)
        }
        // The other side may still have had something to say to this one.
        if self[side].traits.mayLeave, self[side].inputEnded, !self[other].inputEnded { return .drop(other) }
        self[other].closing = true
        self.brokeOff = true
        return .breakOff(other)
    }

    private mutating func passOnEnd(of side: PumpSide) -> Action? {
        let other = side.other
        guard !self[other].closing else { return nil }
        guard self[other].inputEnded else { return .closeOutput(other) }
        self[other].closing = true
        return .finish(other)
    }
}
