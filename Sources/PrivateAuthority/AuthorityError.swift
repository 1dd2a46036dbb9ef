public import FoundationEssentials

/// Why a certificate was not made or an authority not loaded. The description names the remedy.
public enum AuthorityError: Error, Equatable, CustomStringConvertible {
    /// An edge's or key holder's name is not 1 to 64 of `a-z 0-9 . -`.
    case invalidName(String)
    /// A domain is not a server name or a wildcard of one label.
    case invalidDomain(String)
    case noDomains
    /// `notAfter` is not after `notBefore`, for instance because the authority ends first.
    case emptyValidity(notBefore: Date, notAfter: Date)
    /// The file has no certificate or key that can be read.
    case unreadable(what: String, reason: String)
    case notAnAuthority
    case keyDoesNotMatch

    public var description: String {
        switch self {
        case .invalidName(let name):
            "\(quoted(name)) is not a name for an edge or key holder: use 1 to 64 of a-z, 0-9, '.' and '-'"
        case .invalidDomain(let domain):
            "\(quoted(domain)) is not a domain: use a DNS name such as www.example.test, or *.example.test"
        case .noDomains:
            "a site certificate needs at least one domain"
        case .emptyValidity(let notBefore, let notAfter):
            "the certificate would end (\(notAfter.ISO8601Format())) before it begins (\(notBefore.ISO8601Format())): "
                + "ask for a longer validity, or make a new authority if the present one has expired"
        case .unreadable(let what, let reason):
            "cannot read the \(what): \(reason)"
        case .notAnAuthority:
            "the certificate is not an authority's: it lacks CA:true or may not sign certificates"
        case .keyDoesNotMatch:
            "the authority's key does not belong to its certificate: take the two files made together"
        }
    }

    private func quoted(_ text: String) -> String {
        // The text may come from a command line; keep terminals and logs out of its reach.
        String(reflecting: String(text.prefix(80)))
    }
}
