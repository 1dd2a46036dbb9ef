public import HTTPFields
import HTTPWire
import NIOCore

/// What becomes of a request that came over HTTP/2.
public enum HTTP2Verdict: Sendable {
    /// As for any other request.
    case judged(RequestVerdict)
    /// Not a request by RFC 9113 §8.1.1: the stream is reset with `PROTOCOL_ERROR`.
    case malformed(HTTP2Malformation)
}

/// A request's field block as HPACK gives it (RFC 9113 §8.3.1): pseudo-fields, and the others behind them, each checked for itself as it
/// is added. All faults are the client's.
public struct HTTP2RequestBlock: Sendable {
    private var builder: FieldSectionBuilder
    private var cookie: ByteBuffer?
    private var hasFields = false
    private(set) var method: Range<Int>?
    private(set) var scheme: Range<Int>?
    private(set) var path: Range<Int>?
    private(set) var authority: Range<Int>?

    /// - Parameter capacity: about how many bytes names and values have, if that is known.
    public init(capacity: Int = 512) {
        self.builder = FieldSectionBuilder(capacity: capacity)
    }

    /// How many fields there are, without the pseudo-fields; the parts of `Cookie` are one.
    public var count: Int { self.builder.count + (self.cookie == nil ? 0 : 1) }

    public mutating func add(
        name: some Collection<UInt8>, value: some BidirectionalCollection<UInt8>
    ) throws(HTTP2Malformation) {
        guard name.first == UInt8(ascii: ":") else {
            self.hasFields = true
            let known = try HTTP2Field.check(name, value)
            // Clients may cut it at its semicolons, so that HPACK finds the parts again; HTTP/1.1 knows one field (§8.2.3).
            if known == .cookie { return self.addCookie(value) }
            do throws(FieldFault) { try self.builder.add(name: name, value: value) } catch { throw .badFieldValue }
            return
        }
        guard !self.hasFields else { throw .badPseudoField }
        guard ByteClass.hasNoControl(value) else { throw .badFieldValue }
        if name.elementsEqual(":method".utf8) {
            try self.set(\.method, value)
        } else if name.elementsEqual(":scheme".utf8) {
            try self.set(\.scheme, value)
        } else if name.elementsEqual(":path".utf8) {
            try self.set(\.path, value)
        } else if name.elementsEqual(":authority".utf8) {
            try self.set(\.authority, value)
        } else {
            throw .badPseudoField
        }
    }

    private mutating func set(
        _ field: WritableKeyPath<Self, Range<Int>?>, _ value: some Collection<UInt8>
    ) throws(HTTP2Malformation) {
        guard self[keyPath: field] == nil else { throw .badPseudoField }
        self[keyPath: field] = self.builder.addBytes(value)
    }

    private mutating func addCookie(_ value: some Collection<UInt8>) {
        if self.cookie == nil { self.cookie = ByteBuffer() } else { self.cookie?.writeStaticString("; ") }
        self.cookie?.writeBytes(value)
    }

    /// The fields behind the pseudo-fields; the latter's ranges are in the section's bytes, too.
    var section: FieldSection {
        guard let cookie else { return self.builder.section }
        var builder = self.builder
        // Its parts have been checked.
        try? builder.add(.cookie, cookie.readableBytesView)
        return builder.section
    }
}

/// A trailer section as HPACK gives it.
public struct HTTP2TrailerBlock: Sendable {
    private var builder = FieldSectionBuilder()

    public init() {}

    public mutating func add(
        name: some Collection<UInt8>, value: some BidirectionalCollection<UInt8>
    ) throws(HTTP2Malformation) {
        if name.first == UInt8(ascii: ":") { throw .pseudoFieldInTrailers }
        _ = try HTTP2Field.check(name, value)
        do throws(FieldFault) { try self.builder.add(name: name, value: value) } catch { throw .badFieldValue }
    }

    public var section: FieldSection { self.builder.section }
}

