public import NIOHPACK
import NIOHTTP1

/// What becomes of a request that came over HTTP/2.
public enum HTTP2RequestDecision: Sendable {
    /// As for any other request.
    case decided(RequestDecision)
    /// Not a request by RFC 9113 §8.1.1: the stream is reset with `PROTOCOL_ERROR`.
    case malformed(HTTP2Malformation)
}

/// Why a header block is no request. The raw value is constant text for logs and metrics.
public enum HTTP2Malformation: String, Error, CaseIterable, Sendable {
    /// RFC 9113 §8.3: unknown, repeated, behind other fields, or not for requests. `:protocol` as well, since RFC 8441 is
    /// not offered.
    case badPseudoField = "bad-pseudo-field"
    /// RFC 9113 §8.3.1.
    case missingPseudoField = "missing-pseudo-field"
    /// RFC 9113 §8.2.1: upper case, or a character that no field name has.
    case badFieldName = "bad-field-name"
    /// RFC 9113 §8.2.1: a control character, or a space at either end.
    case badFieldValue = "bad-field-value"
    /// RFC 9113 §8.2.2: `Connection`, `Transfer-Encoding` and the like; `TE` with anything but `trailers`.
    case connectionField = "connection-field"
    /// RFC 9113 §8.1.1: a length, and no body.
    case lengthWithoutBody = "length-without-body"
    /// RFC 9113 §8.1: pseudo-fields in trailers.
    case pseudoFieldInTrailers = "pseudo-field-in-trailers"
}

/// The rules of RFC 9113 §8 for requests, before those that all versions share.
extension RequestForwarding {
    /// - Parameter endsStream: the block ends the stream: there is no body.
    public func decide(_ block: HPACKHeaders, endsStream: Bool) -> HTTP2RequestDecision {
        var request = HTTP2RequestFields(capacity: block.count + 6)
        do throws(HTTP2Malformation) {
            for (name, value, _) in block { try request.add(name, value) }
            try request.check(endsStream: endsStream)
        } catch {
            return .malformed(error)
        }
        do throws(RequestRefusal) {
            return .decided(try self.decided(request, endsStream: endsStream))
        } catch {
            return .decided(.refuse(error))
        }
    }

    private func decided(
        _ request: HTTP2RequestFields, endsStream: Bool
    ) throws(RequestRefusal) -> RequestDecision {
        if request.method == "CONNECT" { throw .connectNotSupported }
        if request.path.utf8.count > self.policy.maximumTargetBytes { throw .targetTooLong }
        let method = HTTPMethod(rawValue: request.method)
        switch RequestTarget(request.path, isConnect: false) {
        case .origin: break
        case .asterisk: if method != .OPTIONS { throw .asteriskNotOptions }
        case .absolute, .authority, nil: throw .badTarget
        }
        if FieldText.lowercased(request.scheme) != self.policy.scheme { throw .schemeNotServed }

        var fields = RequestFields(capacity: request.fields.count + 7)
        var crumbs = HTTP2Cookies()
        for (name, value) in request.fields {
            if crumbs.isCookie(name) {
                crumbs.add(value, to: &fields)
            } else {
                try fields.add(name: name, value: value, policy: self.policy)
            }
        }
        crumbs.finish(in: &fields)

        let host = try self.servedHost(Self.host(request.authority, fields))
        let body: OldBodyFraming
        switch try Self.body(fields.framing, minorVersion: 1) {
        case .length(let length): body = .length(length)
        // Neither a length nor an end: what HTTP/1.1 has the chunked coding for.
        default: body = endsStream ? .none : .chunked
        }
        return try self.decided(
            method, uri: request.path, host: host, fields: fields, body: body, version: .http2)
    }

    /// `:authority`, or in its absence the `Host` field (RFC 9113 §8.3.1). Where both are there they have to agree: an origin
    /// gets one of them only, and caches and access rules may look at the other.
    private static func host(_ authority: String?, _ fields: RequestFields) throws(RequestRefusal) -> String {
        if fields.hostCount > 1 { throw .severalHosts }
        switch (authority, fields.host) {
        case (nil, nil): throw .missingHost
        case (let authority?, nil): return authority
        case (nil, let host?): return host
        case (let authority?, let host?):
            if authority == host { return authority }
            guard let one = OldAuthority(authority), let other = OldAuthority(host) else { throw .badHost }
            if one != other { throw .authorityDiffersFromHost }
            return authority
        }
    }
}

