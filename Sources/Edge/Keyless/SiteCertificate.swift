import KeyProtocol
import NIOCore
import NIOSSL
import TLSWire

/// What the edge shows clients for one domain: a chain as the key holder gave it, and a TLS context made of it.
///
/// Shared by all event loops, so that a session ticket made on one is good on every other.
struct SiteCertificate: Sendable {
    let chain: CertificateChain
    let context: NIOSSLContext

    /// - Parameter applicationProtocols: what clients are offered (ALPN), preferred first.
    /// - Throws: if the chain is no chain, or the key holder does not let this edge use it in keyless mode.
    init(_ answer: CertificateAnswer, applicationProtocols: [String]) throws {
        guard answer.modes.contains(.keyless) else { throw SiteCertificateError.modeNotGranted(.keyless) }
        // One for all clients, as the TLS library takes one: the first that it can use.
        guard let chain = answer.chains.first(where: { $0.schemes.contains(where: Self.isUsable) }) else {
            throw SiteCertificateError.noScheme
        }
        let schemes = chain.schemes.filter(Self.isUsable)
        let certificates = try chain.certificates.map { try NIOSSLCertificate(bytes: $0, format: .der) }
        guard !certificates.isEmpty else { throw SiteCertificateError.emptyChain }
        let key = NIOSSLPrivateKey(customPrivateKey: RemotePrivateKey(ski: chain.ski, schemes: schemes))
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: certificates.map { .certificate($0) }, privateKey: .privateKey(key))
        // Clients without TLS 1.3 are shaken hands with by the key holder.
        configuration.minimumTLSVersion = .tlsv13
        configuration.applicationProtocols = applicationProtocols
        // Groups stay the library's default, which begins with X25519MLKEM768.
        self.context = try NIOSSLContext(configuration: configuration)
        self.chain = chain
    }

    /// SHA-1 signatures are of no use to any client worth serving.
    private static func isUsable(_ scheme: SignatureScheme) -> Bool {
        scheme.rawValue >> 8 != 0x02
    }
}

enum SiteCertificateError: Error, CustomStringConvertible {
    case modeNotGranted(TrustMode)
    case noScheme
    case emptyChain

    var description: String {
        switch self {
        case .modeNotGranted(let mode):
            "the key holder's grant for this edge and site does not allow \(mode.rawValue); it needs `operations: [\(mode.rawValue)]`"
        case .noScheme: "the key holder offers no signature scheme that TLS can use"
        case .emptyChain: "the key holder sent an empty certificate chain"
        }
    }
}
