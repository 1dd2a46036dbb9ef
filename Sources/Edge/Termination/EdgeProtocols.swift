/// The application protocols that this edge speaks to clients, in every mode in which TLS ends here (ALPN, RFC 7301).
enum EdgeProtocols {
    static let http2 = "h2"

    /// Preferred first.
    static let offered = [http2, "http/1.1"]
}
