import CAARecords
import NIOCore
import NIOPosix
import Settings
import TLSWire

/// Looks whether each domain has a CAA record that keeps whatever answers for the name from getting a certificate for it.
struct CAACheck {
    let report: CheckReport
    let resolver: SystemResolver

    /// Names that no public authority issues for (RFC 6761, RFC 6762, RFC 8375, and ICANN's `internal`).
    private static let reserved = [
        "test", "localhost", "invalid", "example", "local", "onion", "home.arpa", "internal",
    ]

    /// One line for each domain.
    func run(_ domains: [(domain: ServerNamePattern, location: SourceLocation)]) async {
        let resolver = self.resolver
        var lookup = CAALookup { name async throws(ResolverFailure) in
            do {
                // The resolver blocks.
                return try await NIOThreadPool.singleton.runIfActive { try resolver.caa(name) }
            } catch {
                throw error as? ResolverFailure ?? ResolverFailure(reason: "\(error)")
            }
        }
        var notAsked: [String] = []
        for (domain, location) in domains where !Self.isReserved(domain.base) {
            do throws(CAALookup.Failure) {
                self.say(try await lookup.policy(for: domain.base), domain, location)
            } catch {
                switch error {
                case .unanswered(let name, let reason):
                    self.report.warn(
                        location, "domain \(domain): the CAA record of \(name) could not be looked up: \(reason)",
                        remedy: "Check again where DNS can be reached, or name a server with --resolver.")
                case .notAsked: notAsked.append("\(domain)")
                }
            }
        }
        if let first = notAsked.first {
            let others = notAsked.count > 1 ? " and \(notAsked.count - 1) more" : ""
            self.report.warn(
                nil,
                "the CAA records of \(first)\(others) were not looked up: DNS does not answer, or they are too many",
                remedy: "Check again where DNS can be reached, or name a server with --resolver.")
        }
    }

    private static func isReserved(_ name: ServerName) -> Bool {
        self.reserved.contains { name.rawValue == $0 || name.rawValue.hasSuffix(".\($0)") }
    }

    private func say(_ policy: CAAPolicy, _ domain: ServerNamePattern, _ location: SourceLocation) {
        let danger = "whatever answers for the name, an edge too, can get a certificate for it"
        let account = "accounturi=URI"
        let meaning =
            "URI is that of your ACME account with the authority (RFC 8657); validationmethods=dns-01 in its place also does."
        switch policy {
        case .none:
            self.report.warn(
                location, "domain \(domain): no CAA record, so \(danger), from any authority",
                remedy:
                    "Publish \(domain.base). CAA 0 issue \"AUTHORITY; \(account)\", where AUTHORITY is the name that your "
                    + "authority gives for CAA, such as letsencrypt.org. \(meaning)")
        case .unrestricted(let place):
            self.report.warn(
                location,
                "domain \(domain): the CAA records of \(place) have no issue property, so \(danger), "
                    + "from any authority",
                remedy: "Add \(place). CAA 0 issue \"AUTHORITY; \(account)\", where AUTHORITY is the name that your "
                    + "authority gives for CAA, such as letsencrypt.org. \(meaning)")
        case .unbound(let place, let issuers):
            let records = issuers.map { "\(place). CAA 0 issue \"\($0); \(account)\"" }.joined(separator: " and ")
            self.report.warn(
                location,
                "domain \(domain): the CAA record of \(place) lets \(issuers.joined(separator: ", ")) issue to any account, "
                    + "so \(danger)",
                remedy: "Publish \(records) in its place. \(meaning)")
        case .bound(let place, let issuers):
            self.report.ok(
                location,
                issuers.isEmpty
                    ? "domain \(domain): the CAA record of \(place) lets no authority issue"
                    : "domain \(domain): the CAA record of \(place) lets \(issuers.joined(separator: ", ")) issue, "
                        + "bound to an account or to a check by DNS")
        case .unknownCritical(let place, let tag):
            self.report.warn(
                location,
                "domain \(domain): the CAA records of \(place) have the critical property \"\(tag)\", which authorities do not "
                    + "know, so none will issue or renew",
                remedy: "Remove it, or publish it with flags 0.")
        }
    }
}
