/// What an operation's audit line needs, from the packet's arrival to its answer.
struct AuditDraft: Sendable {
    var edge: String
    var site: String?
    var serverName: String?
    /// 4 or 16 bytes.
    var clientIP: [UInt8]?
    var operation: String
    /// Monotonic nanoseconds.
    var arrival: UInt64
    var detail: String?
    /// The site's private key was used. Such lines are never counted only.
    var usedKey: Bool = false
    var tls: AuditedHandshake?
    /// The certificate whose key it is about, where the site has several: its SHA-256 in hexadecimal.
    var certificate: String?

    /// An edge's clients bring such requests about whatever the edge is granted: what they ask for without TLS.
    var isOfClients: Bool { self.operation == RequestJudge.challenge }

    /// The line, once the outcome is known.
    ///
    /// - Parameter time: milliseconds since 1970 UTC.
    func record(time: Int64, outcome: AuditOutcome, microseconds: Int64) -> AuditRecord {
        AuditRecord(
            time: time, edge: self.edge, site: self.site, serverName: self.serverName, clientIP: self.clientIP,
            operation: self.operation, outcome: outcome, duration: microseconds, detail: self.detail,
            tls: self.tls, certificate: self.certificate)
    }
}
