/// How an authority is to check that a name is ours.
public enum ChallengeKind: String, CaseIterable, Hashable, Sendable {
    /// RFC 8737: a TLS handshake with the edge, answered by the key holder.
    case tlsALPN01 = "tls-alpn-01"
    /// RFC 8555 section 8.3: a request without TLS to the edge, which has the answer from the key holder.
    case http01 = "http-01"
    /// RFC 8555 section 8.4: a record in DNS. The only one for wildcards.
    case dns01 = "dns-01"
}

/// A challenge to be put up, until the directory has looked.
public enum ChallengeTask: Sendable {
    /// Show this certificate to clients that ask for this server name and offer `acme-tls/1` alone.
    case tlsALPN(name: String, ChallengeCertificate)
    /// Answer requests for this token under the name with this value.
    case http(name: String, token: String, value: String)
    /// Have a TXT record with this value at this name.
    case dns(name: String, record: String, value: String)

    public var name: String {
        switch self {
        case .tlsALPN(let name, _), .http(let name, _, _), .dns(let name, _, _): name
        }
    }
}
