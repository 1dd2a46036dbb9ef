import AuditChain
import HTTPFields
import Hexadecimal
import KeyProtocol
import TLSWire

/// What a change of sites and grants is in audit lines. Pure.
struct AuditedChanges {
    struct Change: Equatable {
        var event: AuditEvent
        var edge: String?
        var site: String?
        var detail: String
    }

    /// Of one reading of the configuration; what is beyond that is a count.
    static let most = 1000

    private(set) var changes: [Change] = []

    /// Sites are the same ones if their domains are.
    mutating func add(sites: [Site], before: [Site]) {
        let old = Dictionary(before.map { ($0.domains, $0) }) { first, _ in first }
        let new = Set(sites.map(\.domains))
        for site in before where !new.contains(site.domains) {
            self.changes.append(Change(event: .siteRemoved, site: site.name, detail: Self.certificate(site)))
        }
        for site in sites {
            guard let former = old[site.domains] else {
                self.changes.append(Change(event: .siteAdded, site: site.name, detail: Self.certificate(site)))
                continue
            }
            let digests = site.credentials.map(\.certificateDigest)
            guard former.credentials.map(\.certificateDigest) != digests else { continue }
            self.changes.append(
                Change(
                    event: .certificateChanged, site: site.name,
                    detail: "\(Self.certificate(site)); before: \(Self.digests(former))"))
        }
    }

    /// A grant that is changed is one removed and one added.
    mutating func add(grants: [GrantConfiguration], before: [GrantConfiguration]) {
        let (new, old) = (Set(grants), Set(before))
        for grant in before where !new.contains(grant) {
            self.changes.append(Change(event: .grantRemoved, edge: grant.edge, detail: Self.text(grant)))
        }
        for grant in grants where !old.contains(grant) {
            self.changes.append(Change(event: .grantAdded, edge: grant.edge, detail: Self.text(grant)))
        }
    }

    private static func certificate(_ site: Site) -> String {
        site.credentials.map { credential in
            var time: [UInt8] = []
            Timestamp.append(credential.notAfter * 1000, to: &time)
            let end = String(decoding: time, as: UTF8.self)
            let digest = Hex.text(credential.certificateDigest)
            return "sha256 \(digest), good until \(end), key \(credential.key.type)"
        }.joined(separator: "; ")
    }

    private static func digests(_ site: Site) -> String {
        site.credentials.map { "sha256 \(Hex.text($0.certificateDigest))" }.joined(separator: ", ")
    }

    static func text(_ grant: GrantConfiguration) -> String {
        let sites = grant.sites.map(\.description).joined(separator: " ")
        let operations = grant.operations.map(\.rawValue).sorted().joined(separator: " ")
        var text = "operations \(operations); rate \(grant.rate)"
        for (operation, rate) in grant.rates.sorted(by: { $0.key.rawValue < $1.key.rawValue }) {
            text += ", \(operation.rawValue) \(rate)"
        }
        if grant.times != .always { text += "; with times" }
        return "\(text); sites \(sites)"
    }
}
