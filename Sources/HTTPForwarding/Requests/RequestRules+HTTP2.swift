public import HTTP2Wire
import HTTPFields
import HTTPWire
import NIOCore

/// What becomes of a request that came over HTTP/2.
public enum HTTP2Verdict: Sendable {
    /// As for any other request.
    case judged(RequestVerdict)
    /// Not a request by RFC 9113 §8.1.1: the stream is reset with `PROTOCOL_ERROR`.
    case malformed(HTTP2Malformation)
}

/// The rules of RFC 9113 §8 for requests, before those that all versions share.
extension RequestRules {
    /// - Parameter endsStream: there is no content.
    public func judge(_ block: FieldBlock, endsStream: Bool) -> HTTP2Verdict {
        if let malformation = block.malformation { return .malformed(malformation) }
        let fields = block.fields
        guard let methodRange = block.method, !methodRange.isEmpty else { return .malformed(.missingPseudoField) }
        let bytes = fields.bytes.readableBytesUInt8Span
        guard bytes.isToken(methodRange) else { return .malformed(.missingPseudoField) }
        let method = RequestMethod(bytes, methodRange)
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
            guard self.isServed(scheme, of: fields) else { throw .schemeNotServed }
            let host = try self.host(block.authority, fields)
            return .judged(
                try self.judged(
                    Parts(
                        method: method, otherMethod: method == .other ? fields.slice(methodRange) : ByteBuffer(),
                        target: fields.slice(path), host: host, version: .http2,
                        framing: try Self.framing(fields, endsStream: endsStream), fields: fields,
                        connection: ConnectionOptions())))
        } catch {
            return .judged(.refuse(error))
        }
    }

    /// In any letter case.
    private func isServed(_ scheme: Range<Int>, of fields: FieldSection) -> Bool {
        let ownScheme = self.policy.scheme
        let served = ownScheme.utf8.span
        return fields.bytes.readableBytesUInt8Span.equalsFolded(scheme, served, 0..<served.count)
    }

    private static func announcesContent(_ fields: FieldSection) -> Bool {
        fields.contains(.contentLength)
            && fields.contains { field in
                field.known == .contentLength
                    && (fields.bytes.readableBytesUInt8Span.number(field.value) ?? 0) > 0
            }
    }

    private static func checkPath(
        _ fields: FieldSection, _ path: Range<Int>, _ method: RequestMethod
    ) throws(RequestRefusal) {
        let bytes = fields.bytes.readableBytesUInt8Span
        for position in path where !ByteClass.isTargetByte(bytes[position]) { throw .badTarget }
        if bytes[path.lowerBound] == UInt8(ascii: "/") { return }
        guard path.count == 1, bytes[path.lowerBound] == UInt8(ascii: "*") else { throw .badTarget }
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
