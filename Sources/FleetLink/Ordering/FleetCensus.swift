public import FleetBus
internal import KeyProtocol

/// The edges of a fleet, as they say themselves.
public struct FleetCensus: Equatable, Sendable {
    public enum Standing: String, Sendable {
        case alive
        /// No heartbeat for 15 seconds.
        case late
        /// No heartbeat for a minute.
        case gone
        /// Expected, and never heard.
        case missing
    }

    public struct Edge: Equatable, Sendable {
        public var name: String
        public var standing: Standing
        /// Milliseconds since its heartbeat, by the bus's clock.
        public var age: Int64?
        /// How far its clock is ahead of the bus's, in milliseconds.
        public var skew: Int64?
        public var heartbeat: EdgeHeartbeat?
    }

    /// In the order of their names.
    public var edges: [Edge]
    /// Names under which something stands that no edge of this fleet has signed.
    public var unsigned: [String]
    /// The bus's clock: milliseconds since 1970.
    public var busTime: Int64
    public var server: BusServer?

    static func standing(age: Int64) -> Standing {
        // A heartbeat from the future is one whose server had another clock.
        switch abs(age) {
        case ...FleetMembership.lateAfter: .alive
        case ...FleetMembership.goneAfter: .late
        default: .gone
        }
    }

    /// Puts a census together.
    ///
    /// - Parameters:
    ///   - fields: what stands on the bus, by name.
    ///   - now: seconds since 1970, for certificates.
    static func take(
        _ fields: [RESPValue.Pair], busTime: Int64, server: BusServer?, expected: [String], book: inout EdgeBook,
        now: Int64
    ) -> FleetCensus {
        var edges: [Edge] = []
        var unsigned: [String] = []
        for field in fields {
            guard let name = field.key.string, PartyName.isLegal(name), let bytes = field.value.bytes,
                let (report, heartbeat) = book.heartbeat(bytes, of: name, now: now)
            else {
                // A stranger's text is not printed as it is.
                unsigned.append(field.key.string.flatMap { PartyName.isLegal($0) ? $0 : nil } ?? "(not a name)")
                continue
            }
            let age = busTime - heartbeat.busTime
            edges.append(
                Edge(
                    name: name, standing: Self.standing(age: age), age: age, skew: report.time - heartbeat.busTime,
                    heartbeat: heartbeat))
        }
        for name in expected where !edges.contains(where: { $0.name == name }) {
            edges.append(Edge(name: name, standing: .missing, age: nil, skew: nil, heartbeat: nil))
        }
        edges.sort { $0.name < $1.name }
        return FleetCensus(edges: edges, unsigned: unsigned.sorted(), busTime: busTime, server: server)
    }
}
