internal import NIOConcurrencyHelpers
internal import NIOCore
internal import NIOSSL
internal import SecretFiles

#if canImport(FoundationEssentials)
    internal import FoundationEssentials
#else
    internal import Foundation
#endif

/// Mutual TLS for a port where monitoring systems look: what it shows, and whose certificates it lets in. Files, which may change.
public final class AdminTLS: Sendable {
    private let certificate: String
    private let key: String
    private let clients: String
    private let context: NIOLockedValueBox<NIOSSLContext>

    public struct Unusable: Error, Equatable, Sendable, CustomStringConvertible {
        public var description: String
    }

    /// - Parameters:
    ///   - certificate: path of the chain, PEM, leaf first.
    ///   - key: path of its key, PEM, under the rule for secrets.
    ///   - clients: path of the authorities, PEM, of which a client must have a certificate.
    public init(certificate: String, key: String, clients: String) throws(Unusable) {
        self.certificate = certificate
        self.key = key
        self.clients = clients
        self.context = NIOLockedValueBox(try Self.read(certificate, key, clients))
    }

    /// Takes up changed files. Blocks, as files do.
    ///
    /// - Throws: everything stays as it was.
    public func reread() throws(Unusable) {
        let fresh = try Self.read(self.certificate, self.key, self.clients)
        self.context.withLockedValue { $0 = fresh }
    }

    /// For a connection. What clients are trusted by is one context until the files change, and sessions resume within it alone; when the
    /// client's certificate ends, ``ClientTerm`` sees.
    func handlers() -> [any ChannelHandler] {
        [NIOSSLServerHandler(context: self.context.withLockedValue { $0 }), ClientTerm()]
    }

    private static func read(
        _ certificate: String, _ key: String, _ clients: String
    ) throws(Unusable) -> NIOSSLContext {
        let text: String
        do throws(SecretFileError) { text = try SecretFile.read(key) } catch {
            throw Unusable(description: "\(error)")
        }
        guard let secret = try? NIOSSLPrivateKey(bytes: Array(text.utf8), format: .pem) else {
            throw Unusable(description: "\(key) holds no PEM private key that can be used")
        }
        let chain = try Self.certificates(certificate)
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: chain.map { .certificate($0) }, privateKey: .privateKey(secret))
        configuration.trustRoots = .certificates(try Self.certificates(clients))
        // A client's certificate is required; what name it has does not count.
        configuration.certificateVerification = .noHostnameVerification
        configuration.minimumTLSVersion = .tlsv12
        configuration.applicationProtocols = ["http/1.1"]
        configuration.shutdownTimeout = .seconds(1)
        do { return try NIOSSLContext(configuration: configuration) } catch {
            throw Unusable(description: "\(certificate) and its key cannot be used for TLS: \(error)")
        }
    }

    private static func certificates(_ path: String) throws(Unusable) -> [NIOSSLCertificate] {
        let text: String
        do { text = try String(contentsOfFile: path, encoding: .utf8) } catch {
            throw Unusable(description: "cannot read \(path)")
        }
        guard let certificates = try? NIOSSLCertificate.fromPEMBytes(Array(text.utf8)), !certificates.isEmpty else {
            throw Unusable(description: "\(path) holds no PEM certificate")
        }
        return certificates
    }
}
