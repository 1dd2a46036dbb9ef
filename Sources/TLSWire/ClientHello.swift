public import NIOCore

/// What a server's front needs to know of a ClientHello (RFC 8446 §4.1.2), strictly parsed.
///
/// Strict, because a hello is read twice: here, to choose the site, and then by the TLS server of that site. A hello
/// that two parsers could read differently is refused. What only the TLS server can judge (PSK binders, the contents of
/// key shares) is left to it.
public struct ClientHello: Equatable, Sendable {
    /// The version from before the supported_versions extension; 0x0303 in TLS 1.3.
    public var legacyVersion: UInt16
    /// 32 bytes.
    public var random: [UInt8]
    public var cipherSuites: [UInt16]
    public var serverName: ServerName?
    /// ALPN protocol names in the client's order; empty without the extension.
    public var applicationProtocols: [[UInt8]] = []
    /// In the client's order, GREASE values included. Without the extension: the legacy version, at most TLS 1.2.
    public var supportedVersions: [UInt16]
    public var supportedGroups: [UInt16] = []
    /// The groups for which the client sends a key share at once.
    public var keyShareGroups: [UInt16] = []
    public var signatureSchemes: [SignatureScheme] = []
    public var offersEarlyData = false
    public var offersPreSharedKey = false

    /// Whether the client can do TLS 1.3.
    public var offersTLS13: Bool { supportedVersions.contains(TLSVersion.tls13) }

    /// Whether the client can do TLS 1.2 or 1.3. If it can't, `protocol_version` is the answer.
    public var offersTLS12OrLater: Bool {
        supportedVersions.contains(TLSVersion.tls12) || supportedVersions.contains(TLSVersion.tls13)
    }

    /// Whether a server that speaks these protocols can serve the client: it names one of them, or none at all (ALPN). If not,
    /// `no_application_protocol` is the answer (RFC 7301 §3.2).
    public func accepts(anyOf protocols: [String]) -> Bool {
        applicationProtocols.isEmpty
            || protocols.contains { name in applicationProtocols.contains { name.utf8.elementsEqual($0) } }
    }

    /// Parses a whole handshake message, its 4-byte header included, with nothing after it.
    public init(parsing message: ByteBuffer) throws(ClientHelloError) {
        var reader = WireReader(message)
        guard let type: UInt8 = reader.uint8() else { throw .badLength(.message) }
        guard type == HandshakeType.clientHello.rawValue else { throw .notClientHello }
        guard let length: Int = reader.uint24(), length == reader.remaining, let version: UInt16 = reader.uint16()
        else { throw .badLength(.message) }
        guard let random: [UInt8] = reader.bytes(32) else { throw .badLength(.random) }
        guard reader.vector8(0...32) != nil else { throw .badLength(.sessionID) }
        guard var suites: WireReader = reader.vector16(2...0xFFFE), let cipherSuites = suites.remainingUInt16s() else {
            throw .badLength(.cipherSuites)
        }
        guard var compression: WireReader = reader.vector8(1...0xFF) else { throw .badLength(.compressionMethods) }
        let compressionMethods: [UInt8] = compression.remainingBytes()

        legacyVersion = version
        self.random = random
        self.cipherSuites = cipherSuites
        supportedVersions = [min(version, TLSVersion.tls12)]

        // A client of TLS 1.2 may leave the whole block of extensions out (RFC 5246 §7.4.1.2).
        if !reader.isAtEnd {
            guard let extensions: WireReader = reader.vector16() else { throw .badLength(.extensions) }
            guard reader.isAtEnd else { throw .badLength(.message) }
            try parse(extensions: extensions)
        }

        let nullOnly: Bool = compressionMethods == [0]
        let offersTLS13: Bool = supportedVersions.contains(TLSVersion.tls13)
        guard nullOnly || (compressionMethods.contains(0) && !offersTLS13) else { throw .badCompressionMethods }
    }

    private mutating func parse(extensions: WireReader) throws(ClientHelloError) {
        var extensions: WireReader = extensions
        var seen = NumberSet()
        while !extensions.isAtEnd {
            guard let type: UInt16 = extensions.uint16(), let body: WireReader = extensions.vector16() else {
                throw .badLength(.extensions)
            }
            if offersPreSharedKey { throw .preSharedKeyNotLast }
            guard seen.insert(type) else { throw .duplicateExtension(type) }
            try parse(extension: type, body)
        }
    }

