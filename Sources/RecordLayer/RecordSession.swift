public import NIOCore
public import TLSWire

/// The record layer of one TLS connection at the server, from the moment that the keys were handed over: bytes in,
/// decisions and bytes out. It knows no sockets and no clock.
///
/// In TLS 1.3 it may start before the client's Finished, and then checks it; otherwise it starts with application data.
///
/// What is wrong, and who is to blame:
///
/// - **Our bug**, thrown as ``RecordMisuse``, the session stays as it was: sending before the Finished was verified or
///   after ``close()``, post-handshake messages that are not tickets or not in TLS 1.3, sending on when a TLS 1.2 key
///   has protected all that it may.
/// - **The peer's violation**, ``Reception/End/failed(_:)`` with the alert in ``Reception/reply``; the session is over:
///   everything that ``RecordError`` lists.
/// - **Silently dropped**: compatibility ChangeCipherSpec before the Finished, refused early data before it, empty
///   application records, user_canceled and TLS 1.2 warnings, each up to its bound in ``RecordLimits``; everything after
///   close_notify, after an alert that ends the session and after a violation. A TLS 1.2 ClientHello that would
///   renegotiate is dropped too, and answered with a no_renegotiation warning.
///
/// It can't be copied: two copies would protect different records with one nonce.
public struct RecordSession: ~Copyable, Sendable {
    enum Phase: Sendable {
        /// TLS 1.3: the epoch of the client's Finished. The secret is the client's application traffic secret.
        case awaitingFinished(verifyData: Secret, next: Secret)
        case established
        /// close_notify was received.
        case peerClosed
        /// After an error or the end of input: what comes is dropped.
        case ended
    }

    public let suite: RecordSuite
    public let applicationProtocol: [UInt8]?
    let limits: RecordLimits
    var phase: Phase
    var opener: RecordOpener
    var sealer: RecordSealer
    var handshake = HandshakeReader()
    /// Received and not yet opened: less than one record between calls.
    var input = ByteBuffer()
    /// Whether records that don't open may be refused early data.
    var mayBeEarlyData: Bool
    var counts = Counts()
    /// A KeyUpdate is to be sent with the next reply, and whether it asks for one in turn.
    var keyUpdateOwed: KeyUpdateRequest?
    var writeClosed = false
    /// The client's Finished was verified, here or before. Stays so when the phase moves on.
    var isVerified: Bool

    struct Counts: Sendable {
        var emptyRecords = 0
        var keyUpdates = 0
        var warnings = 0
        var changeCipherSpecs = 0
        var renegotiations = 0
        var skippedEarlyData = 0
    }

    enum KeyUpdateRequest: UInt8, Sendable {
        case notRequested = 0
        case requested = 1
    }

    /// - Parameter earlyDataOffered: whether the ClientHello offered early data. It was refused, so the client's first
    ///   records may be ones that cannot be opened here (RFC 8446 §4.2.10).
    public init(_ session: ExportedSession, earlyDataOffered: Bool = false, limits: RecordLimits = RecordLimits()) {
        suite = session.suite
        applicationProtocol = session.applicationProtocol
        self.limits = limits
        switch session.secrets {
        case .tls13(let client, let server, let finished):
            sealer = RecordSealer(suite: session.suite, secret: server, sequence: session.serverSequence)
            if let finished {
                opener = RecordOpener(suite: session.suite, keys: finished.keys, sequence: 0)
                phase = .awaitingFinished(verifyData: finished.verifyData, next: client)
            } else {
                opener = RecordOpener(suite: session.suite, secret: client, sequence: session.clientSequence)
                phase = .established
            }
            mayBeEarlyData = earlyDataOffered && finished != nil
            isVerified = finished == nil
        case .tls12(let client, let server):
            opener = RecordOpener(suite: session.suite, keys: client, sequence: session.clientSequence)
            sealer = RecordSealer(suite: session.suite, keys: server, sequence: session.serverSequence)
            phase = .established
            mayBeEarlyData = false
            isVerified = true
        }
    }

    /// Whether application data may be sent: the client's Finished was verified, and our direction is not over.
    public var canSend: Bool { isVerified && !writeClosed }

    // MARK: What to send

    /// How many bytes the records of so much application data take at most, with a KeyUpdate and a close_notify among them.
    public static func mostBytes(for count: Int) -> Int {
        count + (count / RecordHeader.maximumPlaintextLength + 3) * 32
    }

    /// Protects application data, in records of at most 2^14 bytes each.
    ///
    /// - Parameters:
    ///   - data: any length; nothing is written for none.
    ///   - output: gets the records appended.
    public mutating func send(_ data: ByteBuffer, into output: inout ByteBuffer) throws(RecordMisuse) {
        try sealFragments(.applicationData, data, into: &output)
    }

    /// Protects application data, in records of at most 2^14 bytes each.
    public mutating func send(_ data: ByteBuffer) throws(RecordMisuse) -> ByteBuffer {
        var output = ByteBuffer()
        try send(data, into: &output)
        return output
    }

