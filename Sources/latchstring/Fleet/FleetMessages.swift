import FleetBus
import FleetLink

/// What `latchstring fleet --json`, `purge --fleet --json` and an edge's admin port print.

struct FleetReport: Codable, Equatable {
    struct Edge: Codable, Equatable {
        var name: String
        /// `alive`, `revoked`, `late`, `gone` or `missing`.
        var state: String
        /// Milliseconds since its heartbeat.
        var age: Int64?
        /// Milliseconds that its clock is ahead of the bus's.
        var clockAhead: Int64?
        var hitRatio: Double?
        var heartbeat: EdgeHeartbeat?
    }

    var fleet: String
    /// Milliseconds since 1970, by the bus's clock.
    var time: Int64
    var edges: [Edge]
    /// Names under which something stands that no edge has signed.
    var unsigned: [String]

    init(_ census: FleetCensus, fleet: String) {
        self.fleet = fleet
        self.time = census.busTime
        self.edges = census.edges.map {
            Edge(
                name: $0.name, state: FleetText.state($0), age: $0.age, clockAhead: $0.skew,
                hitRatio: $0.heartbeat?.hitRatio, heartbeat: $0.heartbeat)
        }
        self.unsigned = census.unsigned
    }
}

struct FleetPurgeReport: Codable, Equatable {
    struct Edge: Codable, Equatable {
        var name: String
        /// `alive`, `late`, `gone` or `missing`.
        var state: String
        /// `done`, `refused` or `silent`.
        var answer: String
        /// Until it had acknowledged.
        var milliseconds: Int64?
        var reason: String?
    }

    var success: Bool
    var edges: [Edge]
    /// Copies of the bus, and how many have confirmed the purge.
    var replicas: Int
    var confirmed: Int
    /// Where it stands in the stream.
    var ids: [String]
    /// Why edges could not be heard.
    var problem: String?

    init(_ outcome: FleetDesk.Outcome) {
        self.success = outcome.isSuccess
        self.replicas = outcome.replicas
        self.confirmed = outcome.confirmed
        self.ids = outcome.ids.map { "\($0)" }
        self.problem = outcome.problem
        self.edges = outcome.progress.edges.map { edge in
            var one = Edge(name: edge.name, state: edge.standing.rawValue, answer: "silent")
            switch edge.answer {
            case .done(let milliseconds):
                one.answer = "done"
                one.milliseconds = milliseconds
            case .refused(let reason):
                one.answer = "refused"
                one.reason = reason.text
            case .silent: break
            }
            return one
        }
    }
}
