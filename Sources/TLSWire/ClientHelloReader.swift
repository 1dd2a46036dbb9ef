public import NIOCore

/// Collects the first bytes of a connection until they are a whole ClientHello, or can't become one.
///
/// The hello may come in any number of TCP segments and TLS records. The verdict depends on the bytes alone, never on
/// how they were cut, and comes with the first byte that makes it certain. Each byte is looked at once, so that a
/// client sending single bytes costs no more than it should.
///
/// Everything the peer can do wrong is a `HelloRejection`. Nothing is dropped silently before the verdict. Calling
/// `receive` after a verdict gives the same verdict again: after a hello the bytes are kept for replay (and the caller
/// should stop reading), after a rejection they are dropped.
public struct ClientHelloReader: Sendable {
    public enum Action: Equatable, Sendable {
        /// Read on.
        case needMore
        /// The hello is complete. `takeReceivedBytes` gives it, and whatever came after it, back unchanged.
        case hello(ClientHello)
        /// Send the rejection's alert, if it has one, and close.
        case reject(HelloRejection)
    }

    private let maximumBytes: Int
    private var received = ByteBuffer()
    private var verdict: Action?
    /// How many bytes of `received` are consumed.
    private var position = 0
    /// Bytes of the current record's payload that are not consumed yet.
    private var recordRemaining = 0
    private var recordHeaderBytes = 0
    private var message = ByteBuffer()
    /// Bytes in the whole handshake message, with its header, as soon as that header is known.
    private var messageLength: Int?

    /// - Parameter maximumBytes: the most bytes that a hello may take on the wire, record headers included.
    public init(maximumBytes: Int) {
        self.maximumBytes = maximumBytes
    }

    /// Takes what the connection received.
    public mutating func receive(_ bytes: ByteBuffer) -> Action {
        if let verdict: Action {
            if case .hello = verdict { received.writeImmutableBuffer(bytes) }
            return verdict
        }
        if received.readableBytes == 0 {
            received = bytes
        } else {
            received.writeImmutableBuffer(bytes)
        }
        let action: Action = advance()
        if action != .needMore { conclude(action) }
        return action
    }

    /// All bytes received so far, in order, to be replayed to the party that speaks TLS with this client. Empty after a
    /// rejection, and when called again.
    ///
    /// Before a verdict this retires the reader: it answers `needMore` from then on and keeps nothing.
    public mutating func takeReceivedBytes() -> ByteBuffer {
        if verdict == nil { conclude(.needMore) }
        let bytes: ByteBuffer = received
        received = ByteBuffer()
        return bytes
    }

    private mutating func conclude(_ action: Action) {
        verdict = action
        message = ByteBuffer()
        if case .reject = action { received = ByteBuffer() }
    }

    private mutating func advance() -> Action {
        // Nothing beyond the cap is ever looked at; more may lie there if it came in the same segment.
        let end: Int = min(received.readableBytes, maximumBytes)
        do throws(HelloRejection) {
            while true {
                if recordRemaining == 0 {
                    guard try consumeRecordHeader(end: end) else { break }
                }
                guard position < end else { break }
                if let hello: ClientHello = try consumePayload(end: end) { return .hello(hello) }
            }
        } catch {
            return .reject(error)
        }
        return end >= maximumBytes ? .reject(.tooLarge) : .needMore
    }

    /// Returns false if the header isn't there yet.
    private mutating func consumeRecordHeader(end: Int) throws(HelloRejection) -> Bool {
        if position == 0 { try checkFirstBytes(end: end) }
        guard end - position >= RecordHeader.length,
            let header = RecordHeader(in: received, at: received.readerIndex + position)
        else { return false }
        guard header.contentType == ContentType.handshake.rawValue else { throw .unexpectedRecord }
        guard header.version >> 8 == 3 else { throw .badRecordVersion }
        guard header.payloadLength > 0 else { throw .emptyRecord }
        guard header.payloadLength <= RecordHeader.maximumPlaintextLength else { throw .recordTooLong }
        position += RecordHeader.length
        recordHeaderBytes += RecordHeader.length
        recordRemaining = header.payloadLength
        try checkLengths()
        return true
    }

