import Hexadecimal
import TLSWire

/// A certificate of a site with its issuers, and its private key: loaded, and found to belong together.
final class SiteCredential: Sendable {
    /// DER, leaf first.
    let chain: [[UInt8]]
    /// SHA-1 of the leaf's subjectPublicKey bit string; 20 bytes.
    let ski: [UInt8]
    /// SHA-256 of the leaf; 32 bytes.
    let certificateDigest: [UInt8]
    let key: any StoredKey
    /// Where `key` was loaded from; nil: from nowhere.
    let keySource: KeySource?
    /// The DNS names of the certificate, whether the site is served for them or not.
    let certified: [ServerNamePattern]
    /// Seconds since 1970.
    let notBefore: Int64
    let notAfter: Int64
    /// Clients will miss the issuer's certificate.
    let lacksIntermediate: Bool
    /// Made by the key holder itself, until an authority's comes: no client trusts it.
    let isPlaceholder: Bool
    /// For messages.
    let chainName: String
    /// ``certificateDigest`` in hexadecimal, for audit lines.
    let fingerprint: String

    init(
        chain: [[UInt8]], ski: [UInt8], certificateDigest: [UInt8], key: any StoredKey,
        keySource: KeySource? = nil, certified: [ServerNamePattern],
        notBefore: Int64 = 0, notAfter: Int64, lacksIntermediate: Bool = false, isPlaceholder: Bool = false,
        chainName: String
    ) {
        self.chain = chain
        self.ski = ski
        self.certificateDigest = certificateDigest
        self.key = key
        self.keySource = keySource
        self.certified = certified
        self.notBefore = notBefore
        self.notAfter = notAfter
        self.lacksIntermediate = lacksIntermediate
        self.isPlaceholder = isPlaceholder
        self.chainName = chainName
        self.fingerprint = Hex.text(certificateDigest)
    }
}

/// Some of a site's credentials, by their places in its list.
struct CredentialSet: Hashable, Sendable {
    /// One for each place.
    private var bits: UInt8 = 0

    /// Places from 0 on: no site has more.
    static let capacity = 8

    init(_ places: some Sequence<Int>) { for place in places { self.bits |= 1 << UInt8(place) } }

    func contains(_ place: Int) -> Bool { self.bits & 1 << UInt8(place) != 0 }
}
