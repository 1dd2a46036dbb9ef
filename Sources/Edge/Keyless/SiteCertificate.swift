import EdgeModel
import KeyProtocol
import NIOCore
import NIOSSL
import TLSWire

/// What the edge shows clients for one domain: a chain as the key holder gave it, and a TLS context made of it.
///
/// Shared by all event loops, so that a session ticket made on one is good on every other. How long that is so is the
/// ``LeaseKeeper``'s to see to.
struct SiteCertificate: Sendable {
    let chain: CertificateChain
    private let configuration: TLSConfiguration
    private let shared: NIOSSLContext
    private let resumes: Bool

    /// - Parameters:
    ///   - applicationProtocols: what clients are offered (ALPN), preferred first.
    ///   - resumes: whether session tickets are good for anything.
    /// - Throws: if the chain is no chain, or the key holder does not let this edge use it in keyless mode.
    init(_ answer: CertificateAnswer, applicationProtocols: [String], resumes: Bool = true) throws {
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
        self.shared = try NIOSSLContext(configuration: configuration)
        self.configuration = configuration
        self.chain = chain
        self.resumes = resumes
    }

    /// The context for one handshake. Without resumption it is a new one, whose ticket keys end with it: the TLS library makes
    /// tickets in any case.
    func context() throws -> NIOSSLContext {
        self.resumes ? self.shared : try NIOSSLContext(configuration: self.configuration)
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
