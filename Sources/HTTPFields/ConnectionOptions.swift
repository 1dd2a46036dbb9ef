import NIOCore

/// What the `Connection` fields of a head say (RFC 9110 §7.6.1).
public struct ConnectionOptions: Equatable, Sendable {
    public init() {}

    public internal(set) var close = false
    public internal(set) var keepAlive = false
    public internal(set) var upgrade = false
    /// Known fields that are meant for this hop only. `Host`, `Content-Length` or `Transfer-Encoding` among them come from no
    /// honest sender.
    public internal(set) var named = KnownFieldSet()
    /// Fields without a number are meant for this hop only, too: ``FieldSection/connectionNames(_:)`` tells which.
    public internal(set) var namesOthers = false
    /// One `Connection` field with nothing in it but tokens, commas and spaces: every parser reads it alike.
    public internal(set) var isPlain = true

    /// Whether the connection may carry another message (RFC 9112 §9.3).
    ///
    /// - Parameter minorVersion: 0 or 1.
    public func persists(minorVersion: Int) -> Bool {
        if self.close { return false }
        return minorVersion >= 1 || self.keepAlive
    }
}

extension FieldSection {
    /// Read anew with each use.
    public var connectionOptions: ConnectionOptions {
        var options = ConnectionOptions()
        guard self.contains(.connection) else { return options }
        options.isPlain = !self.repeats(.connection)
        let bytes = self.bytes.readableBytesUInt8Span
        for field in self where field.known == .connection {
            if bytes.equals(field.value, "keep-alive") {
                options.keepAlive = true
                continue
            }
            FieldList.forEach(bytes, field.value, .tokens) { element in
                if element.isEmpty { return }
                if bytes.equals(element, "close") {
                    options.close = true
                } else if bytes.equals(element, "keep-alive") {
                    options.keepAlive = true
                } else if !bytes.isToken(element) {
                    options.isPlain = false
                } else if let known = KnownField(bytes, element) {
                    if known == .upgrade { options.upgrade = true }
                    options.named.insert(known)
                } else {
                    options.namesOthers = true
                }
            }
            for position in field.value where bytes[position] == ByteClass.horizontalTab { options.isPlain = false }
        }
        return options
    }

    /// Whether `Connection` names this field, so that it must not be passed on. Walks the `Connection` fields: ask only for
    /// fields without a number, and only where ``ConnectionOptions/namesOthers``.
    public func connectionNames(_ field: FieldRecord) -> Bool {
        let bytes = self.bytes.readableBytesUInt8Span
        var found = false
        for connection in self where connection.known == .connection && !found {
            FieldList.forEach(bytes, connection.value, .tokens) { element in
                guard element.count == field.name.count else { return }
                for offset in 0..<element.count
                where ByteClass.lowercased(bytes[element.lowerBound + offset])
                    != ByteClass.lowercased(bytes[field.name.lowerBound + offset])
                {
                    return
                }
                found = true
            }
        }
        return found
    }

    /// What an `Expect` field asks for (RFC 9110 §10.1.1).
    public enum Expectation: Sendable { case none, `continue`, unknown }

    public var expectation: Expectation {
        guard let field = self.first(.expect) else { return .none }
        if self.repeats(.expect) { return .unknown }
        return self.equals(field.value, "100-continue") ? .continue : .unknown
    }
}
