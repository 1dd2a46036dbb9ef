public import NIOCore
public import TLSWire

/// Follows a handshake from the server's own bytes, so that a key holder can tell what the client's Finished must say.
///
/// The TLS library shows neither its transcript nor its verify_data. What it shows is enough: the bytes that come in and
/// go out, and, through its key log, the handshake traffic secrets. All bytes of both directions go in here, in their
/// order and any split; records that have no part in the transcript are skipped. In TLS 1.2, whose Finished the TLS
/// library checks itself, nothing is kept after the ServerHello.
///
/// Whatever is thrown means that the handshake cannot be exported. What ``receive(_:)`` throws is the client's fault, though a
/// TLS library would refuse most of it first. An alert between the client's hellos is the library's to judge: some, such as
/// user_canceled, end nothing.
public struct HandshakeTranscript: Sendable {
    /// The random of the (first) ClientHello: 32 bytes, by which key log lines are told apart.
    public private(set) var clientRandom: [UInt8]?
    /// The ServerHello that is not a HelloRetryRequest.
    public private(set) var serverHello: ServerHello?
    /// Of the ServerHello.
    public private(set) var suite: RecordSuite?
    /// A HelloRetryRequest went out; the client must answer before there is a ServerHello.
    public private(set) var hasHelloRetryRequest = false

    private let maximumBytes: Int
    /// Whole messages, one after another: what the hash goes over.
    private var messages = ByteBuffer()
    private var client = Direction()
    private var server = Direction()

    /// One side's bytes that are not yet whole records, and its messages that are not yet whole.
    private struct Direction: Sendable {
        var records = ByteBuffer()
        var message = ByteBuffer()

        var kept: Int { records.readableBytes + message.readableBytes }

        /// Moves the content of the next record in the clear to the messages; false if there is no whole one.
        mutating func readHandshakeRecord(skippingAlerts: Bool) throws(HandshakeTranscriptError) -> Bool {
            var header: RecordHeader
            repeat {
                guard try HandshakeTranscript.skipChangeCipherSpec(&records),
                    let next = RecordHeader(in: records, at: records.readerIndex),
                    records.readableBytes >= RecordHeader.length + next.payloadLength
                else { return false }
                header = next
                guard skippingAlerts, header.contentType == ContentType.alert.rawValue else { break }
                records.moveReaderIndex(forwardBy: RecordHeader.length + header.payloadLength)
            } while true
            guard header.contentType == ContentType.handshake.rawValue else { throw .unexpectedRecord }
            records.moveReaderIndex(forwardBy: RecordHeader.length)
            if let content: ByteBuffer = records.readSlice(length: header.payloadLength) {
                message.writeImmutableBuffer(content)
            }
            return true
        }
    }

    /// - Parameter maximumBytes: how much may be kept for one handshake: both hellos and the flight.
    public init(maximumBytes: Int = 1 << 18) {
        self.maximumBytes = maximumBytes
    }

    /// Bytes from the client. After the ServerHello they are not looked at: the next message is the Finished.
    public mutating func receive(_ bytes: ByteBuffer) throws(HandshakeTranscriptError) {
        guard serverHello == nil else { return }
        guard messages.readableBytes + client.kept + bytes.readableBytes <= maximumBytes else { throw .tooLong }
        client.records.writeImmutableBuffer(bytes)
        while try client.readHandshakeRecord(skippingAlerts: true) {
            while let message: ByteBuffer = Self.takeMessage(&client.message) {
                try receiveClientMessage(message)
            }
        }
    }

    /// Bytes to the client: what the TLS library wrote.
    public mutating func send(_ bytes: ByteBuffer) throws(HandshakeTranscriptError) {
        if let serverHello, serverHello.version != TLSVersion.tls13 { return }
        guard messages.readableBytes + server.kept + bytes.readableBytes <= maximumBytes else { throw .tooLong }
        server.records.writeImmutableBuffer(bytes)
        while serverHello == nil, try server.readHandshakeRecord(skippingAlerts: false) {
            while serverHello == nil, let message: ByteBuffer = Self.takeMessage(&server.message) {
                try receiveServerMessage(message)
            }
        }
    }

