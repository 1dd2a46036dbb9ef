import Telemetry

/// One thing that must be well for this process to be ready.
public struct HealthCheck: Sendable {
    public enum Outcome: Hashable, Sendable {
        case ok
        /// Something is wrong that does not keep this process from being ready: what, in a few words without secrets.
        case degraded(String)
        /// Why not, in a few words without secrets: any user of this machine can read it.
        case failed(String)
    }

    public var name: String
    /// Called for each request to `/health/ready`. Cheap, please; it is given up after two seconds.
    public var run: @Sendable () async -> Outcome

    public init(name: String, run: @escaping @Sendable () async -> Outcome) {
        self.name = name
        self.run = run
    }
}

/// The answer to `/health/ready`.
struct HealthReport: Equatable, Sendable {
    var outcomes: [(name: String, outcome: HealthCheck.Outcome)]

    static func == (left: HealthReport, right: HealthReport) -> Bool {
        left.outcomes.count == right.outcomes.count
            && zip(left.outcomes, right.outcomes).allSatisfy { $0.name == $1.name && $0.outcome == $1.outcome }
    }

    var isReady: Bool {
        self.outcomes.allSatisfy { if case .failed = $0.outcome { false } else { true } }
    }

    /// `{"status":"ready","checks":{"listener":{"status":"ok"}}}`
    var json: String {
        var text = "{\"status\":\"\(self.isReady ? "ready" : "unready")\",\"checks\":{"
        for (index, check) in self.outcomes.enumerated() {
            if index > 0 { text += "," }
            JSONText.quote(check.name, into: &text)
            switch check.outcome {
            case .ok: text += ":{\"status\":\"ok\"}"
            case .degraded(let reason):
                text += ":{\"status\":\"degraded\",\"reason\":"
                JSONText.quote(reason, into: &text)
                text += "}"
            case .failed(let reason):
                text += ":{\"status\":\"failed\",\"reason\":"
                JSONText.quote(reason, into: &text)
                text += "}"
            }
        }
        return text + "}}\n"
    }

    /// Runs all checks at once; one that takes longer than `limit` has failed.
    static func run(_ checks: [HealthCheck], limit: Duration = .seconds(2)) async -> HealthReport {
        let results: [Int: HealthCheck.Outcome] = await withTaskGroup(of: (Int, HealthCheck.Outcome).self) { group in
            for (index, check) in checks.enumerated() {
                group.addTask { (index, await check.run()) }
            }
            group.addTask {
                try? await Task.sleep(for: limit)
                return (-1, .ok)
            }
            var results: [Int: HealthCheck.Outcome] = [:]
            while results.count < checks.count, let (index, outcome) = await group.next() {
                if index < 0 { break }
                results[index] = outcome
            }
            group.cancelAll()
            return results
        }
        return HealthReport(
            outcomes: checks.indices.map { (checks[$0].name, results[$0] ?? .failed("no answer in time")) })
    }
}
