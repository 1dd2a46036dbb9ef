import EdgeModel
import KeyProtocol
import NIOCore
import Stapling
import TLSEngine
import TLSWire

/// What the edge shows clients for one domain: the chains as the key holder gave them, and the TLS context made of them.
///
/// Shared by all event loops, so that a session ticket made on one is good on every other. How long that is so is the
/// ``LeaseKeeper``'s to see to.
package struct SiteCertificate: Sendable {
    /// In the order of the context's credentials: a client is shown the first one that it can verify.
    let chains: [CertificateChain]
    let context: ServerContext
    /// Nil: clients do not resume.
    let tickets: TicketKeys?
    /// What is shown beside each chain; none without files.
    let staples: [StapleFinding]

    /// - Parameters:
    ///   - domain: whose tickets they are.
    ///   - configuration: the site's.
    ///   - staples: of each chain.
    ///   - kept: ticket keys that stay good, of the certificate before; nil: new ones are made.
    ///   - now: monotonic nanoseconds.
    /// - Throws: if a chain is no chain, or the key holder does not let this edge use it in keyless mode.
    init(
        _ answer: CertificateAnswer, domain: ServerNamePattern, configuration: TerminationConfiguration,
        staples: [StapleFinding] = [], keeping kept: TicketKeys? = nil, now: Int64
    ) throws {
        guard answer.modes.contains(.keyless) else { throw SiteCertificateError.modeNotGranted(.keyless) }
        var policy = ServerPolicy()
        // Clients without TLS 1.3 are shaken hands with by the key holder.
        policy.versions = .tls13 ... .tls13
        policy.verifiesFinished = true
        policy.groups = configuration.groups
        policy.applicationProtocols = configuration.applicationProtocols.map { Array($0.utf8) }
        let ticketLifetime = configuration.ticketLifetime
        if ticketLifetime > .zero {
            let tickets =
                kept ?? TicketKeys(site: domain.description, lifetime: ticketLifetime.nanoseconds, now: now)
            policy.tickets = TicketPolicy(keys: tickets.keys)
            policy.tickets?.lifetime = Self.seconds(ticketLifetime)
            self.tickets = tickets
        } else {
            self.tickets = nil
        }
        self.context = try ServerContext(
            answer.chains.enumerated().map { index, chain in
                ServerCredential(
                    chain: chain.certificates, key: .remote(chain.schemes),
                    ocspResponse: staples.indices.contains(index) ? staples[index].response : nil)
            }, policy: policy)
        self.chains = answer.chains
        self.staples = staples
    }

    /// What a ticket says of its life: whole seconds, not less than it is good for.
    private static func seconds(_ lifetime: TimeAmount) -> UInt32 {
        let (seconds, rest) = lifetime.nanoseconds.quotientAndRemainder(dividingBy: 1_000_000_000)
        return UInt32(clamping: min(seconds + (rest > 0 ? 1 : 0), 604_800))
    }
}

enum SiteCertificateError: Error, CustomStringConvertible {
    case modeNotGranted(TrustMode)

    var description: String {
        switch self {
        case .modeNotGranted(let mode):
            "the key holder's grant for this edge and site does not allow \(mode.rawValue); it needs `operations: [\(mode.rawValue)]`"
        }
    }
}
