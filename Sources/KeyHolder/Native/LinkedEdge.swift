/// Who brings native clients: what is known of an edge by its link, also when that is gone.
struct LinkedEdge: Sendable {
    var name: String
    /// Of the link.
    var address: String?
    /// Of the edge's identity, seconds since 1970.
    var notAfter: Int64
    /// Of the authorities by which it was verified.
    var trustGeneration: Int
}