    /// The first two bytes tell TLS from anything else; HTTP deserves a name of its own, since it is the usual mistake.
    private func checkFirstBytes(end: Int) throws(HelloRejection) {
        guard let first: UInt8 = byte(0), end > 0 else { return }
        guard first == ContentType.handshake.rawValue else {
            let head: [UInt8] = received.getBytes(at: received.readerIndex, length: min(end, 4)) ?? []
            let candidates: [[UInt8]] = Self.httpPrefixes.filter { $0.starts(with: head) }
            if candidates.isEmpty { throw .notTLS }
            if head.count == 4 { throw .plainHTTP }
            return
        }
        if end > 1, let major: UInt8 = byte(1), major != 3 { throw .notTLS }
    }

    /// Takes what there is of the current record. Returns the hello once it is complete.
    private mutating func consumePayload(end: Int) throws(HelloRejection) -> ClientHello? {
        if message.readableBytes == 0, let whole: ByteBuffer = wholeMessage(end: end) {
            message = whole
            messageLength = whole.readableBytes
            position += whole.readableBytes
            recordRemaining -= whole.readableBytes
            try checkLengths()
            return try parsed()
        }
        // Stop at the end of the message's header first, since its length is judged before anything else is read.
        let wanted: Int = messageLength.map { $0 - message.readableBytes } ?? (4 - message.readableBytes)
        let count: Int = min(wanted, recordRemaining, end - position)
        guard let slice: ByteBuffer = received.getSlice(at: received.readerIndex + position, length: count) else {
            return nil
        }
        message.writeImmutableBuffer(slice)
        position += count
        recordRemaining -= count

        if message.getInteger(at: message.readerIndex, as: UInt8.self) != HandshakeType.clientHello.rawValue {
            throw .unexpectedMessage
        }
        guard let length: Int = messageLength else {
            if let word: UInt32 = message.getInteger(at: message.readerIndex) {
                messageLength = 4 + Int(word & 0xFF_FFFF)
                try checkLengths()
                message.reserveCapacity(4 + Int(word & 0xFF_FFFF))
                // An empty message is complete already.
                return word & 0xFF_FFFF == 0 ? try parsed() : nil
            }
            return nil
        }
        return message.readableBytes == length ? try parsed() : nil
    }

    /// The usual case, which needs no copy: one record has all of it, and it is here.
    private func wholeMessage(end: Int) -> ByteBuffer? {
        let start: Int = received.readerIndex + position
        let count: Int = min(recordRemaining, end - position)
        guard count >= 4, let word: UInt32 = received.getInteger(at: start),
            word >> 24 == UInt32(HandshakeType.clientHello.rawValue)
        else { return nil }
        let length = 4 + Int(word & 0xFF_FFFF)
        return length <= count ? received.getSlice(at: start, length: length) : nil
    }

    /// As soon as message and record say how long they are: does it fit the cap, and the one the other?
    private func checkLengths() throws(HelloRejection) {
        guard let length: Int = messageLength else { return }
        if recordHeaderBytes + length > maximumBytes { throw .tooLarge }
        if recordRemaining > length - message.readableBytes { throw .dataAfterHello }
    }

    private func parsed() throws(HelloRejection) -> ClientHello {
        do {
            return try ClientHello(parsing: message)
        } catch {
            throw .malformed(error)
        }
    }

    private func byte(_ index: Int) -> UInt8? { received.getInteger(at: received.readerIndex + index) }

    /// The first four bytes of each method of RFC 9110 §9.3 and RFC 5789, and of HTTP/2's preface.
    private static let httpPrefixes: [[UInt8]] = [
        "GET ", "HEAD", "POST", "PUT ", "DELE", "CONN", "OPTI", "TRAC", "PATC", "PRI ",
    ].map { Array($0.utf8) }
}
