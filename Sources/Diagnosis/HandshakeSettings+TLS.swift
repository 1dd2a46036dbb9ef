public import KeyHolder
public import Settings

extension HandshakeSettings {
    /// What a site's `tls` says.
    public init(_ tls: KeyHolderSettings.TLS) {
        self.init(minimumVersion: tls.minimumVersion.number, allowsRSAKeyExchange: tls.allowsRSAKeyExchange)
        self.maximumVersion = tls.maximumVersion.number
        self.tls12Suites = tls.suites?.map(\.number)
        self.groups = tls.groups?.map(\.number)
        self.ticketLifetime = UInt32(clamping: tls.ticketLifetime.components.seconds)
        self.ticketKeys = tls.ticketKeys
        self.ocspResponses = tls.ocsp
    }
}
