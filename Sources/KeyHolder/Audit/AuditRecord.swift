import AuditChain
import HTTPFields
import Hexadecimal
import TLSEngine
import TLSWire

/// How an operation ended, as audit lines and metrics name it.
public enum AuditOutcome: String, Sendable, CaseIterable {
    case ok
    /// The site exists, but the edge was not granted it or not for this operation.
    case denied
    /// No site has the name, key identifier or digest.
    case unknownSite = "unknown-site"
    case rateLimited = "rate-limited"
    /// It could not have been done in time, or too many requests were in flight; nothing was done.
    case overloaded
    /// Its deadline passed while it waited; nothing was done.
    case pastDeadline = "past-deadline"
    /// The edge took the request back while it waited, since another key holder had answered; nothing was done.
    case cancelled
    case formatError = "format-error"
    case badOpcode = "bad-opcode"
    case unexpectedOpcode = "unexpected-opcode"
    /// The operation or scheme does not fit the site's key.
    case wrongKeyType = "wrong-key-type"
    /// The request names a certificate that the site does not have now.
    case staleCertificate = "stale-certificate"
    /// The site's certificate has expired.
    case expired
    case cryptographyFailed = "cryptography-failed"
    case versionMismatch = "version-mismatch"
    /// The connection ended before the answer could be given; the detail says whether the operation had been done by then.
    /// Of a TLS handshake: the edge let it go, or was gone itself.
    case abandoned
    /// A TLS handshake with a client did not come about; the detail says why.
    case handshakeFailed = "handshake-failed"
    /// A TLS handshake was not done within the limit.
    case stalled
    /// Of a native handshake: it was done, but the site's application could not be reached.
    case unavailable
    /// Of a certificate's order: it came to nothing; the detail says why.
    case failed
    /// The connection was not accepted.
    case refused
    /// The connection was closed because the edge lost its last grant, its identity expired, or the authority
    /// that signed it is not trusted any more.
    case cutOff = "cut-off"
}

/// What server and client agreed on in a TLS handshake.
struct AuditedHandshake: Equatable, Sendable {
    /// Numbers as on the wire.
    var version: UInt16
    var cipherSuite: UInt16
    /// By a session ticket; nil where the handshake did not get that far.
    var resumed: Bool?

    init(version: UInt16, cipherSuite: UInt16, resumed: Bool? = nil) {
        self.version = version
        self.cipherSuite = cipherSuite
        self.resumed = resumed
    }

    /// What the server has chosen, and, where the session was exported, whether it was an old one.
    init(_ facts: HandshakeFacts, isExported: Bool) {
        self.init(version: facts.version, cipherSuite: facts.suite, resumed: isExported ? facts.resumed : nil)
    }
}

/// One audit line.
struct AuditRecord: Equatable, Sendable {
    /// Milliseconds since 1970 UTC.
    var time: Int64
    /// The edge's name; nil before it is known.
    var edge: String?
    /// The connection's remote address, for lines about connections.
    var address: String?
    /// The site's first domain; nil if there is no such site.
    var site: String?
    /// The server name as asked for.
    var serverName: String?
    /// 4 or 16 bytes.
    var clientIP: [UInt8]?
    /// An operation's name, or an event's.
    var operation: String
    var outcome: AuditOutcome
    /// Microseconds from the packet's arrival to the answer.
    var duration: Int64
    /// Why, where the outcome does not say it all.
    var detail: String?
    /// Of a TLS handshake with a client.
    var tls: AuditedHandshake?
    /// The certificate whose key it is about, where the site has several: its SHA-256 in hexadecimal.
    var certificate: String?
    /// Where the line stands for several.
    var repeats: Repeats?
    /// Of a line of the chain's own.
    var members: ChainMembers?

    /// What only lines of the chain's own have.
    enum ChainMembers: Equatable {
        /// The hash of the line before, in hexadecimal digits.
        case after(String)
        /// Who signs, in hexadecimal digits.
        case signer(String)
        case broken(AuditTail.Rest)
    }

    /// How many a line stands for.
    struct Repeats: Equatable, Sendable {
        var count: Int
        /// The first of them; milliseconds since 1970 UTC.
        var since: Int64
    }

    /// Longer details are cut; bytes.
    static let longestDetail = 2048

    /// The record as members of a JSON object, without its braces, and with a line feed: what a sealed line is made of.
    func appendBody(to bytes: inout [UInt8]) {
        bytes.append(contentsOf: "\"time\":\"".utf8)
        Timestamp.append(self.time, to: &bytes)
        bytes.append(UInt8(ascii: "\""))
        Self.append("edge", self.edge, to: &bytes)
        if let address = self.address { Self.append("address", address, to: &bytes) }
        Self.append("site", self.site, to: &bytes)
        if let name = self.serverName { Self.append("name", name, to: &bytes) }
        Self.append("client", self.clientIP.flatMap(IPText.text), to: &bytes)
        Self.append("operation", self.operation, to: &bytes)
        Self.append("outcome", self.outcome.rawValue, to: &bytes)
        if let detail = self.detail { Self.append("detail", Self.cut(detail), to: &bytes) }
        if let tls = self.tls {
            Self.append("tls_version", TLSNames.version(tls.version), to: &bytes)
            Self.append("cipher_suite", TLSNames.cipherSuite(tls.cipherSuite), to: &bytes)
            if let resumed = tls.resumed {
                bytes.append(contentsOf: (resumed ? ",\"resumed\":true" : ",\"resumed\":false").utf8)
            }
        }
        if let certificate = self.certificate { Self.append("certificate", certificate, to: &bytes) }
        if let repeats = self.repeats {
            bytes.append(contentsOf: ",\"count\":\(repeats.count),\"since\":\"".utf8)
            Timestamp.append(repeats.since, to: &bytes)
            bytes.append(UInt8(ascii: "\""))
        }
        bytes.append(contentsOf: ",\"us\":".utf8)
        bytes.append(contentsOf: String(self.duration).utf8)
        switch self.members {
        case .after(let hash): Self.append("after", hash, to: &bytes)
        case .signer(let key): Self.append("key", key, to: &bytes)
        case .broken(let rest):
            bytes.append(contentsOf: ",\"broken_bytes\":\(rest.count)".utf8)
            Self.append("broken_sha256", Hex.text(rest.digest), to: &bytes)
        case nil: break
        }
        bytes.append(0x0A)
    }

