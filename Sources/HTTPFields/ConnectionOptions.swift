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
    /// Where the names of fields without a number stand, which are meant for this hop only, too: at most ``maximumOptions``.
    package internal(set) var others: [Range<Int>] = []
    /// More options, or more bytes of them, than an honest sender has: such a head is refused, since each of its other fields is compared
    /// with each name.
    public internal(set) var isExcessive = false

    /// Of one head.
    public static let maximumOptions = 32
    /// Of all `Connection` values of one head.
    public static let maximumBytes = 1024
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
        var count = 0
        var length = 0
        for field in self where field.known == .connection {
            length += field.value.count
            guard length <= ConnectionOptions.maximumBytes else {
                options.isExcessive = true
                options.isPlain = false
                break
            }
            if bytes.equals(field.value, "keep-alive") {
                options.keepAlive = true
                continue
            }
            FieldList.forEach(bytes, field.value, .tokens) { element in
                if element.isEmpty { return }
                count += 1
                if count > ConnectionOptions.maximumOptions { options.isExcessive = true }
                if bytes.equals(element, "close") {
                    options.close = true
                } else if bytes.equals(element, "keep-alive") {
                    options.keepAlive = true
                } else if !bytes.isToken(element) {
                    options.isPlain = false
                } else if let known = KnownField(bytes, element) {
                    if known == .upgrade { options.upgrade = true }
                    options.named.insert(known)
                } else if options.others.count < ConnectionOptions.maximumOptions {
                    options.others.append(element)
                }
            }
            for position in field.value where bytes[position] == ByteClass.horizontalTab { options.isPlain = false }
        }
        return options
    }

    /// Whether one of these names, which stand in the same section, is this field's: ``ConnectionOptions/others``. Letter case does not
    /// count.
    package func isNamed(_ field: FieldRecord, by names: [Range<Int>]) -> Bool {
        if names.isEmpty || field.known != nil { return false }
        let bytes = self.bytes.readableBytesUInt8Span
        for name in names where bytes.equalsFolded(name, bytes, field.name) { return true }
        return false
    }

    /// What an `Expect` field asks for (RFC 9110 §10.1.1).
    public enum Expectation: Sendable { case none, `continue`, unknown }

    public var expectation: Expectation {
        guard let field = self.first(.expect) else { return .none }
        if self.repeats(.expect) { return .unknown }
        return self.equals(field.value, "100-continue") ? .continue : .unknown
    }
}
