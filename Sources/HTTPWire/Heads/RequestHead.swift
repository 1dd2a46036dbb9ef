public import HTTPFields

/// A request's first line and fields. Nothing of it is copied: ranges count from the first byte of `fields.bytes`.
public struct RequestHead: Sendable {
    public let method: RequestMethod
    let methodEnd: UInt32
    let targetStart: UInt32
    let targetEnd: UInt32
    public let target: RequestTarget
    /// 0 or 1: a later minor version of HTTP/1 counts as 1.1.
    public let minorVersion: Int
    public let fields: FieldSection
    /// `.none`, `.length` or `.chunked`.
    public let framing: BodyFraming

    /// The method's bytes: a token.
    public var methodRange: Range<Int> { 0..<Int(self.methodEnd) }
    /// The whole target: visible ASCII without `#`.
    public var targetRange: Range<Int> { Int(self.targetStart)..<Int(self.targetEnd) }

    /// The client waits for 100 before it sends the content (RFC 9110 §10.1.1).
    public var expectsContinue: Bool {
        guard self.minorVersion >= 1, self.fields.contains(.expect) else { return false }
        return (self.framing.length ?? 1) > 0 && self.fields.expectation == .continue
    }
}