    private static func cut(_ detail: String) -> String {
        guard detail.utf8.count > Self.longestDetail else { return detail }
        var cut = ""
        for character in detail.unicodeScalars where cut.utf8.count < Self.longestDetail - 8 {
            cut.unicodeScalars.append(character)
        }
        return cut + "…"
    }

    private static func isEscaped(_ byte: UInt8) -> Bool {
        byte < 0x20 || byte == 0x7F || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\")
    }

    private static func append(_ key: String, _ value: String?, to bytes: inout [UInt8]) {
        bytes.append(contentsOf: ",\"".utf8)
        bytes.append(contentsOf: key.utf8)
        bytes.append(contentsOf: "\":".utf8)
        guard let value else {
            bytes.append(contentsOf: "null".utf8)
            return
        }
        bytes.append(UInt8(ascii: "\""))
        // Nearly all are plain.
        if !value.utf8.contains(where: Self.isEscaped) {
            bytes.append(contentsOf: value.utf8)
            bytes.append(UInt8(ascii: "\""))
            return
        }
        for byte in value.utf8 {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"):
                bytes.append(UInt8(ascii: "\\"))
                bytes.append(byte)
            case _ where Self.isEscaped(byte):
                bytes.append(contentsOf: "\\u00".utf8)
                Hex.append(CollectionOfOne(byte), to: &bytes)
            default:
                bytes.append(byte)
            }
        }
        bytes.append(UInt8(ascii: "\""))
    }
}

/// RFC 3339 in UTC with milliseconds, written straight into a byte array: it is made for each operation.
enum Timestamp {
    static func append(_ milliseconds: Int64, to bytes: inout [UInt8]) {
        let seconds: Int64 = CivilDate.floorDivide(milliseconds, 1000)
        let day: Int64 = CivilDate.floorDivide(seconds, 86_400)
        let second: Int64 = seconds - day * 86_400
        let date = CivilDate(days: day)
        Self.append(Int64(date.year), digits: 4, to: &bytes)
        bytes.append(UInt8(ascii: "-"))
        Self.append(Int64(date.month), digits: 2, to: &bytes)
        bytes.append(UInt8(ascii: "-"))
        Self.append(Int64(date.day), digits: 2, to: &bytes)
        bytes.append(UInt8(ascii: "T"))
        Self.append(second / 3600, digits: 2, to: &bytes)
        bytes.append(UInt8(ascii: ":"))
        Self.append(second / 60 % 60, digits: 2, to: &bytes)
        bytes.append(UInt8(ascii: ":"))
        Self.append(second % 60, digits: 2, to: &bytes)
        bytes.append(UInt8(ascii: "."))
        Self.append(milliseconds - seconds * 1000, digits: 3, to: &bytes)
        bytes.append(UInt8(ascii: "Z"))
    }

    private static func append(_ value: Int64, digits: Int, to bytes: inout [UInt8]) {
        var scale: Int64 = 1
        for _ in 1..<digits { scale *= 10 }
        while scale > 0 {
            bytes.append(UInt8(ascii: "0") + UInt8(value / scale % 10))
            scale /= 10
        }
    }
}

/// Text of an IP address in wire form.
enum IPText {
    /// Nil unless there are 4 or 16 bytes. IPv6 as in RFC 5952.
    static func text(_ bytes: [UInt8]) -> String? {
        switch bytes.count {
        case 4: Self.ipv4(bytes)
        case 16: Self.ipv6(bytes)
        default: nil
        }
    }

    private static func ipv4(_ bytes: [UInt8]) -> String {
        // Short enough to need no memory of its own.
        String(unsafeUninitializedCapacity: 15) { text in
            var count: Int = 0
            for (index, byte) in bytes.enumerated() {
                if index > 0 {
                    text[count] = UInt8(ascii: ".")
                    count += 1
                }
                var scale: UInt8 = byte < 10 ? 1 : byte < 100 ? 10 : 100
                while scale > 0 {
                    text[count] = UInt8(ascii: "0") + byte / scale % 10
                    count += 1
                    scale /= 10
                }
            }
            return count
        }
    }

    private static func ipv6(_ bytes: [UInt8]) -> String {
        let groups: [UInt16] = (0..<8).map { UInt16(bytes[2 * $0]) << 8 | UInt16(bytes[2 * $0 + 1]) }
        // The longest run of two or more zero groups, the first of equals, becomes "::".
        var best: Range<Int> = 0..<0
        var start: Int = 0
        while start < 8 {
            var end: Int = start
            while end < 8 && groups[end] == 0 { end += 1 }
            if end - start >= 2 && end - start > best.count { best = start..<end }
            start = end + 1
        }
        func text(_ range: Range<Int>) -> String {
            range.map { String(groups[$0], radix: 16) }.joined(separator: ":")
        }
        return best.isEmpty ? text(0..<8) : text(0..<best.lowerBound) + "::" + text(best.upperBound..<8)
    }
}