/// Trailers of a request that came over HTTP/2.
extension TrailerFields {
    /// Why the block is no trailer section; `nil` if it is one.
    public static func malformation(_ block: HPACKHeaders) -> HTTP2Malformation? {
        for (name, value, _) in block {
            if name.utf8.first == UInt8(ascii: ":") { return .pseudoFieldInTrailers }
            do throws(HTTP2Malformation) {
                try HTTP2RequestFields.checkField(name, value)
            } catch {
                return error
            }
        }
        return nil
    }
}

/// A request's pseudo-fields, and the others behind them, each checked for itself.
struct HTTP2RequestFields {
    private(set) var method = ""
    private(set) var scheme = ""
    private(set) var path = ""
    private(set) var authority: String?
    private(set) var fields: [(String, String)] = []

    init(capacity: Int) {
        self.fields.reserveCapacity(capacity)
    }

    mutating func add(_ name: String, _ value: String) throws(HTTP2Malformation) {
        guard name.utf8.first == UInt8(ascii: ":") else {
            try Self.checkField(name, value)
            self.fields.append((name, value))
            return
        }
        guard self.fields.isEmpty else { throw .badPseudoField }
        guard FieldText.isValue(value) else { throw .badFieldValue }
        switch name {
        case ":method" where self.method.isEmpty: self.method = value
        case ":scheme" where self.scheme.isEmpty: self.scheme = value
        case ":path" where self.path.isEmpty: self.path = value
        case ":authority" where self.authority == nil: self.authority = value
        default: throw .badPseudoField
        }
    }

    func check(endsStream: Bool) throws(HTTP2Malformation) {
        guard FieldText.isToken(self.method) else { throw .missingPseudoField }
        if self.method == "CONNECT" {
            // RFC 9113 §8.5.
            guard self.scheme.isEmpty, self.path.isEmpty, self.authority != nil else { throw .badPseudoField }
        } else if self.scheme.isEmpty || self.path.isEmpty {
            throw .missingPseudoField
        }
        guard endsStream else { return }
        for (name, value) in self.fields
        where FieldText.equal(name, "content-length") && (FramingFields.number(value) ?? 0) > 0 {
            throw .lengthWithoutBody
        }
    }

    /// A field that is no pseudo-field.
    static func checkField(_ name: String, _ value: String) throws(HTTP2Malformation) {
        var isEmpty = true
        for byte in name.utf8 {
            guard FieldText.isTokenByte(byte), byte &- UInt8(ascii: "A") >= 26 else { throw .badFieldName }
            isEmpty = false
        }
        if isEmpty { throw .badFieldName }
        guard FieldText.isValue(value), !Self.hasOuterSpace(value) else { throw .badFieldValue }
        switch SpecialField(name) {
        case .connection, .keepAlive, .proxyConnection, .transferEncoding, .upgrade: throw .connectionField
        case .te: if !FieldText.equal(value, "trailers") { throw .connectionField }
        default: break
        }
    }

    private static func hasOuterSpace(_ value: String) -> Bool {
        let view = value.utf8
        guard let first = view.first, let last = view.last else { return false }
        return first == UInt8(ascii: " ") || first == UInt8(ascii: "\t") || last == UInt8(ascii: " ")
            || last == UInt8(ascii: "\t")
    }
}

/// HTTP/2 clients may cut `Cookie` at its semicolons, so that HPACK finds the parts again; HTTP/1.1 knows one field
/// (RFC 9113 §8.2.3).
private struct HTTP2Cookies {
    private var index: Int?
    private var joined = ""

    func isCookie(_ name: String) -> Bool { FieldText.equal(name, "cookie") }

    mutating func add(_ value: String, to fields: inout RequestFields) {
        if self.index == nil {
            self.index = fields.kept.count
            self.joined = value
            fields.kept.append(("Cookie", value))
        } else {
            self.joined += "; "
            self.joined += value
        }
    }

    func finish(in fields: inout RequestFields) {
        if let index { fields.kept[index].1 = self.joined }
    }
}
