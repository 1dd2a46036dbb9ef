public import HTTPCaching

/// Why a fill's bytes ended early.
public enum FillFailure: Error, Equatable, Sendable, CustomStringConvertible {
    /// The origin's connection or message broke off.
    case originFailed(String)
    /// The origin said how long the body would be, in bytes, and then sent another length.
    case lengthMismatch(expected: Int, received: Int)
    /// This reader was too slow for a body that is not kept whole.
    case cutOff
    /// What was filling it went away without a word: our own bug, or a shutdown.
    case abandoned
    /// The stored bytes could not be read back, or were not what had been written.
    case unreadable(String)

    public var description: String {
        switch self {
        case .originFailed(let reason): "the origin's response broke off: \(reason)"
        case .lengthMismatch(let expected, let received):
            "the origin announced \(expected) bytes and sent \(received)"
        case .cutOff: "the reader was too slow for a body that is not kept whole"
        case .abandoned: "the fill was abandoned"
        case .unreadable(let reason): "the stored body can't be read: \(reason)"
        }
    }
}

/// What a follower learns first.
public enum FillHead: Sendable {
    /// The origin hasn't answered yet; `wake` is run once when it has.
    case pending
    /// A response that may answer this request too, if HTTPCaching finds that it does (`Vary`, `no-cache`…). Its body is
    /// on its way.
    case shared(StoredResponse)
    /// A response for the leader alone: those that joined go on their own. The leader may read on.
    case unshared
    /// The origin confirmed a stored response, which is brought up to date here.
    case validated(CachedResponse)
    case failed(FillFailure)
}

/// What becomes of a response in the store, told at its head.
public enum FillPlan: Equatable, Sendable {
    /// It is kept in memory, and written to disk afterwards where that is worth it.
    case store
    /// Too large for the memory store, or the length of all fills together is at its limit: it passes through a bounded
    /// window, and onto the disk where there is one that takes it.
    case passThrough
    /// Not for the store, and for the leader alone.
    case alone
}

/// Whether the writer should go on.
public enum FillFlow: Equatable, Sendable {
    case proceed
    /// The slowest reader is a whole window behind. The writer's `resume` is run when that changes.
    case pause
    /// No reader is left and nothing is stored: the fetch may as well be cancelled.
    case unwanted
}

/// What a finished fill left behind.
public enum FillResult: Sendable {
    /// Now in the memory store.
    case stored(CachedResponse)
    /// Complete for those who followed, but not stored.
    case notStored(NotStored)
    /// Not complete: nothing was stored.
    case failed(FillFailure)
}

/// Why a complete response was not stored.
public enum NotStored: Equatable, Sendable {
    /// It was never meant to be.
    case unshared
    /// Larger than the memory store takes, or fills were at their limit.
    case tooLarge
    /// A purge came while it was under way.
    case purged
    /// It had ended already.
    case ended
}
