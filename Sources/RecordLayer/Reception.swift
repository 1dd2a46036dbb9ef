public import NIOCore

/// What came of some received bytes, in the order in which to act on it: first ``handshakeCompleted``, then ``reply``,
/// ``applicationData`` and ``end``. The reply is protected already, so it must leave before whatever answers the data.
public struct Reception: Sendable, Equatable {
    /// The client's Finished came, and is right. From now on data and tickets may be sent.
    public var handshakeCompleted = false
    /// Records to write now: answers to KeyUpdates, alerts. With an alert nothing can be sent any more.
    public var reply: ByteBuffer?
    /// What the client sent, in order, from all records that were opened; nil if nothing.
    public var applicationData: ByteBuffer?
    /// A record was dropped as refused early data.
    public var skippedEarlyData = false
    /// Nothing more will be read.
    public var end: End?

    public enum End: Sendable, Equatable {
        /// close_notify. In TLS 1.3 sending may go on (RFC 8446 §6.1), in TLS 1.2 it is over, and ``Reception/reply``
        /// has our own close_notify (RFC 5246 §7.2.1).
        case closed
        /// The client gave up, with this alert: close the connection. Before the Finished the alert may have come
        /// unprotected.
        case alert(UInt8)
        /// The client broke the protocol. ``Reception/reply`` has the alert; write it, and close the connection.
        case failed(RecordError)
    }
}

/// How a connection's input ended.
public enum EndOfInput: Sendable, Equatable {
    /// After close_notify, or after the session had ended otherwise.
    case closed
    /// Without close_notify: what was received may lack its end (RFC 8446 §6.1).
    case truncated
}
