/// The lease request of a connection that waits for its answer: until the edge's grants change, or half of the lease is over.
///
/// Pure. The edge's violations: more than one request at a time; the one that waits is answered then, so that one is held at
/// most. How often an edge may ask is bounded where requests come in. There are no other inputs that could be wrong.
struct HeldLease: Equatable, Sendable {
    private var held: (id: UInt32, generation: UInt64)?

    init() {}

    var isHeld: Bool { self.held != nil }

    /// The edge asks.
    ///
    /// - Parameters:
    ///   - known: The generation that it has heard of; 0 for none.
    ///   - current: That of its grants.
    /// - Returns: The requests to be answered at once.
    mutating func asked(_ id: UInt32, known: UInt64, current: UInt64) -> [UInt32] {
        let earlier: [UInt32] = self.release().map { [$0] } ?? []
        guard known == current else { return earlier + [id] }
        self.held = (id, known)
        return earlier
    }

    /// Grants were read again.
    ///
    /// - Returns: The request to be answered.
    mutating func changed(current: UInt64) -> UInt32? {
        guard let held = self.held, held.generation != current else { return nil }
        return self.release()
    }

    /// Half of the lease is over, or there is none any more.
    ///
    /// - Returns: The request to be answered.
    mutating func release() -> UInt32? {
        defer { self.held = nil }
        return self.held?.id
    }

    static func == (left: HeldLease, right: HeldLease) -> Bool {
        left.held?.id == right.held?.id && left.held?.generation == right.held?.generation
    }
}
