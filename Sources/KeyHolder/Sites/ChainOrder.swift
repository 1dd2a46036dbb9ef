import SwiftASN1
public import X509

/// What is often wrong with a chain whose certificates are good.
public enum ChainOrder {
    /// Where the leaf stands if it is not the first, counted from 1: behind certificates of authorities.
    public static func misplacedLeaf(in chain: [Certificate]) -> Int? {
        guard chain.count > 1, Self.isAuthority(chain[0]) else { return nil }
        return chain.firstIndex { !Self.isAuthority($0) }.map { $0 + 1 }
    }

    /// Whether clients will miss the issuer's certificate: the leaf is alone, and says where its issuer's can be fetched, which few
    /// clients do. Authorities that clients know issue no leaves themselves; one of your own need not say where it is.
    public static func lacksIntermediate(_ chain: [Certificate]) -> Bool {
        guard chain.count == 1, let leaf = chain.first, leaf.subject != leaf.issuer else { return false }
        let access: AuthorityInformationAccess? = try? leaf.extensions.authorityInformationAccess
        return access?.contains { $0.method == .issuingCA } ?? false
    }

    /// The issuer of a leaf that stands alone and does not say where its issuer's certificate is; nil: there is nothing to be said of one.
    /// Clients may know it, as that of an authority of one's own; or else an intermediate is missing.
    public static func unprovenIssuer(_ chain: [Certificate]) -> String? {
        guard chain.count == 1, let leaf = chain.first, leaf.subject != leaf.issuer, !Self.lacksIntermediate(chain)
        else { return nil }
        return "\(leaf.issuer)"
    }

    /// What to do about it.
    public static let remedy =
        "name the file with the whole chain (certbot's fullchain.pem, and not cert.pem); browsers often hide the fault, other clients fail"

    private static func isAuthority(_ certificate: Certificate) -> Bool {
        let constraints: BasicConstraints? = try? certificate.extensions.basicConstraints
        guard case .isCertificateAuthority = constraints else { return false }
        return true
    }
}
