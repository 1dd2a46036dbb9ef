public import NIOCore
import TLSWire

/// Reads along in both directions of a TLS connection until its records are encrypted.
///
/// It only watches: what it can't read it stops reading, silently, since judging the peer is the TLS library's part.
/// It keeps at most one record and one handshake message per direction, and nothing once a direction is encrypted.
public struct HandshakeObserver: Sendable {
    private var client = RecordStream()
    private var server = RecordStream()
    private var version: UInt16?
    private var sawRetryRequest = false
    private var serverSpoke = false

    public init() {}

    /// Takes bytes on their way to the server.
    public mutating func sent(_ bytes: ByteBuffer) -> [WireEvent] {
        client.append(bytes)
        var events: [WireEvent] = []
        while let unit: RecordStream.Unit = client.next() { observe(unit, from: .client, &events) }
        return events
    }

    /// Takes bytes from the server.
    public mutating func received(_ bytes: ByteBuffer) -> [WireEvent] {
        var events: [WireEvent] = []
        if !serverSpoke, let first: UInt8 = bytes.getInteger(at: bytes.readerIndex) {
            serverSpoke = true
            if ContentType(rawValue: first) == nil {
                server.stop()
                return [.notTLS]
            }
        }
        server.append(bytes)
        while let unit: RecordStream.Unit = server.next() { observe(unit, from: .server, &events) }
        return events
    }

    private mutating func observe(_ unit: RecordStream.Unit, from peer: Peer, _ events: inout [WireEvent]) {
        switch unit {
        case .handshake(let message):
            events.append(contentsOf: event(message: message, from: peer))
        case .alert(let code):
            events.append(.alert(peer, code: code))
        case .changeCipherSpec:
            // In TLS 1.3 this record means nothing, and plain records may follow it (RFC 8446 §D.4).
            guard let version, version <= TLSVersion.tls12 else { return }
            conclude(peer, &events)
        case .encrypted:
            conclude(peer, &events)
        }
    }

    private mutating func conclude(_ peer: Peer, _ events: inout [WireEvent]) {
        switch peer {
        case .client: client.stop()
        case .server: server.stop()
        }
        events.append(.encrypted(peer))
    }

    private mutating func event(message: ByteBuffer, from peer: Peer) -> [WireEvent] {
        guard let type: UInt8 = message.getInteger(at: message.readerIndex) else { return [] }
        switch (peer, HandshakeType(rawValue: type)) {
        case (.client, .clientHello):
            guard let hello = try? ClientHello(parsing: message) else { break }
            return [.clientHello(hello, second: sawRetryRequest)]
        case (.server, .serverHello):
            guard let hello = try? ServerHello(parsing: message) else { break }
            if hello.isHelloRetryRequest {
                sawRetryRequest = true
                return [.helloRetryRequest(hello)]
            }
            version = hello.version
            return [.serverHello(hello)]
        case (.server, .serverKeyExchange):
            // named_curve and the group; a finite-field exchange begins otherwise (RFC 8422 §5.4).
            let start: (UInt8, UInt16)? = message.getMultipleIntegers(at: message.readerIndex + 4)
            return [.serverKeyExchange(group: start.flatMap { $0.0 == 3 ? $0.1 : nil })]
        default: break
        }
        return [.handshakeMessage(peer, type: type)]
    }
}

/// One direction of a connection, cut into handshake messages, alerts and the rest.
struct RecordStream: Sendable {
    enum Unit {
        case handshake(ByteBuffer)
        case alert(UInt8)
        case changeCipherSpec
        case encrypted
    }

    /// The largest handshake message kept: more than any chain that a TLS library accepts by default.
    private static let maximumMessage = 1 << 17

    private var records = ByteBuffer()
    private var messages = ByteBuffer()
    private var stopped = false

    mutating func append(_ bytes: ByteBuffer) {
        guard !stopped else { return }
        records.writeImmutableBuffer(bytes)
    }

    mutating func stop() {
        stopped = true
        records = ByteBuffer()
        messages = ByteBuffer()
    }

    mutating func next() -> Unit? {
        while !stopped {
            if let message: ByteBuffer = nextMessage() { return .handshake(message) }
            guard let header = RecordHeader(in: records, at: records.readerIndex) else { return nil }
            guard header.payloadLength <= RecordHeader.maximumCiphertextLength,
                let type = ContentType(rawValue: header.contentType)
            else {
                stop()
                return nil
            }
            guard records.readableBytes >= RecordHeader.length + header.payloadLength else { return nil }
            records.moveReaderIndex(forwardBy: RecordHeader.length)
            guard let payload: ByteBuffer = records.readSlice(length: header.payloadLength) else { return nil }
            records.discardReadBytes()

            switch type {
            case .handshake:
                messages.writeImmutableBuffer(payload)
                if messages.readableBytes > Self.maximumMessage { stop() }
            case .alert:
                guard payload.readableBytes == 2,
                    let code: UInt8 = payload.getInteger(at: payload.readerIndex + 1)
                else { continue }
                return .alert(code)
            case .changeCipherSpec: return .changeCipherSpec
            case .applicationData: return .encrypted
            }
        }
        return nil
    }

    private mutating func nextMessage() -> ByteBuffer? {
        guard let word: UInt32 = messages.getInteger(at: messages.readerIndex) else { return nil }
        let message: ByteBuffer? = messages.readSlice(length: 4 + Int(word & 0xFF_FFFF))
        if message != nil { messages.discardReadBytes() }
        return message
    }
}
