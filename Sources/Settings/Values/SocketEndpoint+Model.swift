public import EdgeModel

extension SocketEndpoint {
    /// Where a listener listens.
    public init(_ listener: ListenAddress) { self.init(host: listener.host, port: listener.port) }

    /// Where a site's requests go.
    public init(_ origin: OriginConfiguration) { self.init(host: origin.host, port: origin.port) }

    /// Where a relayed site's connections go; nil if they go where DNS says.
    public init?(_ origin: RelayOrigin) {
        guard case .fixed(let host, let port) = origin else { return nil }
        self.init(host: host, port: Int(port))
    }
}
