internal import Crypto
internal import CryptoExtras
internal import Foundation
internal import PeerLink
public import SecretFiles
internal import SwiftASN1
internal import X509

/// Signs what an edge reports, with the key of its identity.
public struct EdgeSeal: Sendable {
    public let name: String
    /// The leaf, DER.
    public let certificate: [UInt8]
    /// Seconds since 1970.
    public let notAfter: Int64
    private let key: Certificate.PrivateKey
    private let algorithm: Certificate.SignatureAlgorithm

    public enum Failure: Error, Equatable, CustomStringConvertible {
        case secretFile(SecretFileError)
        case unreadable(String)
        case notAnEdge(String)

        public var description: String {
            switch self {
            case .secretFile(let error): error.description
            case .unreadable(let what): "identity.\(what) can't be used to sign reports to the fleet"
            case .notAnEdge(let reason): "identity.certificate: \(reason)"
            }
        }
    }

    public init(certificatePEM: String, keyPEM: String) throws(Failure) {
        guard let leaf = (try? PEMDocument.parseMultiple(pemString: certificatePEM))?.first,
            let certificate = try? Certificate(pemDocument: leaf)
        else { throw .unreadable("certificate") }
        guard let key = try? Certificate.PrivateKey(pemEncoded: keyPEM), key.publicKey == certificate.publicKey,
            let algorithm = Self.algorithm(of: certificate.publicKey)
        else { throw .unreadable("key") }
        let identity: PeerIdentity
        do throws(PeerIdentityError) { identity = try PeerIdentity(certificate: certificate) } catch {
            throw .notAnEdge("\(error)")
        }
        guard identity.role == .edge else { throw .notAnEdge("it is \(identity)'s") }
        self.name = identity.name
        self.certificate = leaf.derBytes
        self.notAfter = Int64(certificate.notValidAfter.timeIntervalSince1970)
        self.key = key
        self.algorithm = algorithm
    }

    public init(certificateFile: String, keyFile: String) throws(Failure) {
        let key: String
        do throws(SecretFileError) { key = try SecretFile.read(keyFile) } catch { throw .secretFile(error) }
        guard let certificate = try? String(contentsOfFile: certificateFile, encoding: .utf8) else {
            throw .unreadable("certificate")
        }
        try self.init(certificatePEM: certificate, keyPEM: key)
    }

    public func sign(_ bytes: [UInt8]) throws -> [UInt8] {
        Array(try self.key.sign(bytes: bytes, signatureAlgorithm: self.algorithm).rawRepresentation)
    }

    static func algorithm(of key: Certificate.PublicKey) -> Certificate.SignatureAlgorithm? {
        if P256.Signing.PublicKey(key) != nil { return .ecdsaWithSHA256 }
        if P384.Signing.PublicKey(key) != nil { return .ecdsaWithSHA384 }
        if Curve25519.Signing.PublicKey(key) != nil { return .ed25519 }
        if _RSA.Signing.PublicKey(key) != nil { return .sha256WithRSAEncryption }
        return nil
    }
}
