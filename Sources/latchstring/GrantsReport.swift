import Admin
import HTTPFields
import KeyHolder
import KeyProtocol
import TLSWire

/// What each edge may do at a key holder, and did, as JSON between the admin port and `latchstring grants`.
struct GrantsReport: Codable, Equatable, Sendable {
    struct Grant: Codable, Equatable, Sendable {
        var edge: String
        var sites: [String]
        var operations: [String]
        /// Operations per second.
        var rate: Int
        var rates: [String: Int]
        /// `in force`, `not now` or `revoked`.
        var state: String
        /// RFC 3339; nil: no end.
        var until: String?
        /// `08:00-18:00`, UTC; nil: all.
        var hours: String?
        var days: [String]?
    }

    struct Edge: Codable, Equatable, Sendable {
        var edge: String
        /// Connections now.
        var connections: Int
        /// RFC 3339; nil: not since the start.
        var seen: String?
        /// Since the start, by operation.
        var done: [String: Int]
        var refused: [String: Int]
    }

    var grants: [Grant]
    var edges: [Edge]
}

extension GrantsReport {
    /// `GET /grants`.
    static func endpoint(_ server: KeyHolderServer) -> AdminEndpoint {
        AdminEndpoint(method: "GET", path: "/grants") { _ in AdminAnswer(GrantsReport(server.grantStatus)) }
    }

    init(_ status: [GrantStatus]) {
        self.grants = status.map { status in
            let grant = status.grant
            return Grant(
                edge: grant.edge, sites: grant.sites.map(\.description),
                operations: grant.operations.map(\.rawValue).sorted(), rate: grant.rate,
                rates: Dictionary(uniqueKeysWithValues: grant.rates.map { ($0.rawValue, $1) }),
                state: status.state.rawValue, until: grant.times.until.map(Self.text),
                hours: grant.times.hours.map { "\(Self.text(minute: $0.from))-\(Self.text(minute: $0.to))" },
                days: grant.times.days.map { days in
                    GrantTimes.Weekday.allCases.filter(days.contains).map(\.rawValue)
                })
        }
        var seen: Set<String> = []
        self.edges = status.compactMap { status in
            guard seen.insert(status.grant.edge).inserted else { return nil }
            return Edge(
                edge: status.grant.edge, connections: status.connections, seen: status.seen.map(Self.text),
                done: status.done, refused: status.refused)
        }
    }

    /// - Parameter time: Milliseconds since 1970 UTC.
    private static func text(_ time: Int64) -> String {
        let seconds = CivilDate.floorDivide(time, 1000)
        let day = CivilDate.floorDivide(seconds, 86_400)
        let date = CivilDate(days: day)
        let second = Int(seconds - day * 86_400)
        return
            "\(date.year)-\(Self.two(date.month))-\(Self.two(date.day))T\(Self.text(minute: second / 60)):\(Self.two(second % 60))Z"
    }

    private static func text(minute: Int) -> String { "\(Self.two(minute / 60)):\(Self.two(minute % 60))" }

    private static func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
}
