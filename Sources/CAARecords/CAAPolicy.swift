/// What a name's CAA records mean for the question that a site's owner has: can whatever answers for the name get a certificate
/// for it, by the checks HTTP-01 and TLS-ALPN-01 (RFC 8555 §8.3, RFC 8737), which only look at what answers?
///
/// `issue` alone decides: those checks give no wildcard certificates, so `issuewild` says nothing about them, and under a
/// wildcard domain it is single names that they give certificates for.
public enum CAAPolicy: Equatable, Sendable {
    /// No CAA record at the name or above it: every authority may issue.
    case none
    /// There are records, and none of them is an `issue`: every authority may issue.
    case unrestricted(at: String)
    /// These authorities may issue to any account after any check. Not empty.
    case unbound(at: String, issuers: [String])
    /// Every authority that may issue is bound to an account or to a check by DNS. Empty: none may issue.
    case bound(at: String, issuers: [String])
    /// A critical property that authorities do not know: none that heeds it may issue.
    case unknownCritical(at: String, tag: String)

    /// Registered tags (RFC 8659, RFC 9495, and the Baseline Requirements' contacts).
    private static let knownTags: Set<String> = [
        "issue", "issuewild", "issuemail", "issuevmc", "iodef", "contactemail", "contactphone",
    ]

    /// - Parameters:
    ///   - records: not empty.
    ///   - name: where they stand.
    public init(_ records: [CAARecord], at name: String) {
        if let strange = records.first(where: { $0.isCritical && !Self.knownTags.contains($0.tag) }) {
            self = .unknownCritical(at: name, tag: strange.tag)
            return
        }
        let properties = records.filter { $0.tag == "issue" }.map { IssueProperty($0.value) }
        guard !properties.isEmpty else {
            self = .unrestricted(at: name)
            return
        }
        let unbound = properties.filter { !$0.isBound }.compactMap(\.issuer)
        self =
            unbound.isEmpty
            ? .bound(at: name, issuers: Self.unique(properties.compactMap(\.issuer)))
            : .unbound(at: name, issuers: Self.unique(unbound))
    }

    private static func unique(_ names: [String]) -> [String] {
        var seen: Set<String> = []
        return names.filter { seen.insert($0).inserted }
    }
}
