public import HTTPFields

/// A response's status line and fields. Nothing of it is copied: ranges count from the first byte of `fields.bytes`.
public struct ResponseHead: Sendable {
    /// 100...999.
    public let status: Int
    let reasonStart: UInt32
    let reasonEnd: UInt32
    /// 0 or 1: a later minor version of HTTP/1 counts as 1.1.
    public let minorVersion: Int
    public let fields: FieldSection
    /// What `Content-Length` or `Transfer-Encoding` say; `nil` where neither is there, and where a status without content makes
    /// them mean nothing (1xx, 204). In responses to HEAD and in 304 it tells of a content that does not follow.
    public let announced: BodyFraming?

    /// The reason phrase as it came; it may be empty. Bytes above 0x7F are passed as they are.
    public var reasonRange: Range<Int> { Int(self.reasonStart)..<Int(self.reasonEnd) }

    /// 1xx other than 101: a final response follows (RFC 9110 §15.2).
    public var isInformational: Bool { self.status < 200 && self.status != 101 }

    /// After this response the connection is not HTTP's any more: 101, or 2xx to CONNECT (RFC 9112 §6.3).
    public func switchesProtocol(to method: RequestMethod) -> Bool {
        self.status == 101 || method == .connect && 200..<300 ~= self.status
    }

    /// How the content's end is found (RFC 9112 §6.3).
    ///
    /// - Parameter method: the request's.
    public func framing(to method: RequestMethod) -> BodyFraming {
        if method == .head || self.status < 200 || self.status == 204 || self.status == 304 { return .none }
        if self.switchesProtocol(to: method) { return .none }
        return self.announced ?? .untilClose
    }
}
