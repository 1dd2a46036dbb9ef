public import NIOCore

/// The payload of ``KeyFunction/handshakeBegin``: number of protocols u8, protocols as length u8 and text each, then the
/// client's bytes.
public struct HandshakeBegin: Equatable, Sendable {
    /// What the edge can serve above TLS (ALPN), preferred first: 1 or 2 different ones of ``knownProtocols``.
    public var applicationProtocols: [String]
    /// The TLS records that carry the ClientHello, headers included, and nothing else.
    public var clientBytes: ByteBuffer

    /// The protocols that a key holder negotiates.
    public static let knownProtocols: [String] = ["h2", "http/1.1"]

    public init(applicationProtocols: [String], clientBytes: ByteBuffer) {
        self.applicationProtocols = applicationProtocols
        self.clientBytes = clientBytes
    }

    public init(decoding payload: ByteBuffer) throws(KeyPayloadError) {
        var payload: ByteBuffer = payload
        guard let count: UInt8 = payload.readInteger() else { throw .truncated }
        guard (1...Self.knownProtocols.count).contains(Int(count)) else { throw .badValue("number of protocols") }
        var protocols: [String] = []
        for _ in 0..<count {
            guard let length: UInt8 = payload.readInteger(),
                let name: ByteBuffer = payload.readSlice(length: Int(length))
            else { throw .truncated }
            guard
                let known: String = Self.knownProtocols.first(where: { $0.utf8.elementsEqual(name.readableBytesView) })
            else { throw .badValue("application protocol") }
            guard !protocols.contains(known) else { throw .badValue("application protocol named twice") }
            protocols.append(known)
        }
        guard payload.readableBytes > 0 else { throw .truncated }
        self.init(applicationProtocols: protocols, clientBytes: payload.slice())
    }

    /// The payload's bytes. Throws ``KeyEncodingError/badItem(tag:length:)`` for protocols other than the stated ones, or
    /// without client bytes.
    public func encoded() throws(KeyEncodingError) -> ByteBuffer {
        let names: [String] = self.applicationProtocols
        guard (1...Self.knownProtocols.count).contains(names.count), Set(names).count == names.count,
            names.allSatisfy(Self.knownProtocols.contains)
        else { throw .badItem(tag: KeyItemTag.payload.rawValue, length: names.count) }
        guard self.clientBytes.readableBytes > 0 else { throw .badItem(tag: KeyItemTag.payload.rawValue, length: 0) }
        var payload = ByteBuffer()
        payload.reserveCapacity(1 + names.count * 9 + self.clientBytes.readableBytes)
        payload.writeInteger(UInt8(names.count))
        for name in names {
            payload.writeInteger(UInt8(name.utf8.count))
            payload.writeString(name)
        }
        payload.writeImmutableBuffer(self.clientBytes)
        return payload
    }
}

/// The payload of ``KeyFunction/handshakeContinue``: handshake u64, then the client's bytes.
public struct HandshakeContinue: Equatable, Sendable {
    /// As the answer to begin named it, over the same connection.
    public var handshake: UInt64
    /// Whole TLS records of the client's; at least one byte.
    public var clientBytes: ByteBuffer

    public init(handshake: UInt64, clientBytes: ByteBuffer) {
        self.handshake = handshake
        self.clientBytes = clientBytes
    }

    public init(decoding payload: ByteBuffer) throws(KeyPayloadError) {
        var payload: ByteBuffer = payload
        guard let handshake: UInt64 = payload.readInteger(), payload.readableBytes > 0 else { throw .truncated }
        self.init(handshake: handshake, clientBytes: payload.slice())
    }

    /// The payload's bytes. Throws ``KeyEncodingError/badItem(tag:length:)`` without client bytes.
    public func encoded() throws(KeyEncodingError) -> ByteBuffer {
        guard self.clientBytes.readableBytes > 0 else { throw .badItem(tag: KeyItemTag.payload.rawValue, length: 8) }
        return ByteBuffer(handshake: self.handshake, self.clientBytes)
    }
}

/// The payload of ``KeyFunction/handshakeForget``: handshake u64. The client of a handshake under way is gone.
public struct HandshakeForget: Equatable, Sendable {
    public var handshake: UInt64

    public init(handshake: UInt64) { self.handshake = handshake }

    public init(decoding payload: ByteBuffer) throws(KeyPayloadError) {
        var payload: ByteBuffer = payload
        guard let handshake: UInt64 = payload.readInteger() else { throw .truncated }
        guard payload.readableBytes == 0 else { throw .trailingBytes }
        self.init(handshake: handshake)
    }

    /// The payload's bytes.
    public func encoded() -> ByteBuffer { ByteBuffer(integer: self.handshake) }
}

extension ByteBuffer {
    fileprivate init(handshake: UInt64, _ clientBytes: ByteBuffer) {
        self.init()
        self.reserveCapacity(8 + clientBytes.readableBytes)
        self.writeInteger(handshake)
        self.writeImmutableBuffer(clientBytes)
    }
}
