import Crypto
import FoundationEssentials
import SwiftASN1
import TLSWire
import X509

/// What `check` wants to know of certificates.
enum CertificateChecks {
    /// Sooner than this, an expiry is worth a warning.
    static let warningDays = 30

    struct Unusable: Error {
        var reason: String
    }

    /// The certificates of a PEM text, in its order; at least one.
    static func chain(pem text: String) throws(Unusable) -> [Certificate] {
        guard let documents = try? PEMDocument.parseMultiple(pemString: text) else {
            throw Unusable(reason: "it holds no PEM text")
        }
        var chain: [Certificate] = []
        for document in documents where document.discriminator == Certificate.defaultPEMDiscriminator {
            do {
                chain.append(try Certificate(pemDocument: document))
            } catch {
                throw Unusable(reason: "certificate \(chain.count + 1) in it cannot be read")
            }
        }
        if chain.isEmpty { throw Unusable(reason: "it holds no certificate") }
        return chain
    }

    /// The certificates of DER texts.
    static func chain(der: [[UInt8]]) throws(Unusable) -> [Certificate] {
        var chain: [Certificate] = []
        for bytes in der {
            do { chain.append(try Certificate(derEncoded: bytes)) } catch {
                throw Unusable(reason: "certificate \(chain.count + 1) of the chain cannot be read")
            }
        }
        if chain.isEmpty { throw Unusable(reason: "the chain is empty") }
        return chain
    }

    /// The position of the first certificate that did not issue the one before it, counted from 1; nil if all did.
    static func brokenLink(in chain: [Certificate]) -> Int? {
        for index in chain.indices.dropFirst() where !Self.issued(chain[index], chain[index - 1]) {
            return index + 1
        }
        return nil
    }

    static func issued(_ issuer: Certificate, _ subject: Certificate) -> Bool {
        issuer.subject == subject.issuer && issuer.publicKey.isValidSignature(subject.signature, for: subject)
    }

    /// Whether one of `authorities` issued the last certificate of a chain whose links hold, or is that certificate.
    static func isSigned(_ chain: [Certificate], by authorities: [Certificate]) -> Bool {
        guard let last = chain.last, Self.brokenLink(in: chain) == nil else { return false }
        return authorities.contains { Self.issued($0, last) || $0 == last }
    }

    /// The DNS names that can be patterns of ours.
    static func domains(of leaf: Certificate) -> [ServerNamePattern] {
        var domains: [ServerNamePattern] = []
        let names: SubjectAlternativeNames? = try? leaf.extensions.subjectAlternativeNames
        for case .dnsName(let name) in names ?? SubjectAlternativeNames([]) {
            if let pattern = try? ServerNamePattern(name), !domains.contains(pattern) { domains.append(pattern) }
        }
        return domains
    }

    /// Whether a certificate with `domains` is good for every name that `pattern` stands for.
    static func covers(_ domains: [ServerNamePattern], _ pattern: ServerNamePattern) -> Bool {
        domains.contains(pattern) || (!pattern.isWildcard && domains.contains { $0.matches(pattern.base) })
    }

    /// SHA-1 of the subjectPublicKey bit string, as the key protocol names keys.
    static func ski(of leaf: Certificate) -> [UInt8] {
        Array(Insecure.SHA1.hash(data: leaf.publicKey.subjectPublicKeyInfoBytes))
    }

    /// Whether the certificate counts at `now`, as a line's end: `until 2027-01-31 (90 days)`.
    static func validity(of leaf: Certificate, now: Date) -> (outcome: CheckLine.Outcome, text: String) {
        let seconds = leaf.notValidAfter.timeIntervalSince(now)
        let until = Self.day(leaf.notValidAfter)
        if now < leaf.notValidBefore { return (.fail, "not valid before \(Self.day(leaf.notValidBefore))") }
        if seconds < 0 { return (.fail, "expired on \(until)") }
        let days = Int(seconds / 86400)
        let left = days == 1 ? "1 day" : "\(days) days"
        return (days < Self.warningDays ? .warn : .ok, "valid until \(until) (\(left))")
    }

    private static func day(_ date: Date) -> String {
        date.formatted(.iso8601.year().month().day())
    }
}
