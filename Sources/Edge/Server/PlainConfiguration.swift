public import EdgeHTTP
public import EdgeModel

/// What clients get that connect without TLS.
public struct PlainConfiguration: Sendable {
    /// Their policy is ``ListenerPolicy/plain``.
    public var listen: [ListenAddress]
    public var rules: PlainRules

    public init(listen: [ListenAddress], rules: PlainRules = PlainRules()) {
        self.listen = listen.map { ListenAddress(host: $0.host, port: $0.port, policy: .plain) }
        self.rules = rules
    }
}

extension EdgeConfiguration {
    /// Where clients connect, with TLS and without, and key holders.
    var listeners: [ListenAddress] { self.listen + (self.plain?.listen ?? []) + self.keyHolderListen }
}