/// The rules of RFC 9113 §8.2 for a field that is no pseudo-field.
enum HTTP2Field {
    /// - Returns: the name's number, if it has one.
    static func check(
        _ name: some Collection<UInt8>, _ value: some BidirectionalCollection<UInt8>
    ) throws(HTTP2Malformation) -> KnownField? {
        guard ByteClass.isToken(name), name.allSatisfy({ $0 &- UInt8(ascii: "A") >= 26 }) else { throw .badFieldName }
        guard ByteClass.isValue(value) else { throw .badFieldValue }
        let known = KnownField(name)
        switch known {
        case .connection, .keepAlive, .proxyConnection, .transferEncoding, .upgrade: throw .connectionField
        case .te:
            guard value.map(ByteClass.lowercased).elementsEqual("trailers".utf8) else { throw .connectionField }
        default: break
        }
        return known
    }
}

extension RequestRules {
    /// - Parameter endsStream: the block ends the stream: there is no content.
    public func judge(_ block: HTTP2RequestBlock, endsStream: Bool) -> HTTP2Verdict {
        let fields = block.section
        guard let methodRange = block.method, !methodRange.isEmpty else { return .malformed(.missingPseudoField) }
        let name = fields.slice(methodRange)
        guard ByteClass.isToken(name.readableBytesView) else { return .malformed(.missingPseudoField) }
        let method = RequestMethod(name.readableBytesView)
        if method == .connect {
            // RFC 9113 §8.5.
            guard block.scheme == nil, block.path == nil, block.authority != nil else {
                return .malformed(.badPseudoField)
            }
            return .judged(.refuse(.connectNotSupported))
        }
        guard let scheme = block.scheme, let path = block.path, !scheme.isEmpty, !path.isEmpty else {
            return .malformed(.missingPseudoField)
        }
        if endsStream, Self.announcesContent(fields) { return .malformed(.lengthWithoutBody) }
        do throws(RequestRefusal) {
            if path.count > self.policy.maximumTargetBytes { throw .targetTooLong }
            try Self.checkPath(fields, path, method)
            guard fields.text(scheme).lowercased() == self.policy.scheme else { throw .schemeNotServed }
            let host = try self.host(block.authority, fields)
            return .judged(
                try self.judged(
                    Parts(
                        method: method, otherMethod: method == .other ? name : ByteBuffer(),
                        target: fields.slice(path), host: host, version: .http2,
                        framing: try Self.framing(fields, endsStream: endsStream), fields: fields,
                        connection: ConnectionOptions())))
        } catch {
            return .judged(.refuse(error))
        }
    }

    private static func announcesContent(_ fields: FieldSection) -> Bool {
        fields.contains(.contentLength)
            && fields.contains { field in
                field.known == .contentLength
                    && (fields.withBytes(field.value) { DecimalNumber.parse($0) } ?? 0) > 0
            }
    }

    private static func checkPath(
        _ fields: FieldSection, _ path: Range<Int>, _ method: RequestMethod
    ) throws(RequestRefusal) {
        let target = fields.slice(path).readableBytesView
        guard target.allSatisfy(ByteClass.isTargetByte) else { throw .badTarget }
        if target.first == UInt8(ascii: "/") { return }
        guard target.count == 1, target.first == UInt8(ascii: "*") else { throw .badTarget }
        if method != .options { throw .asteriskNotOptions }
    }

    private static func framing(_ fields: FieldSection, endsStream: Bool) throws(RequestRefusal) -> BodyFraming {
        do throws(WireFault) {
            if let announced = try BodyFraming.announced(in: fields, minorVersion: 1) { return announced }
        } catch {
            throw error == .severalLengths ? .severalLengths : .badLength
        }
        // Neither a length nor an end: what HTTP/1.1 has the chunked coding for.
        return endsStream ? .none : .chunked
    }

    /// `:authority`, or in its absence the `Host` field (RFC 9113 §8.3.1). Where both are there they have to agree: an origin
    /// gets one of them only, and caches and access rules may look at the other.
    private func host(_ authority: Range<Int>?, _ fields: FieldSection) throws(RequestRefusal) -> String {
        if fields.repeats(.host) { throw .severalHosts }
        let field = fields.first(.host)?.value
        guard let authority else {
            guard let field else { throw .missingHost }
            return try self.servedHost(fields, field)
        }
        if let field {
            if fields.copy(authority) != fields.copy(field) {
                if authority.isEmpty || field.isEmpty { throw .badHost }
                guard try SiteHost(fields, authority) == SiteHost(fields, field) else {
                    throw .authorityDiffersFromHost
                }
            }
        }
        return try self.servedHost(fields, authority)
    }
}