    /// What it takes to open and to check the client's Finished (TLS 1.3), once all of the server's flight went through
    /// ``send(_:)``.
    public func clientFinished(
        clientSecret: Secret, serverSecret: Secret
    ) throws(HandshakeTranscriptError) -> ExportedSession.ClientFinished {
        try flight(clientSecret: clientSecret, serverSecret: serverSecret).clientFinished
    }

    /// What the server's flight (TLS 1.3) says, once all of it went through ``send(_:)``.
    public struct Flight: Sendable, Equatable {
        /// What it takes to open and to check the client's Finished.
        public var clientFinished: ExportedSession.ClientFinished
        /// The protocol that EncryptedExtensions names (ALPN).
        public var applicationProtocol: [UInt8]?
    }

    /// Opens the flight with the server's secret, and checks the Finished in it: so an error in a secret or a byte missing
    /// from the transcript shows here, and not as a client that seems to fail.
    public func flight(clientSecret: Secret, serverSecret: Secret) throws(HandshakeTranscriptError) -> Flight {
        guard let serverHello, let suite else { throw .noServerHello }
        guard serverHello.version == TLSVersion.tls13, clientSecret.count == suite.hash.length,
            var reader = try? RecordReader(suite: suite, secret: serverSecret)
        else { throw .wrongSecrets }
        let schedule = TLS13KeySchedule(suite)
        var messages: ByteBuffer = messages
        var flight: ByteBuffer = server.records
        var partial = ByteBuffer()
        var applicationProtocol: [UInt8]?
        var isFinished = false
        while try Self.skipChangeCipherSpec(&flight), let record = try Self.next(&reader, &flight) {
            guard record.type == ContentType.handshake.rawValue, !isFinished else { throw .unexpectedRecord }
            partial.writeImmutableBuffer(record.content)
            while let message: ByteBuffer = Self.takeMessage(&partial) {
                guard !isFinished else { throw .unexpectedRecord }
                if message.getInteger(at: message.readerIndex) == HandshakeType.finished.rawValue {
                    let expected: Secret = schedule.verifyData(
                        baseSecret: serverSecret, transcriptHash: suite.hash.digest(messages))
                    guard Secret(message.readableBytesView.dropFirst(4)) == expected else { throw .wrongSecrets }
                    isFinished = true
                } else if message.getInteger(at: message.readerIndex) == HandshakeType.encryptedExtensions.rawValue {
                    applicationProtocol = Self.applicationProtocol(inEncryptedExtensions: message)
                }
                messages.writeImmutableBuffer(message)
            }
        }
        guard isFinished, partial.readableBytes == 0, flight.readableBytes == 0 else { throw .incompleteFlight }
        let clientFinished = ExportedSession.ClientFinished(
            keys: schedule.trafficKeys(suite.cipher, secret: clientSecret),
            verifyData: schedule.verifyData(baseSecret: clientSecret, transcriptHash: suite.hash.digest(messages)))
        return Flight(clientFinished: clientFinished, applicationProtocol: applicationProtocol)
    }

    /// The one name in the ALPN extension (RFC 7301 §3.1), if there is one.
    private static func applicationProtocol(inEncryptedExtensions message: ByteBuffer) -> [UInt8]? {
        // Type and length of the message, then length of the list.
        var extensions: ByteBuffer = message
        extensions.moveReaderIndex(forwardBy: min(6, extensions.readableBytes))
        while let (type, length) = extensions.readMultipleIntegers(as: (UInt16, UInt16).self),
            var body: ByteBuffer = extensions.readSlice(length: Int(length))
        {
            guard type == 16 else { continue }
            guard let (_, count) = body.readMultipleIntegers(as: (UInt16, UInt8).self), count > 0 else { return nil }
            return body.readBytes(length: Int(count))
        }
        return nil
    }

    // MARK: Messages