    private mutating func parse(extension type: UInt16, _ body: WireReader) throws(ClientHelloError) {
        switch ExtensionType(rawValue: type) {
        case .serverName:
            serverName = try Self.serverName(body)
        case .supportedGroups:
            supportedGroups = try Self.numbers(body, .supportedGroups)
        case .signatureAlgorithms:
            signatureSchemes = try Self.numbers(body, .signatureAlgorithms).map(SignatureScheme.init)
        case .applicationProtocols:
            applicationProtocols = try Self.protocols(body)
        case .supportedVersions:
            var body: WireReader = body
            guard var list: WireReader = body.vector8(2...254), body.isAtEnd, let versions = list.remainingUInt16s()
            else { throw .badLength(.supportedVersions) }
            supportedVersions = versions
        case .keyShare:
            keyShareGroups = try Self.keyShares(body)
        case .earlyData:
            guard body.isAtEnd else { throw .badLength(.earlyData) }
            offersEarlyData = true
        case .preSharedKey:
            offersPreSharedKey = true
        case nil:
            break
        }
    }

    /// RFC 6066 §3.
    private static func serverName(_ body: WireReader) throws(ClientHelloError) -> ServerName {
        var body: WireReader = body
        guard var list: WireReader = body.vector16(1...0xFFFF), body.isAtEnd else { throw .badLength(.serverName) }
        guard let type: UInt8 = list.uint8() else { throw .badLength(.serverName) }
        guard type == 0 else { throw .unknownServerNameType(type) }
        guard var name: WireReader = list.vector16(1...0xFFFF) else { throw .badLength(.serverName) }
        if let next: UInt8 = list.uint8() {
            guard list.vector16(1...0xFFFF) != nil else { throw .badLength(.serverName) }
            throw next == 0 ? .severalServerNames : .unknownServerNameType(next)
        }
        do {
            return try ServerName(wire: name.remainingBytes())
        } catch {
            throw .badServerName(error)
        }
    }

    /// RFC 7301 §3.1.
    private static func protocols(_ body: WireReader) throws(ClientHelloError) -> [[UInt8]] {
        var body: WireReader = body
        guard var list: WireReader = body.vector16(2...0xFFFF), body.isAtEnd else {
            throw .badLength(.applicationProtocols)
        }
        var protocols: [[UInt8]] = []
        while !list.isAtEnd {
            guard var name: WireReader = list.vector8(1...0xFF) else { throw .badLength(.applicationProtocols) }
            protocols.append(name.remainingBytes())
        }
        return protocols
    }

    /// RFC 8446 §4.2.8. The list may be empty: the client then asks for a HelloRetryRequest.
    private static func keyShares(_ body: WireReader) throws(ClientHelloError) -> [UInt16] {
        var body: WireReader = body
        guard var list: WireReader = body.vector16(), body.isAtEnd else { throw .badLength(.keyShare) }
        var groups: [UInt16] = []
        var seen = NumberSet()
        while !list.isAtEnd {
            guard let group: UInt16 = list.uint16(), list.vector16(1...0xFFFF) != nil else {
                throw .badLength(.keyShare)
            }
            guard seen.insert(group) else { throw .duplicateKeyShare(group) }
            groups.append(group)
        }
        return groups
    }

    /// A list of two-byte numbers behind a two-byte length, not empty.
    private static func numbers(
        _ body: WireReader, _ part: ClientHelloError.Part
    ) throws(ClientHelloError) -> [UInt16] {
        var body: WireReader = body
        guard var list: WireReader = body.vector16(2...0xFFFE), body.isAtEnd, let numbers = list.remainingUInt16s()
        else { throw .badLength(part) }
        return numbers
    }
}

/// The extensions that this module reads (IANA: TLS ExtensionType Values).
enum ExtensionType: UInt16 {
    case serverName = 0
    case supportedGroups = 10
    case signatureAlgorithms = 13
    case applicationProtocols = 16
    case preSharedKey = 41
    case earlyData = 42
    case supportedVersions = 43
    case keyShare = 51
}
