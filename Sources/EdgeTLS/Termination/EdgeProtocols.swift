/// The application protocols that this edge speaks to clients, in every mode in which TLS ends here (ALPN, RFC 7301).
package enum EdgeProtocols {
    package static let http2 = "h2"

    package static let http1 = "http/1.1"

    /// Preferred first. What is offered belongs to the site: another site of this edge may differ.
    package static func offered(http2: Bool) -> [String] { http2 ? [Self.http2, Self.http1] : [Self.http1] }
}
