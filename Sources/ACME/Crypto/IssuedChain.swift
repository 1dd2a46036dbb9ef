import Crypto
import Hexadecimal
import SwiftASN1
import X509

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// A chain that an authority issued, found to be what was asked for; or one that was stored before.
public struct IssuedChain: Equatable, Sendable {
    /// Leaf first.
    public let pem: String
    /// Milliseconds since 1970.
    public let notBefore: Int64
    public let notAfter: Int64
    /// How RFC 9773 section 4.1 calls the certificate; nil: it names no issuer's key.
    public let ariID: String?
    /// Not from an authority: see ``Placeholder``.
    public let isPlaceholder: Bool
    /// SHA-256 of the leaf, hexadecimal.
    public let fingerprint: String
    /// DNS names of the leaf, lower case, sorted.
    public let names: [String]

    static let longestPEM = 200 * 1024
    /// As many as the key holder takes.
    static let mostCertificates = 10
    /// How far a clock may be off: milliseconds.
    static let clockTolerance: Int64 = 3_600_000

    /// Takes what an authority has sent, if it can be used in place of what there is.
    ///
    /// Looked at are: length and count, the key, the names, that each certificate issued the one before it, and the time. Trust
    /// in the root is the clients' business.
    ///
    /// - Parameters:
    ///   - names: What was asked for; lower case.
    ///   - now: milliseconds since 1970.
    ///   - directoryTime: What the directory's clock says, if it said so.
    public init(
        checking pem: String, key: SiteKey, names: [String], now: Int64, directoryTime: Int64? = nil
    ) throws(ACMEFailure) {
        let certificates = try Self.parse(pem)
        let leaf = certificates[0]
        guard leaf.publicKey == key.publicKey else {
            throw ACMEFailure(.badCertificate("its key is not the one that it was asked for"))
        }
        let found = Self.names(of: leaf)
        guard Set(found) == Set(names) else {
            throw ACMEFailure(
                .badCertificate(
                    "it is for \(found.prefix(10).joined(separator: ", ")), and not for \(names.prefix(10).joined(separator: ", "))"
                ))
        }
        for (certificate, issuer) in zip(certificates, certificates.dropFirst()) {
            guard certificate.issuer == issuer.subject,
                issuer.publicKey.isValidSignature(certificate.signature, for: certificate)
            else { throw ACMEFailure(.badCertificate("a certificate of its chain did not issue the one before it")) }
        }
        guard certificates.count > 1 || leaf.issuer == leaf.subject else {
            throw ACMEFailure(.badCertificate("its chain ends with the leaf: the issuer's certificate is missing"))
        }
        self.init(pem: pem, leaf: leaf)
        var clock = "is this machine's clock right?"
        if let directoryTime, abs(directoryTime - now) > Self.clockTolerance {
            clock = "this machine's clock is \(abs(directoryTime - now) / 60_000) minutes off the directory's"
        }
        guard self.notBefore <= now + Self.clockTolerance else {
            throw ACMEFailure(.badCertificate("it is not valid yet; \(clock)"))
        }
        guard self.notAfter > now, self.notAfter > self.notBefore else {
            throw ACMEFailure(.badCertificate("it has expired already; \(clock)"))
        }
    }

    /// Whether the leaf is for this key.
    public func belongs(to key: SiteKey) throws(ACMEFailure) -> Bool {
        try Self.parse(self.pem)[0].publicKey == key.publicKey
    }

    /// Reads what was stored.
    public init(stored pem: String) throws(ACMEFailure) {
        self.init(pem: pem, leaf: try Self.parse(pem)[0])
    }

    private init(pem: String, leaf: Certificate) {
        self.pem = pem
        self.notBefore = Int64(leaf.notValidBefore.timeIntervalSince1970 * 1000)
        self.notAfter = Int64(leaf.notValidAfter.timeIntervalSince1970 * 1000)
        self.ariID = Self.ariID(of: leaf)
        self.names = Self.names(of: leaf)
        var serializer = DER.Serializer()
        try? serializer.serialize(leaf)
        self.fingerprint = Hex.text(SHA256.hash(data: serializer.serializedBytes))
        let placeholder = try? DistinguishedName { CommonName(Placeholder.commonName) }
        self.isPlaceholder = leaf.issuer == leaf.subject && leaf.subject == placeholder
    }

    private static func parse(_ pem: String) throws(ACMEFailure) -> [Certificate] {
        guard pem.utf8.count <= Self.longestPEM else { throw ACMEFailure(.badCertificate("it is too long")) }
        guard let documents = try? PEMDocument.parseMultiple(pemString: pem), !documents.isEmpty,
            documents.count <= Self.mostCertificates
        else {
            throw ACMEFailure(.badCertificate("it is no PEM text of 1 to \(Self.mostCertificates) certificates"))
        }
        var certificates: [Certificate] = []
        for document in documents {
            guard document.discriminator == Certificate.defaultPEMDiscriminator,
                let certificate = try? Certificate(pemDocument: document)
            else { throw ACMEFailure(.badCertificate("a certificate of its chain cannot be read")) }
            certificates.append(certificate)
        }
        return certificates
    }

    private static func names(of leaf: Certificate) -> [String] {
        var names: Set<String> = []
        let found: SubjectAlternativeNames? = try? leaf.extensions.subjectAlternativeNames
        for case .dnsName(let name) in found ?? SubjectAlternativeNames([]) { names.insert(name.lowercased()) }
        return names.sorted()
    }

    private static func ariID(of leaf: Certificate) -> String? {
        let issuer: AuthorityKeyIdentifier? = try? leaf.extensions.authorityKeyIdentifier
        guard let key = issuer?.keyIdentifier else { return nil }
        return Self.ariID(keyIdentifier: Array(key), serial: Array(leaf.serialNumber.bytes))
    }

    /// - Parameter serial: Big-endian without leading zeros; as a DER integer it has one where the first bit is set.
    static func ariID(keyIdentifier: [UInt8], serial: [UInt8]) -> String {
        let integer = (serial.first ?? 0) & 0x80 == 0 ? serial : [0] + serial
        return "\(Base64URL.encode(keyIdentifier)).\(Base64URL.encode(integer))"
    }
}
