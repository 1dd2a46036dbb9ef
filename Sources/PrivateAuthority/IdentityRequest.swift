import Crypto
import CryptoExtras
import Hexadecimal
import SwiftASN1
import X509

/// A request for an identity's certificate (PKCS #10, RFC 2986), by which a key stays where it was made.
///
/// There is one only where the signature is right: its sender has the key. Nothing else of it is believed.
public struct IdentityRequest: Sendable {
    /// The largest request that is read, in bytes of PEM.
    public static let maximumBytes = 65_536

    let publicKey: Certificate.PublicKey
    /// Who it says that it is for, as a URI; nil: it does not say.
    public let asksFor: String?

    /// Reads a request, and verifies its signature.
    ///
    /// - Throws: ``IdentityRequestError``.
    public init(pem: String) throws(IdentityRequestError) {
        guard pem.utf8.count <= Self.maximumBytes else { throw .unreadable("it is too long") }
        let request: CertificateSigningRequest
        do { request = try CertificateSigningRequest(pemEncoded: pem) } catch {
            guard let document = try? PEMDocument(pemString: pem),
                document.discriminator == CertificateSigningRequest.defaultPEMDiscriminator
            else { throw .unreadable("it is no PEM certificate request (BEGIN CERTIFICATE REQUEST)") }
            throw .unreadable("it is broken, or its key is of a kind that links cannot use (\(Self.suitableKeys))")
        }
        guard request.publicKey.isValidSignature(request.signature, for: request) else { throw .badSignature }
        guard Self.isSuitable(request.publicKey) else { throw .unsuitableKey }
        self.publicKey = request.publicKey
        self.asksFor = try Self.identity(in: request)
    }

    /// Makes a request, signed with the key that it is for.
    ///
    /// - Returns: PEM.
    static func make(role: IdentityRole, name: String, key: SigningKey) throws -> String {
        let extensions = try Certificate.Extensions([
            Certificate.Extension(
                SubjectAlternativeNames([.uniformResourceIdentifier(FleetAuthority.uri(role, name))]), critical: false)
        ])
        let request = try CertificateSigningRequest(
            version: .v1, subject: try DistinguishedName { CommonName(name) }, privateKey: key.privateKey,
            attributes: try CertificateSigningRequest.Attributes([
                CertificateSigningRequest.Attribute(ExtensionRequest(extensions: extensions))
            ]),
            signatureAlgorithm: key.signatureAlgorithm)
        return PEM.withNewline(try request.serializeAsPEM().pemString)
    }

    /// SHA-256 of the public key's SubjectPublicKeyInfo, in hexadecimal: what two persons can compare.
    public var fingerprint: String { Self.fingerprint(of: self.publicKey) }

    static func fingerprint(of key: Certificate.PublicKey) -> String {
        guard let der = try? key.serializeAsPEM().derBytes else { return "unknown" }
        return Hex.text(SHA256.hash(data: der))
    }

    static let suitableKeys = "P-256, P-384, or RSA of 2048 to 4096 bits"

    /// What links can use: P-256, P-384, RSA of 2,048 to 4,096 bits.
    private static func isSuitable(_ key: Certificate.PublicKey) -> Bool {
        if P256.Signing.PublicKey(key) != nil || P384.Signing.PublicKey(key) != nil { return true }
        guard let key = _RSA.Signing.PublicKey(key) else { return false }
        return (2048...4096).contains(key.keySizeInBits)
    }

    /// The one identity among the names that it asks for.
    private static func identity(in request: CertificateSigningRequest) throws(IdentityRequestError) -> String? {
        var found: [String] = []
        for attribute in request.attributes where attribute.oid == .CSRAttributes.extensionRequest {
            guard let asked = try? ExtensionRequest(attribute) else {
                throw .unreadable("its extensions make no sense")
            }
            let names: SubjectAlternativeNames?
            do { names = try asked.extensions.subjectAlternativeNames } catch {
                throw .unreadable("its alternative names make no sense")
            }
            for name in names ?? SubjectAlternativeNames([]) {
                if case .uniformResourceIdentifier(let uri) = name, uri.hasPrefix("latchstring:") { found.append(uri) }
            }
        }
        guard found.count <= 1 else { throw .severalIdentities }
        return found.first
    }
}

/// Why a request is not signed. The description names the remedy.
public enum IdentityRequestError: Error, Equatable, CustomStringConvertible {
    case unreadable(String)
    case badSignature
    case unsuitableKey
    case severalIdentities
    /// It says that it is for another one than it is to be signed for.
    case otherIdentity(asksFor: String, wanted: String)
    /// There is no authority in that folder.
    case noAuthority(String)
    /// It was not for one identity.
    case notOne

    public var description: String {
        switch self {
        case .unreadable(let why):
            "the request cannot be read: \(why). Make one with `latchstring certs --csr`"
        case .badSignature:
            "the request's signature does not fit its key: it was changed on the way, or its sender has another key"
        case .unsuitableKey:
            "the request's key is of a kind that links cannot use: make one of \(IdentityRequest.suitableKeys)"
        case .severalIdentities:
            "the request asks for several identities: make one for each"
        case .otherIdentity(let asksFor, let wanted):
            "the request asks for \(String(reflecting: String(asksFor.prefix(100)))), and is to be signed for \(wanted): "
                + "is it the right file? Nothing was signed"
        case .noAuthority(let path):
            "there is no fleet authority in \(path): name its folder with --out"
        case .notOne:
            "a request is signed for one identity: name it with --edge or --keyholder, and nothing else"
        }
    }
}
