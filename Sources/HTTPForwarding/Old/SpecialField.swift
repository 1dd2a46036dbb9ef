/// The fields that an intermediary does not simply pass on.
enum SpecialField {
    case connection, keepAlive, proxyConnection, upgrade, http2Settings
    case te, trailer, transferEncoding, contentLength
    case host, via, maxForwards, expect
    /// `Forwarded`, `X-Forwarded-*` and `X-Real-IP`, also where spelled with underscores.
    case clientAddress(ClientAddressField)
    /// `Proxy-Authorization`, `Proxy-Authenticate`, `Proxy-Authentication-Info`: between a client and its own proxy.
    case proxyCredentials

    enum ClientAddressField { case forwarded, xForwardedFor, xForwardedProto, xForwardedHost, other }

    /// `nil` for every other field. The length comes first: most fields are told apart by it alone.
    init?(_ name: String) {
        switch name.utf8.count {
        case 2 where FieldText.equal(name, "te"): self = .te
        case 3 where FieldText.equal(name, "via"): self = .via
        case 4 where FieldText.equal(name, "host"): self = .host
        case 6 where FieldText.equal(name, "expect"): self = .expect
        case 7 where FieldText.equal(name, "upgrade"): self = .upgrade
        case 7 where FieldText.equal(name, "trailer"): self = .trailer
        case 9 where FieldText.equal(name, "forwarded"): self = .clientAddress(.forwarded)
        case 9 where FieldText.beginsFolded(name, "x-real-ip"): self = .clientAddress(.other)
        case 10 where FieldText.equal(name, "connection"): self = .connection
        case 10 where FieldText.equal(name, "keep-alive"): self = .keepAlive
        case 12 where FieldText.equal(name, "max-forwards"): self = .maxForwards
        case 14 where FieldText.equal(name, "content-length"): self = .contentLength
        case 14 where FieldText.equal(name, "http2-settings"): self = .http2Settings
        case 15 where FieldText.equal(name, "x-forwarded-for"): self = .clientAddress(.xForwardedFor)
        case 16 where FieldText.equal(name, "x-forwarded-host"): self = .clientAddress(.xForwardedHost)
        case 16 where FieldText.equal(name, "proxy-connection"): self = .proxyConnection
        case 17 where FieldText.equal(name, "transfer-encoding"): self = .transferEncoding
        case 17 where FieldText.equal(name, "x-forwarded-proto"): self = .clientAddress(.xForwardedProto)
        case 18 where FieldText.equal(name, "proxy-authenticate"): self = .proxyCredentials
        case 19 where FieldText.equal(name, "proxy-authorization"): self = .proxyCredentials
        case 25 where FieldText.equal(name, "proxy-authentication-info"): self = .proxyCredentials
        case 12... where FieldText.beginsFolded(name, "x-forwarded-"): self = .clientAddress(.other)
        default: return nil
        }
    }
}