    private mutating func receiveClientMessage(_ message: ByteBuffer) throws(HandshakeTranscriptError) {
        if clientRandom == nil {
            // Type, length and version come before it.
            guard message.getInteger(at: message.readerIndex) == HandshakeType.clientHello.rawValue,
                let random: [UInt8] = message.getBytes(at: message.readerIndex + 6, length: 32)
            else { throw .notClientHello }
            clientRandom = random
        }
        messages.writeImmutableBuffer(message)
    }

    private mutating func receiveServerMessage(_ message: ByteBuffer) throws(HandshakeTranscriptError) {
        guard let hello = try? ServerHello(parsing: message) else { throw .notServerHello }
        guard let suite = RecordSuite(rawValue: hello.cipherSuite),
            (suite.version == .tls13) == (hello.version == TLSVersion.tls13)
        else { throw .unsupportedSuite(hello.cipherSuite) }
        guard clientRandom != nil else { throw .notClientHello }
        if hello.isHelloRetryRequest {
            guard !hasHelloRetryRequest else { throw .notServerHello }
            hasHelloRetryRequest = true
            // The first ClientHello counts as a message that holds its hash (RFC 8446 §4.4.1).
            let digest: [UInt8] = suite.hash.digest(messages)
            messages = ByteBuffer(bytes: [254, 0, 0, UInt8(digest.count)] + digest)
            messages.writeImmutableBuffer(message)
            return
        }
        serverHello = hello
        self.suite = suite
        client = Direction()
        if suite.version == .tls13 {
            messages.writeImmutableBuffer(message)
            guard server.message.readableBytes == 0 else { throw .unexpectedRecord }
        } else {
            messages = ByteBuffer()
            server = Direction()
        }
    }

    /// Takes a whole message, header included, off the front.
    private static func takeMessage(_ bytes: inout ByteBuffer) -> ByteBuffer? {
        guard let header: UInt32 = bytes.getInteger(at: bytes.readerIndex) else { return nil }
        return bytes.readSlice(length: 4 + Int(header & 0xFF_FFFF))
    }

    // MARK: Records

    /// Compatibility records have no part in the transcript; false if one isn't all there.
    fileprivate static func skipChangeCipherSpec(_ bytes: inout ByteBuffer) throws(HandshakeTranscriptError) -> Bool {
        while let header = RecordHeader(in: bytes, at: bytes.readerIndex),
            header.contentType == ContentType.changeCipherSpec.rawValue
        {
            guard header.payloadLength == 1 else { throw .unexpectedRecord }
            guard bytes.readableBytes > RecordHeader.length else { return false }
            bytes.moveReaderIndex(forwardBy: RecordHeader.length + 1)
        }
        return true
    }

    private static func next(
        _ reader: inout RecordReader, _ bytes: inout ByteBuffer
    ) throws(HandshakeTranscriptError) -> RecordReader.Record? {
        do throws(RecordError) {
            return try reader.next(&bytes)
        } catch .badRecordMAC {
            throw .wrongSecrets
        } catch {
            throw .unexpectedRecord
        }
    }
}

extension RecordHash {
    fileprivate func digest(_ buffer: ByteBuffer) -> [UInt8] {
        buffer.withUnsafeReadableBytes { digest($0) }
    }
}

/// Why a handshake's bytes and secrets do not make a session that could be exported.
public enum HandshakeTranscriptError: Error, Equatable, Sendable {
    /// More bytes than a handshake needs.
    case tooLong
    /// What the client sent first, or before the server's answer, is not a ClientHello.
    case notClientHello
    /// What the server sent first is not a ServerHello, or a second HelloRetryRequest.
    case notServerHello
    /// ``HandshakeTranscript/clientFinished(clientSecret:serverSecret:)`` before there was a ServerHello.
    case noServerHello
    /// A suite without AEAD, or of another version than the one negotiated.
    case unsupportedSuite(UInt16)
    /// A record or message that has no place in the handshake, such as an alert of the server's.
    case unexpectedRecord
    /// The secrets do not open the flight, or do not give its Finished: they are another handshake's, or bytes are
    /// missing.
    case wrongSecrets
    /// The flight does not end with the server's Finished.
    case incompleteFlight
}
