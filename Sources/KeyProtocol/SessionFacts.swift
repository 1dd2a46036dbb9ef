import NIOCore

/// What is known of how a session came about, for the edge's log: in item `14` beside the answer with the session, so that an edge that
/// does not know it skips it.
///
/// Layout, big endian: flags u8 (bit 0: resumed), group u16 (IANA number; 0 for none). What follows is skipped, for later revisions.
public struct SessionFacts: Equatable, Sendable {
    /// Of the key exchange; nil with RSA key exchange.
    public var group: UInt16?
    /// By a ticket: no certificate was shown and nothing signed.
    public var resumed: Bool

    private static let resumedFlag: UInt8 = 1
    static let encodedLength: Int = 3

    public init(group: UInt16?, resumed: Bool) {
        self.group = group
        self.resumed = resumed
    }

    /// nil: there are none, or they are cut off.
    init?(decoding extra: ByteBuffer?) {
        guard var extra, let (flags, group) = extra.readMultipleIntegers(as: (UInt8, UInt16).self) else { return nil }
        self.init(group: group == 0 ? nil : group, resumed: flags & Self.resumedFlag != 0)
    }

    var encoded: ByteBuffer {
        var extra = ByteBuffer()
        extra.writeMultipleIntegers(self.resumed ? Self.resumedFlag : 0, self.group ?? 0)
        return extra
    }
}