    /// Protects application data that stands in three buffers as one record, without putting it together before.
    ///
    /// - Parameters:
    ///   - second, third: may be empty.
    ///   - output: gets the record appended; several, should there be more than 2^14 bytes.
    public mutating func send(
        _ first: ByteBuffer, _ second: ByteBuffer, _ third: ByteBuffer, into output: inout ByteBuffer
    ) throws(RecordMisuse) {
        let length: Int = first.readableBytes + second.readableBytes + third.readableBytes
        guard length <= RecordHeader.maximumPlaintextLength else {
            for part in [first, second, third] { try sealFragments(.applicationData, part, into: &output) }
            return
        }
        guard length > 0 else { return }
        try checkSending(records: 1)
        output.reserveCapacity(minimumWritableBytes: length + sealer.overhead)
        try replaceKeyIfDue(into: &output)
        try first.withUnsafeReadableBytes { first throws(RecordMisuse) in
            try second.withUnsafeReadableBytes { second throws(RecordMisuse) in
                try third.withUnsafeReadableBytes { third throws(RecordMisuse) in
                    try sealer.seal(.applicationData, first, second, third, into: &output)
                }
            }
        }
    }

    /// Protects the key holder's NewSessionTicket messages (RFC 8446 §4.6.1), in their order and in that of the
    /// application data around them.
    ///
    /// - Parameter messages: whole messages, each with its header of 4 bytes.
    public mutating func sendPostHandshake(_ messages: ByteBuffer) throws(RecordMisuse) -> ByteBuffer {
        guard suite.version == .tls13 else { throw .noPostHandshakeMessages }
        var rest: ByteBuffer = messages
        while let header: UInt32 = rest.readInteger() {
            guard header >> 24 == UInt32(HandshakeType.newSessionTicket.rawValue),
                rest.readSlice(length: Int(header & 0xFF_FFFF)) != nil
            else { throw .notTickets }
        }
        guard rest.readableBytes == 0 else { throw .notTickets }
        var output = ByteBuffer()
        try sealFragments(.handshake, messages, into: &output)
        return output
    }

    /// Ends our direction with close_notify; what the client still sends is read on.
    ///
    /// - Returns: the record to write; nil if our direction was over already.
    public mutating func close() -> ByteBuffer? {
        var output = ByteBuffer()
        return close(into: &output) ? output : nil
    }

    /// The same behind other records.
    ///
    /// - Returns: whether our direction was open.
    public mutating func close(into output: inout ByteBuffer) -> Bool {
        guard !writeClosed else { return false }
        sealAlert(Alert(.closeNotify), into: &output)
        writeClosed = true
        return true
    }

    /// Ends both directions with a fatal alert of our own choice, for a fault on our side: internal_error if the key
    /// holder is lost.
    ///
    /// - Returns: the record to write; nil if our direction was over already.
    public mutating func abort(_ description: Alert.Description) -> ByteBuffer? {
        phase = .ended
        input = ByteBuffer()
        guard !writeClosed else { return nil }
        var output = ByteBuffer()
        sealAlert(Alert(level: .fatal, description: description), into: &output)
        writeClosed = true
        return output
    }

    // MARK: Sealing

    private mutating func sealFragments(
        _ type: ContentType, _ content: ByteBuffer, into output: inout ByteBuffer
    ) throws(RecordMisuse) {
        let maximum: Int = RecordHeader.maximumPlaintextLength
        let fragments: Int = (content.readableBytes + maximum - 1) / maximum
        try checkSending(records: fragments)
        output.reserveCapacity(
            minimumWritableBytes: content.readableBytes + fragments * sealer.overhead)
        try content.withUnsafeReadableBytes { content throws(RecordMisuse) in
            var start = 0
            while start < content.count {
                try replaceKeyIfDue(into: &output)
                let end: Int = min(start + maximum, content.count)
                try sealer.seal(type, UnsafeRawBufferPointer(rebasing: content[start..<end]), into: &output)
                start = end
            }
        }
    }

    private func checkSending(records: Int) throws(RecordMisuse) {
        guard !writeClosed else { throw .closed }
        guard isVerified else { throw .handshakeIncomplete }
        if suite.version == .tls12 {
            let end: UInt64 = min(limits.recordsPerKey, .max - RecordSealer.reserve)
            guard sealer.sequence <= end, UInt64(records) <= end - sealer.sequence else { throw .writeKeyExhausted }
        } else if sealer.sequence == .max {
            throw .writeKeyExhausted
        }
    }

    /// Our own KeyUpdate, when the key has protected all that it may (RFC 8446 §5.5).
    private mutating func replaceKeyIfDue(into output: inout ByteBuffer) throws(RecordMisuse) {
        guard suite.version == .tls13,
            sealer.sequence >= min(limits.recordsPerKey, .max - RecordSealer.reserve)
        else { return }
        try sealKeyUpdate(.notRequested, into: &output)
    }

    mutating func sealKeyUpdate(
        _ request: KeyUpdateRequest, into output: inout ByteBuffer
    ) throws(RecordMisuse) {
        try seal(.handshake, [HandshakeType.keyUpdate.rawValue, 0, 0, 1, request.rawValue], into: &output)
        sealer.update()
    }

    /// Appends the alert, or nothing if the sequence numbers are used up: then there is no way to tell the client.
    mutating func sealAlert(_ alert: Alert, into output: inout ByteBuffer) {
        try? seal(.alert, [alert.level.rawValue, alert.description.rawValue], into: &output)
    }

    private mutating func seal(
        _ type: ContentType, _ message: [UInt8], into output: inout ByteBuffer
    ) throws(RecordMisuse) {
        var fault: RecordMisuse?
        message.withUnsafeBytes { bytes in
            do throws(RecordMisuse) { try sealer.seal(type, bytes, into: &output) } catch { fault = error }
        }
        if let fault { throw fault }
    }
}
