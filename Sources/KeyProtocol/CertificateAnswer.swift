public import NIOCore
public import TLSWire

/// Why a function's payload is not what its name says. Answered with ``KeyErrorCode/formatError``.
public enum KeyPayloadError: Error, Equatable, Sendable {
    case truncated
    case trailingBytes
    /// A count, length or value that the function does not allow; the text names it.
    case badValue(String)
}

/// One certificate of a site with its issuers, and what its key can sign.
public struct CertificateChain: Equatable, Sendable {
    /// DER, the leaf first; 1 to 10 certificates.
    public var certificates: [[UInt8]]
    /// 20 bytes: the SHA-1 of the leaf's subjectPublicKey bit string.
    public var ski: [UInt8]
    /// What the key can sign, preferred first; 1 to 32.
    public var schemes: [SignatureScheme]
    /// When the leaf expires, in seconds since 1970 UTC.
    public var notAfter: Int64

    static let maximumLength: Int = 10
    static let maximumSchemes: Int = 32

    public init(certificates: [[UInt8]], ski: [UInt8], schemes: [SignatureScheme], notAfter: Int64) {
        self.certificates = certificates
        self.ski = ski
        self.schemes = schemes
        self.notAfter = notAfter
    }

    fileprivate init(from payload: inout ByteBuffer) throws(KeyPayloadError) {
        guard let notAfter: Int64 = payload.readInteger(), let ski: [UInt8] = payload.readBytes(length: 20),
            let schemeCount: UInt8 = payload.readInteger()
        else { throw .truncated }
        guard (1...Self.maximumSchemes).contains(Int(schemeCount)) else { throw .badValue("number of schemes") }
        var schemes: [SignatureScheme] = []
        schemes.reserveCapacity(Int(schemeCount))
        for _ in 0..<schemeCount {
            guard let scheme: UInt16 = payload.readInteger() else { throw .truncated }
            schemes.append(SignatureScheme(rawValue: scheme))
        }
        guard let length: UInt8 = payload.readInteger() else { throw .truncated }
        guard (1...Self.maximumLength).contains(Int(length)) else { throw .badValue("number of certificates") }
        var certificates: [[UInt8]] = []
        for _ in 0..<length {
            guard let length: UInt16 = payload.readInteger() else { throw .truncated }
            guard length > 0 else { throw .badValue("empty certificate") }
            guard let certificate: [UInt8] = payload.readBytes(length: Int(length)) else { throw .truncated }
            certificates.append(certificate)
        }
        self.init(certificates: certificates, ski: ski, schemes: schemes, notAfter: notAfter)
    }

    fileprivate func write(to payload: inout ByteBuffer) throws(KeyEncodingError) {
        let tag: UInt8 = KeyItemTag.payload.rawValue
        guard self.ski.count == 20 else { throw .badItem(tag: tag, length: self.ski.count) }
        guard (1...Self.maximumSchemes).contains(self.schemes.count) else {
            throw .badItem(tag: tag, length: self.schemes.count)
        }
        guard (1...Self.maximumLength).contains(self.certificates.count) else {
            throw .badItem(tag: tag, length: self.certificates.count)
        }
        payload.writeInteger(self.notAfter)
        payload.writeBytes(self.ski)
        payload.writeInteger(UInt8(self.schemes.count))
        for scheme in self.schemes { payload.writeInteger(scheme.rawValue) }
        payload.writeInteger(UInt8(self.certificates.count))
        for certificate in self.certificates {
            guard !certificate.isEmpty, let length = UInt16(exactly: certificate.count) else {
                throw .badItem(tag: tag, length: certificate.count)
            }
            payload.writeInteger(length)
            payload.writeBytes(certificate)
        }
    }
}

/// What an edge needs to know of a site: the answer to ``KeyFunction/certificate``.
///
/// Layout, big endian: modes u8 (bits: 1 relay, 2 handoff, 4 keyless), rate u32, number of chains u8; each chain: notAfter
/// i64, key identifier (20 bytes), number of schemes u8, schemes u16 each, number of certificates u8, certificates as length
/// u16 and DER each.
public struct CertificateAnswer: Equatable, Sendable {
    /// How the edge may serve the site.
    public var modes: Set<TrustMode>
    /// The grant's rate: signatures and handshakes per second for this edge and site, with bursts of twice as many.
    public var rate: UInt32
    /// The site's certificates, preferred first; 1 to 8, each with another key. A client is shown one that it can verify.
    public var chains: [CertificateChain]

    static let maximumChains: Int = 8

    public init(modes: Set<TrustMode>, rate: UInt32, chains: [CertificateChain]) {
        self.modes = modes
        self.rate = rate
        self.chains = chains
    }

    public init(decoding payload: ByteBuffer) throws(KeyPayloadError) {
        var payload: ByteBuffer = payload
        guard let modeBits: UInt8 = payload.readInteger(), let rate: UInt32 = payload.readInteger(),
            let count: UInt8 = payload.readInteger()
        else { throw .truncated }
        guard let modes = Set<TrustMode>(bits: modeBits) else { throw .badValue("modes") }
        guard (1...Self.maximumChains).contains(Int(count)) else { throw .badValue("number of chains") }
        var chains: [CertificateChain] = []
        for _ in 0..<count {
            let chain = try CertificateChain(from: &payload)
            // An operation names its chain by the key identifier.
            guard !chains.contains(where: { $0.ski == chain.ski }) else { throw .badValue("key identifier") }
            chains.append(chain)
        }
        guard payload.readableBytes == 0 else { throw .trailingBytes }
        self.init(modes: modes, rate: rate, chains: chains)
    }

    /// The payload's bytes. Throws ``KeyEncodingError/badItem(tag:length:)`` for values outside the stated bounds, and
    /// ``KeyEncodingError/bodyTooLarge(_:)`` for chains that no packet can carry.
    public func encoded() throws(KeyEncodingError) -> ByteBuffer {
        let tag: UInt8 = KeyItemTag.payload.rawValue
        guard (1...Self.maximumChains).contains(self.chains.count),
            Set(self.chains.map(\.ski)).count == self.chains.count
        else { throw .badItem(tag: tag, length: self.chains.count) }
        var payload = ByteBuffer()
        payload.writeMultipleIntegers(self.modes.bits, self.rate, UInt8(self.chains.count))
        for chain in self.chains { try chain.write(to: &payload) }
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
