import HTTPFields
import NIOCore

/// Where an origin is, as it may call itself in `Location`: with the scheme and port that this edge reaches it by.
///
/// Web servers put their own scheme and port into redirects (nginx: `absolute_redirect`, `port_in_redirect`), beside the host that the
/// client asked for or their own name. No client can follow that, so such a reference is written anew with the client's scheme, host
/// and port. References to anywhere else, and relative ones, pass as they are.
public struct OriginAddress: Sendable {
    /// `http` or `https`.
    public var scheme: String
    /// A DNS name in lower case, or an IP address without brackets.
    public var host: String
    /// 1...65535.
    public var port: Int

    public init(scheme: String, host: String, port: Int) {
        self.scheme = scheme
        self.host = host
        self.port = port
    }

    /// The fields with `Location` and `Content-Location` as the client needs them; nil where all pass as they are.
    ///
    /// - Parameters:
    ///   - scheme: the client's, in lower case.
    ///   - host: the client's, in normal form; with a port only if it is not the scheme's own.
    func translating(_ fields: FieldSection, scheme: String, host: String) -> FieldSection? {
        guard fields.contains(.location) || fields.contains(.contentLocation) else { return nil }
        let name = host.utf8.last == UInt8(ascii: "]") ? host[...] : host.prefix { $0 != ":" }
        let isOwn = { (field: FieldRecord) in
            field.known == .location || field.known == .contentLocation
        }
        guard fields.contains(where: { isOwn($0) && self.rest(of: fields.slice($0.value), beside: name) != nil }) else {
            return nil
        }
        var builder = FieldSectionBuilder(capacity: fields.bytes.readableBytes + host.utf8.count)
        for field in fields {
            guard isOwn(field), let known = field.known,
                let rest = self.rest(of: fields.slice(field.value), beside: name)
            else {
                builder.add(field, of: fields)
                continue
            }
            let value = ByteBuffer(string: "\(scheme)://\(host)\(String(buffer: rest))")
            // Both parts have been judged as values; a field that is none would be left as it came.
            do { try builder.add(known, value.readableBytesView) } catch { builder.add(field, of: fields) }
        }
        return builder.section
    }

    /// What stands behind scheme and authority, if those are this origin's.
    ///
    /// - Parameter name: the client's host without a port, which the origin may call itself by as well.
    private func rest(of value: ByteBuffer, beside name: Substring) -> ByteBuffer? {
        let bytes = value.readableBytesView
        let prefix = self.scheme.utf8.count + 3
        guard bytes.count > prefix else { return nil }
        for (byte, wanted) in zip(bytes, "\(self.scheme)://".utf8) where ByteClass.lowercased(byte) != wanted {
            return nil
        }
        let tail = bytes.dropFirst(prefix)
        let isEnd = { (byte: UInt8) in
            byte == UInt8(ascii: "/") || byte == UInt8(ascii: "?") || byte == UInt8(ascii: "#")
        }
        let authority = Array(tail.prefix { !isEnd($0) })
        guard let parsed = Authority(authority.span, 0..<authority.count),
            (parsed.port ?? (self.scheme == "https" ? 443 : 80)) == self.port
        else { return nil }
        let host = authority[parsed.host].map { ByteClass.lowercased($0) }
        guard host.elementsEqual(self.host.utf8) || host.elementsEqual(name.utf8) else { return nil }
        return ByteBuffer(bytes: tail.dropFirst(authority.count))
    }
}
