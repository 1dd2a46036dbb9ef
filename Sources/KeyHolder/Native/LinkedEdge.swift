import NIOCore

/// Who brings native clients: what is known of an edge by its link, also when that is gone.
struct LinkedEdge: Sendable {
    var name: String
    /// Of the link.
    var address: String?
    /// Of the edge's identity, seconds since 1970.
    var notAfter: Int64
    /// Of the authorities by which it was verified.
    var trustGeneration: Int

    /// Until the identity ends; at most a hundred years, which a timer takes.
    ///
    /// - Parameter seconds: since 1970.
    func timeLeft(at seconds: Int64) -> TimeAmount {
        .seconds(min(max(0, self.notAfter - seconds), 100 * 366 * 86_400))
    }
}
