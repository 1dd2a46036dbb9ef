import NIOSSL
import Synchronization
import TLSWire

/// Certificates for authorities that check a name by a TLS handshake (RFC 8737), while orders are open.
///
/// A handshake with one of them uses no key of a site, exports nothing, and ends with itself. It is TLS 1.2, where the whole
/// handshake happens here; RFC 8737 has authorities take that.
final class ChallengeTable: Sendable {
    private let contexts = Mutex<[ServerName: HandoffContext]>([:])

    /// - Parameters:
    ///   - certificate: DER.
    ///   - key: DER, of a key made for this certificate alone.
    func show(_ certificate: [UInt8], key: [UInt8], for name: ServerName) throws {
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: [.certificate(try NIOSSLCertificate(bytes: certificate, format: .der))],
            privateKey: .privateKey(try NIOSSLPrivateKey(bytes: key, format: .der)))
        configuration.minimumTLSVersion = .tlsv12
        configuration.maximumTLSVersion = .tlsv12
        configuration.cipherSuiteValues = SiteHandoff.tls12Suites
        configuration.applicationProtocols = [ClientHello.authorityCheckProtocol]
        let context = HandoffContext(
            tls: try NIOSSLContext(configuration: configuration), log: KeyLog(), allowsRSAKeyExchange: false,
            lendsSessions: false)
        self.contexts.withLock { $0[name] = context }
    }

    func withdraw(_ name: ServerName) {
        self.contexts.withLock { _ = $0.removeValue(forKey: name) }
    }

    /// What an authority that sent this hello is shown; nil: no order is open for its name.
    func context(for hello: ClientHello) -> HandoffContext? {
        guard hello.isAuthorityCheck, let name = hello.serverName else { return nil }
        return self.contexts.withLock { $0[name] }
    }
}
