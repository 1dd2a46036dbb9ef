import RecordLayer
import TLSEngine
import TLSWire

/// What the TLS engine makes of a site's settings.
extension HandshakeSettings {
    /// What there is to choose from in TLS 1.2: ECDHE with an AEAD.
    public static let forwardSecretSuites: [UInt16] = ServerPolicy.forwardSecretSuites.map(\.rawValue)
    public static let availableGroups: [UInt16] = ServerPolicy().groups

    /// Without protocols and tickets, which are the site's.
    var policy: ServerPolicy {
        var policy = ServerPolicy()
        let lowest: ServerPolicy.Version = self.minimumVersion == TLSVersion.tls13 ? .tls13 : .tls12
        policy.versions = lowest...(self.maximumVersion == TLSVersion.tls12 ? lowest : .tls13)
        if let suites = self.tls12Suites { policy.tls12Suites = suites.compactMap { RecordSuite(rawValue: $0) } }
        if let groups = self.groups { policy.groups = groups }
        return policy
    }

    func tickets(_ keys: SiteTicketKeys) -> TicketPolicy? {
        guard self.ticketLifetime > 0 else { return nil }
        var tickets = TicketPolicy(keys: keys)
        tickets.lifetime = min(self.ticketLifetime, Self.longestTicketLifetime)
        tickets.tls12Lifetime = min(tickets.lifetime, tickets.tls12Lifetime)
        return tickets
    }

    /// Why no client could be served like this with such keys; nil: some can.
    public func problem(with types: [KeyType]) -> String? {
        if self.maximumVersion < self.minimumVersion { return "its highest TLS version is below its lowest" }
        let suites: [RecordSuite] = self.policy.tls12Suites
        let fits = types.contains { type in suites.contains { $0.isRSA == type.isRSA } }
        if self.minimumVersion <= TLSVersion.tls12, !fits {
            return
                "none of its suites of TLS 1.2 goes with a key of the type \(types.map(\.description).joined(separator: " or "))"
        }
        return nil
    }

    /// What clients might offer, and do not get here, for people: empty with the defaults.
    public var exclusions: [String] {
        var exclusions: [String] = []
        if self.minimumVersion == TLSVersion.tls13 { exclusions.append("clients without TLS 1.3") }
        if self.maximumVersion == TLSVersion.tls12 { exclusions.append("TLS 1.3") }
        if self.minimumVersion <= TLSVersion.tls12, let suites = self.tls12Suites {
            exclusions += Self.forwardSecretSuites.filter { !suites.contains($0) }.map(TLSNames.cipherSuite)
        }
        if let groups = self.groups {
            exclusions += Self.availableGroups.filter { !groups.contains($0) }.map(TLSNames.group)
        }
        if self.ticketLifetime == 0 { exclusions.append("resumption") }
        return exclusions
    }
}

extension RecordSuite {
    /// Whether it goes with an RSA certificate; else with an ECDSA or Ed25519 one. Of TLS 1.2.
    var isRSA: Bool {
        switch self {
        case .ecdheECDSAAES128GCMSHA256, .ecdheECDSAAES256GCMSHA384, .ecdheECDSAChaCha20Poly1305SHA256: false
        default: true
        }
    }
}
