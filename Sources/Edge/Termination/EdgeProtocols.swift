/// The application protocols that this edge speaks to clients, in every mode in which TLS ends here (ALPN, RFC 7301).
enum EdgeProtocols {
    /// Preferred first.
    static let offered = ["http/1.1"]
}
