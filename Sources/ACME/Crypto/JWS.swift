import Crypto

/// A request's body: JSON Web Signature, flattened (RFC 7515 section 7.2.2).
struct JWS: Codable, Equatable {
    /// Base64url of a ``Header``.
    var protected: String
    /// Base64url; empty for POST-as-GET (RFC 8555 section 6.3).
    var payload: String
    /// Base64url.
    var signature: String

    struct Header: Codable, Equatable {
        var alg: String
        var jwk: AccountKey.JWK?
        var kid: String?
        var nonce: String?
        var url: String
    }

    /// - Parameters:
    ///   - payload: nil: POST-as-GET.
    ///   - account: The account's URL; nil: the request carries the key itself.
    static func body(
        url: String, payload: [UInt8]?, nonce: String, key: AccountKey, account: String?
    ) throws(ACMEFailure) -> [UInt8] {
        let header = Header(
            alg: "ES256", jwk: account == nil ? key.jwk : nil, kid: account, nonce: nonce, url: url)
        let protected = Base64URL.encode(try JSONText.encode(header))
        let payload = Base64URL.encode(payload ?? [])
        let signature = try key.signature(over: Array("\(protected).\(payload)".utf8))
        return try JSONText.encode(
            JWS(protected: protected, payload: payload, signature: Base64URL.encode(signature)))
    }
}

/// What an authority gave its customer, to bind an account to (RFC 8555 section 7.3.4).
public struct ExternalAccount: Sendable {
    var kid: String
    private var key: SymmetricKey

    /// - Parameter key: Base64url, as authorities hand it out. nil is returned if it is not, or decodes to less than 16 bytes.
    public init?(kid: String, key: String) {
        let text = String(key.drop { $0.isWhitespace }.prefix { !$0.isWhitespace && $0 != "=" })
        guard let bytes = Base64URL.decode(text), (16...1024).contains(bytes.count) else { return nil }
        self.kid = kid
        self.key = SymmetricKey(data: bytes)
    }

    /// The account's key, signed with the customer's (HS256).
    func binding(of account: AccountKey, url: String) throws(ACMEFailure) -> JWS {
        let header = JWS.Header(alg: "HS256", kid: self.kid, url: url)
        let protected = Base64URL.encode(try JSONText.encode(header))
        let payload = Base64URL.encode(try JSONText.encode(account.jwk))
        let code = HMAC<SHA256>.authenticationCode(for: Array("\(protected).\(payload)".utf8), using: self.key)
        return JWS(protected: protected, payload: payload, signature: Base64URL.encode(Array(code)))
    }
}
