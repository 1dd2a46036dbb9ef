import NIOCore
import TLSWire

extension TerminationConfiguration {
    /// What clients of the site do without by this configuration, for the operator to read; empty by default.
    ///
    /// - Parameter isKeyless: in handoff mode groups and tickets are the key holder's.
    public func exclusions(isKeyless: Bool) -> [String] {
        var exclusions: [String] = []
        if self.minimumTLSVersion >= TLSVersion.tls13 { exclusions.append("clients without TLS 1.3") }
        guard isKeyless else { return exclusions }
        let missing = Self.allGroups.filter { !self.groups.contains($0) }
        let classical = missing.filter { $0 != TLSGroup.x25519MLKEM768 }
        if !classical.isEmpty {
            let names = classical.map(TLSNames.group).joined(separator: ", ")
            exclusions.append("TLS 1.3 clients that have no other key exchange than \(names)")
        }
        if classical.count < missing.count {
            exclusions.append("key exchange that a quantum computer cannot undo later")
        }
        if self.ticketLifetime <= .zero { exclusions.append("resumption of TLS 1.3 sessions") }
        return exclusions
    }
}
