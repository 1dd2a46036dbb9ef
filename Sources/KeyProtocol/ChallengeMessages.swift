public import NIOCore

/// The payload of ``KeyFunction/challenge``: a token of an authority's (RFC 8555 section 8.3), as it stands in the request's path.
///
/// The answer is the token's key authorization, or nothing where no order with this token is open for the name.
public struct ChallengeRequest: Equatable, Sendable {
    /// Base64url; 1 to 256 characters.
    public var token: String

    public init(token: String) {
        self.token = token
    }

    public init(decoding payload: ByteBuffer) throws(KeyPayloadError) {
        let bytes = payload.readableBytesView
        guard (1...256).contains(bytes.count), bytes.allSatisfy(Self.isTokenByte) else { throw .badValue("token") }
        self.init(token: String(decoding: bytes, as: UTF8.self))
    }

    public func encoded() -> ByteBuffer { ByteBuffer(string: self.token) }

    static func isTokenByte(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x5F: true
        default: false
        }
    }
}

/// The answer to ``KeyFunction/challenge``.
public struct ChallengeAnswer: Equatable, Sendable {
    /// Token, dot, thumbprint; nil: no order is open.
    public var keyAuthorization: String?

    public init(keyAuthorization: String?) {
        self.keyAuthorization = keyAuthorization
    }

    public init(decoding payload: ByteBuffer) throws(KeyPayloadError) {
        let bytes = payload.readableBytesView
        guard !bytes.isEmpty else { return }
        guard bytes.count <= 512,
            bytes.allSatisfy({ ChallengeRequest.isTokenByte($0) || $0 == UInt8(ascii: ".") })
        else { throw .badValue("key authorization") }
        self.keyAuthorization = String(decoding: bytes, as: UTF8.self)
    }

    public func encoded() -> ByteBuffer { ByteBuffer(string: self.keyAuthorization ?? "") }
}
