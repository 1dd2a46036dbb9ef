public import FoundationEssentials
import SwiftASN1
package import X509

/// What people want to know of a certificate.
public struct CertificateSummary: Equatable, Sendable {
    public var subject: String
    public var issuer: String
    public var notBefore: Date
    public var notAfter: Date
    /// Such as `P-256` or `RSA-2048`.
    public var keyType: String
    /// DNS names, IP addresses and URIs of the subjectAltName extension.
    public var alternativeNames: [String]

    package init(_ certificate: Certificate) {
        subject = certificate.subject.description
        issuer = certificate.issuer.description
        notBefore = certificate.notValidBefore
        notAfter = certificate.notValidAfter
        keyType = Self.keyType(certificate.publicKey.description)
        let names: SubjectAlternativeNames? = try? certificate.extensions.subjectAlternativeNames
        alternativeNames = names.map { $0.compactMap(Self.text) } ?? []
    }

    private static func keyType(_ description: String) -> String {
        let name: Substring = description.prefix { $0 != "." }
        for family in ["RSA", "P"] where name.hasPrefix(family) {
            let size: Substring = name.dropFirst(family.count)
            if Int(size) != nil { return "\(family)-\(size)" }
        }
        return String(name)
    }

    private static func text(_ name: GeneralName) -> String? {
        switch name {
        case .dnsName(let name): return name
        case .uniformResourceIdentifier(let text): return text
        case .ipAddress(let bytes):
            if bytes.bytes.count == 4 { return bytes.bytes.map { String($0) }.joined(separator: ".") }
            return bytes.bytes.map { String($0, radix: 16) }.joined(separator: ":")
        default: return nil
        }
    }
}
