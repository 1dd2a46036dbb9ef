public import NIOCore
public import TLSWire

/// Why a function's payload is not what its name says. Answered with ``KeyErrorCode/formatError``.
public enum KeyPayloadError: Error, Equatable, Sendable {
    case truncated
    case trailingBytes
    /// A count, length or value that the function does not allow; the text names it.
    case badValue(String)
}

/// What an edge needs to know of a site's certificate: the answer to ``KeyFunction/certificate``.
///
/// Layout, big endian: notAfter i64, key identifier (20 bytes), modes u8 (bits: 1 relay, 2 handoff, 4 keyless), number
/// of schemes u8, schemes u16 each, number of certificates u8, certificates as length u16 and DER each.
public struct CertificateAnswer: Equatable, Sendable {
    /// DER, the leaf first; 1 to 10 certificates.
    public var chain: [[UInt8]]
    /// 20 bytes: the SHA-1 of the leaf's subjectPublicKey bit string.
    public var ski: [UInt8]
    /// How the edge may serve the site.
    public var modes: Set<TrustMode>
    /// What the key can sign, preferred first; 1 to 32.
    public var schemes: [SignatureScheme]
    /// When the leaf expires, in seconds since 1970 UTC.
    public var notAfter: Int64

    static let maximumChainLength: Int = 10
    static let maximumSchemes: Int = 32

    public init(
        chain: [[UInt8]], ski: [UInt8], modes: Set<TrustMode>, schemes: [SignatureScheme], notAfter: Int64
    ) {
        self.chain = chain
        self.ski = ski
        self.modes = modes
        self.schemes = schemes
        self.notAfter = notAfter
    }

    public init(decoding payload: ByteBuffer) throws(KeyPayloadError) {
        var payload: ByteBuffer = payload
        guard let notAfter: Int64 = payload.readInteger(), let ski: [UInt8] = payload.readBytes(length: 20),
            let modeBits: UInt8 = payload.readInteger(), let schemeCount: UInt8 = payload.readInteger()
        else { throw .truncated }
        guard let modes = Set<TrustMode>(bits: modeBits) else { throw .badValue("modes") }
        guard (1...Self.maximumSchemes).contains(Int(schemeCount)) else { throw .badValue("number of schemes") }
        var schemes: [SignatureScheme] = []
        schemes.reserveCapacity(Int(schemeCount))
        for _ in 0..<schemeCount {
            guard let scheme: UInt16 = payload.readInteger() else { throw .truncated }
            schemes.append(SignatureScheme(rawValue: scheme))
        }
        guard let chainLength: UInt8 = payload.readInteger() else { throw .truncated }
        guard (1...Self.maximumChainLength).contains(Int(chainLength)) else {
            throw .badValue("number of certificates")
        }
        var chain: [[UInt8]] = []
        for _ in 0..<chainLength {
            guard let length: UInt16 = payload.readInteger() else { throw .truncated }
            guard length > 0 else { throw .badValue("empty certificate") }
            guard let certificate: [UInt8] = payload.readBytes(length: Int(length)) else { throw .truncated }
            chain.append(certificate)
        }
        guard payload.readableBytes == 0 else { throw .trailingBytes }
        self.init(chain: chain, ski: ski, modes: modes, schemes: schemes, notAfter: notAfter)
    }

    /// The payload's bytes. Throws ``KeyEncodingError/badItem(tag:length:)`` for values outside the stated bounds, and
    /// ``KeyEncodingError/bodyTooLarge(_:)`` for a chain that no packet can carry.
    public func encoded() throws(KeyEncodingError) -> ByteBuffer {
        let tag: UInt8 = KeyItemTag.payload.rawValue
        guard self.ski.count == 20 else { throw .badItem(tag: tag, length: self.ski.count) }
        guard (1...Self.maximumSchemes).contains(self.schemes.count) else {
            throw .badItem(tag: tag, length: self.schemes.count)
        }
        guard (1...Self.maximumChainLength).contains(self.chain.count) else {
            throw .badItem(tag: tag, length: self.chain.count)
        }
        var payload = ByteBuffer()
        payload.writeInteger(self.notAfter)
        payload.writeBytes(self.ski)
        payload.writeInteger(self.modes.bits)
        payload.writeInteger(UInt8(self.schemes.count))
        for scheme in self.schemes { payload.writeInteger(scheme.rawValue) }
        payload.writeInteger(UInt8(self.chain.count))
        for certificate in self.chain {
            guard !certificate.isEmpty, let length = UInt16(exactly: certificate.count) else {
                throw .badItem(tag: tag, length: certificate.count)
            }
            payload.writeInteger(length)
            payload.writeBytes(certificate)
        }
        // The opcode item (4 bytes) and the payload's own item header have to fit in the body, too.
        let bodySize: Int = payload.readableBytes + 4 + KeyPacketLayout.itemHeaderSize
        guard bodySize <= KeyPacketLayout.maximumBodySize else { throw .bodyTooLarge(bodySize) }
        return payload
    }
}

extension Set<TrustMode> {
    private static let order: [TrustMode] = [.relay, .handoff, .keyless]

    /// Nil if a bit is set that stands for no mode.
    init?(bits: UInt8) {
        guard bits >> UInt8(Self.order.count) == 0 else { return nil }
        self.init(Self.order.enumerated().filter { bits & (1 << UInt8($0.offset)) != 0 }.map(\.element))
    }

    var bits: UInt8 {
        Self.order.enumerated().reduce(0) { self.contains($1.element) ? $0 | (1 << UInt8($1.offset)) : $0 }
    }
}
