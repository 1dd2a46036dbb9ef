/// Bounds on what a peer may do, and on how much one key protects.
public struct RecordLimits: Sendable {
    /// Records after which a TLS 1.3 write key is replaced by a KeyUpdate of our own, and after which the client is asked
    /// to replace its key. 2^24, below the 2^24.5 full-sized records that RFC 8446 §5.5 allows AES-GCM; ChaCha20-Poly1305
    /// would need no limit, and gets the same. TLS 1.2 has no KeyUpdate: there sending ends with
    /// ``RecordMisuse/writeKeyExhausted``.
    public var recordsPerKey: UInt64 = 1 << 24
    /// Empty records in a row.
    public var emptyRecords = 32
    /// KeyUpdates in a row without application data between.
    public var keyUpdates = 32
    /// Warning alerts that are ignored, in the life of a session.
    public var warnings = 4
    /// Compatibility ChangeCipherSpec records before the client's Finished. A client sends one, or two.
    public var changeCipherSpecs = 4
    /// Attempts at renegotiation (TLS 1.2) that are answered with a warning; the next one ends the session.
    public var renegotiations = 1
    /// Bytes of refused early data, headers included, that are skipped before the client's Finished: two full records.
    public var skippedEarlyData = 2 * ((1 << 14) + 256 + 5)
    /// Bytes of a handshake message that is skipped (a TLS 1.2 ClientHello that would renegotiate).
    public var skippedHandshakeMessage = 1 << 14

    public init() {}
}
