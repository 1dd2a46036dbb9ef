extension ClientHello {
    /// How ALPN calls an authority's check of a name (RFC 8737).
    public static let authorityCheckProtocol = "acme-tls/1"

    /// Whether this is an authority's check: it offers that protocol and no other (RFC 8737 section 3).
    ///
    /// Such a connection ends with its handshake. It never carries HTTP.
    public var isAuthorityCheck: Bool {
        self.applicationProtocols.count == 1
            && self.applicationProtocols[0].elementsEqual(Self.authorityCheckProtocol.utf8)
    }
}
