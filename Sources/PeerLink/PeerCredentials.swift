import Foundation
import NIOCore
public import NIOSSL
public import SecretFiles
import SwiftASN1
import X509

/// What one party needs for mutual TLS: its own identity and the authority that signed its peers' identities.
///
/// The key here is the party's own and never a site's. Nothing of it is shown to clients.
public struct PeerCredentials: Sendable {
    public let identity: PeerIdentity
    /// The leaf's end of validity, seconds since 1970.
    public let notAfter: Int64
    private let chain: [NIOSSLCertificate]
    private let key: NIOSSLPrivateKey
    private let authority: [NIOSSLCertificate]

    /// - Parameters:
    ///   - chainPEM: the identity's certificate, leaf first.
    ///   - keyPEM: its private key.
    ///   - authorityPEM: the fleet authority's certificate or certificates.
    /// - Throws: ``PeerCredentialsError``.
    public init(chainPEM: String, keyPEM: String, authorityPEM: String) throws(PeerCredentialsError) {
        self.chain = try Self.certificates(chainPEM, what: "certificate")
        self.authority = try Self.certificates(authorityPEM, what: "authority")
        do { self.key = try NIOSSLPrivateKey(bytes: Array(keyPEM.utf8), format: .pem) } catch { throw .unreadableKey }
        let leaf: Certificate
        do { leaf = try Certificate(derEncoded: self.chain[0].toDERBytes()) } catch {
            throw .unreadableCertificate("certificate")
        }
        guard let signer = try? Certificate.PrivateKey(pemEncoded: keyPEM) else { throw .unreadableKey }
        guard signer.publicKey == leaf.publicKey else { throw .keyMismatch }
        do throws(PeerIdentityError) { self.identity = try PeerIdentity(certificate: leaf) } catch {
            throw .identity(error)
        }
        self.notAfter = Int64(leaf.notValidAfter.timeIntervalSince1970)
    }

    /// The same from three files. The key's must meet the rule of ``SecretFile``.
    public init(chainFile: String, keyFile: String, authorityFile: String) throws(PeerCredentialsError) {
        let key: String
        do throws(SecretFileError) { key = try SecretFile.read(keyFile) } catch { throw .secretFile(error) }
        try self.init(
            chainPEM: Self.text(of: chainFile), keyPEM: key, authorityPEM: Self.text(of: authorityFile))
    }

    /// When the first certificate of a file ends, seconds since 1970; nil: there is none.
    public static func notAfter(chainFile: String) -> Int64? {
        guard let text = try? Self.text(of: chainFile),
            let leaf = try? Self.certificates(text, what: "certificate").first,
            let certificate = try? Certificate(derEncoded: leaf.toDERBytes())
        else { return nil }
        return Int64(certificate.notValidAfter.timeIntervalSince1970)
    }

    /// TLS for the end that asks (an edge): TLS 1.3, or 1.2 where the peer is a stock key server.
    ///
    /// - Parameter protocols: what is to be spoken over it (ALPN, RFC 7301); none: the key protocol.
    public func clientContext(protocols: [String] = []) throws -> NIOSSLContext {
        var configuration = TLSConfiguration.makeClientConfiguration()
        // The peer is known by the identity in its certificate, checked after the handshake, not by a host name.
        self.fill(&configuration)
        configuration.applicationProtocols = protocols
        return try NIOSSLContext(configuration: configuration)
    }

    /// TLS for the end that answers (a key holder). A peer without a certificate of the authority fails the handshake.
    ///
    /// Make a new one for each connection. A context hands out tickets for session resumption, which swift-nio-ssl cannot
    /// switch off, and a resumed handshake does not verify the peer's certificate again: it may have expired meanwhile, or
    /// its authority may be trusted no more. Only the context that made a ticket can read it.
    ///
    /// - Parameter protocols: what may be spoken over it; a peer that offers none of them gets none.
    public func serverContext(protocols: [String] = []) throws -> NIOSSLContext {
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: [], privateKey: .privateKey(self.key))
        self.fill(&configuration)
        configuration.sendCANameList = true
        configuration.applicationProtocols = protocols
        return try NIOSSLContext(configuration: configuration)
    }

    /// Whether every authority that the other credentials trust is trusted by these as well.
    public func trustsAll(of other: PeerCredentials) -> Bool {
        other.authority.allSatisfy(self.authority.contains)
    }

    private func fill(_ configuration: inout TLSConfiguration) {
        configuration.certificateChain = self.chain.map { .certificate($0) }
        configuration.privateKey = .privateKey(self.key)
        configuration.trustRoots = .certificates(self.authority)
        configuration.certificateVerification = .noHostnameVerification
        configuration.minimumTLSVersion = .tlsv12
        configuration.cipherSuiteValues = [
            .TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, .TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
            .TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, .TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        ]
        configuration.shutdownTimeout = .seconds(1)
    }

    private static func certificates(_ pem: String, what: String) throws(PeerCredentialsError) -> [NIOSSLCertificate] {
        guard let certificates = try? NIOSSLCertificate.fromPEMBytes(Array(pem.utf8)), !certificates.isEmpty else {
            throw .unreadableCertificate(what)
        }
        return certificates
    }

    private static func text(of file: String) throws(PeerCredentialsError) -> String {
        do { return try String(contentsOfFile: file, encoding: .utf8) } catch {
            throw .unreadableFile(file, "\((error as NSError).localizedDescription)")
        }
    }
}

public enum PeerCredentialsError: Error, Equatable, Sendable, CustomStringConvertible {
    case unreadableFile(String, String)
    /// The file with the identity's key cannot be read, or other users have access to it.
    case secretFile(SecretFileError)
    case unreadableCertificate(String)
    case unreadableKey
    case keyMismatch
    case identity(PeerIdentityError)

    public var description: String {
        switch self {
        case .unreadableFile(let file, let why): "cannot read \(file): \(why)"
        case .secretFile(let error): error.description
        case .unreadableCertificate(let what): "identity.\(what) holds no PEM certificate"
        case .unreadableKey: "identity.key holds no PEM private key that can be used"
        case .keyMismatch:
            "identity.key does not belong to identity.certificate: they were made at different times or swapped"
        case .identity(let error): "identity.certificate: \(error)"
        }
    }
}
