package import EdgeModel

extension TerminationConfiguration {
    /// What clients are offered (ALPN), preferred first.
    package var applicationProtocols: [String] { EdgeProtocols.offered(http2: self.http2) }
}
