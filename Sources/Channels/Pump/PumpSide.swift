/// One end of a pump.
public enum PumpSide: Sendable {
    /// Who connected.
    case client
    /// Who was connected to for it.
    case origin

    public var other: PumpSide {
        switch self {
        case .client: .origin
        case .origin: .client
        }
    }
}

/// How the connections of one side end.
public struct PumpTraits: Equatable, Sendable {
    /// Where the other side breaks off, this one is reset: over plain TCP a close would look like an end of data. Otherwise it is
    /// closed, since its protocol says in its own words when data is complete.
    public var isReset = true
    /// Nothing stands between the pump and the socket: no handler holds bytes back, or has a word of its own for the end of data.
    public var isPlain = false
    /// Its buffers, and the other side's, become those of ``PumpBuffers`` once it is busy.
    public var grows = false
    /// A close without an error is also an end of its input: TLS says its end and closes in one.
    public var closeEndsInput = false
    /// Once it has said everything it may be gone: the other side takes what is left in peace. Otherwise a close while the other
    /// side still has something to say counts as a break.
    public var mayLeave = false

    /// A close without an error ends both directions, as a close_notify does to nearly every peer: the other side gets what was written to
    /// it, and is closed as well.
    public var closeEndsBoth = false

    public init() {}
}

/// How a pump ended. The raw value is for metrics and log lines.
public enum PumpEnd: String, CaseIterable, Sendable {
    /// Both sides had said everything.
    case closed
    /// One side broke off.
    case reset
    /// No byte for the idle limit.
    case idle
    /// The lifetime was over.
    case lifetime
}
