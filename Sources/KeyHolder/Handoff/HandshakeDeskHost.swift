import KeyProtocol
import NIOCore

/// Whose connection the handshakes are on: does for the desk what takes a connection.
protocol HandshakeDeskHost: AnyObject {
    func reply(to id: UInt32, _ payload: ByteBuffer)
    /// The same, when the audit lines that were concluded before are written.
    ///
    /// - Parameter extra: What stands beside the payload.
    func replyAudited(to id: UInt32, _ payload: ByteBuffer, _ extra: ByteBuffer?)
    /// - Parameter isViolation: The edge's own doing; it is read more slowly if there is too much of it. Whatever clients can
    ///   bring about is none.
    func refuse(_ id: UInt32, _ code: KeyErrorCode, isViolation: Bool)
    /// Writes the audit line that was reserved for it, and counts.
    func conclude(_ line: AuditDraft, _ outcome: AuditOutcome)
    /// As ``HandoffHandshake/SlowWork``.
    func performSlowly(
        _ operation: KeyOperation, with key: any StoredKey, for site: Site, by credential: SiteCredential?,
        needs needed: KeyProtocol.Operation, _ owner: WorkOwner, _ done: @escaping (SlowOutcome<KeyResult>) -> Void
    ) -> WorkRefusal?
    func takeSlowly(
        _ turn: LibraryTurn, for site: Site, by credential: SiteCredential?, needs needed: KeyProtocol.Operation,
        _ owner: WorkOwner, _ done: @escaping (SlowOutcome<Void>) -> Void
    ) -> WorkRefusal?
    /// Whether the edge may still do this for the site.
    ///
    /// - Parameter credential: The site's that is used; nil: it is not known yet.
    func stillGrants(_ needed: KeyProtocol.Operation, for site: Site, by credential: SiteCredential?) -> Bool
}
