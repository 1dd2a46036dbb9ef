import KeyProtocol

/// What audit lines are about besides requests of edges. Their names stand in `operation`; docs/audit.md has the catalogue.
public enum AuditEvent: String, CaseIterable, Sendable {
    /// The key holder began. The detail has its version, and what is wrong with the chain before.
    case start
    /// It ended in order.
    case stop
    /// The configuration was read again, and is in force.
    case reload
    case siteAdded = "site-added"
    case siteRemoved = "site-removed"
    /// The detail has the SHA-256 of both certificates.
    case certificateChanged = "certificate-changed"
    case grantAdded = "grant-added"
    case grantRemoved = "grant-removed"
    /// By a grant's times.
    case grantBegan = "grant-began"
    case grantEnded = "grant-ended"
    /// By an operator's word.
    case revoke
    case restore
    case edgeConnected = "edge-connected"
    case edgeGone = "edge-gone"
    /// A connection that was refused or cut off.
    case connection
    case certificateAccount = "certificate-account"
    case certificateOrder = "certificate-order"
    case hsmLogin = "hsm-login"
    case hsmLost = "hsm-lost"
    case hsmBack = "hsm-back"
    /// Lines could not be written; the count is of requests that were refused meanwhile.
    case audit
    case auditFile = "audit-file"
    case auditContinued = "audit-continued"
    case checkpoint
    /// A request that is none of those that there are.
    case unknown
    /// Several kinds of refusals of one edge, counted.
    case several

    /// Members that its lines may have, besides those that every line has: `seq`, `time`, `edge`, `site`, `client`, `operation`,
    /// `outcome`, `us`, `chain`.
    public var members: [String] {
        switch self {
        case .start: ["after", "detail"]
        case .revoke, .restore: []
        case .auditFile: ["after"]
        case .auditContinued: ["broken_bytes", "broken_sha256"]
        case .checkpoint: ["key", "signature"]
        case .audit: ["count", "detail", "since"]
        case .several: ["count", "since"]
        case .edgeConnected, .edgeGone, .connection: ["address", "count", "detail", "since"]
        case .hsmLogin, .hsmLost, .hsmBack, .unknown: ["count", "detail", "since"]
        case .stop, .reload, .siteAdded, .siteRemoved, .certificateChanged, .grantAdded, .grantRemoved, .grantBegan,
            .grantEnded, .certificateAccount, .certificateOrder:
            ["detail"]
        }
    }

    /// Members that lines about an edge's requests may have.
    public static let requestMembers = [
        "certificate", "cipher_suite", "count", "detail", "name", "resumed", "since", "tls_version",
    ]

    /// What a request's line says in `operation`.
    public static let requests: [String] =
        KeyProtocol.Operation.allCases.map(\.rawValue) + [RequestJudge.lease, RequestJudge.challenge]
}

extension AuditRecord {
    /// A line about an event.
    ///
    /// - Parameter time: milliseconds since 1970 UTC.
    init(
        time: Int64, event: AuditEvent, outcome: AuditOutcome = .ok, edge: String? = nil, site: String? = nil,
        detail: String? = nil
    ) {
        self.init(
            time: time, edge: edge, site: site, operation: event.rawValue, outcome: outcome, duration: 0,
            detail: detail)
    }
}
