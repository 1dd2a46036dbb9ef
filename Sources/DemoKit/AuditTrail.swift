import FoundationEssentials

/// Counts key operations by the key holder's audit file.
struct AuditTrail: Sendable {
    private struct Line: Decodable {
        var site: String?
        var operation: String?
        var outcome: String?
    }

    var path: String

    /// How many signatures and handshakes the key holder has made for `site` so far.
    func operations(for site: String) -> Int {
        guard let data = FileManager.default.contents(atPath: path) else { return 0 }
        let decoder = JSONDecoder()
        var count = 0
        for line in data.split(separator: UInt8(ascii: "\n")) {
            guard let entry = try? decoder.decode(Line.self, from: Data(line)), entry.site == site,
                entry.outcome == "ok",
                let operation = entry.operation,
                operation.hasPrefix("sign-") || operation.hasPrefix("native") || operation == "handoff"
            else { continue }
            count += 1
        }
        return count
    }

    /// The same once there are at least `expected`, or else after `patience`: lines are written a moment after the answer.
    func operations(for site: String, expected: Int, patience: Duration = .seconds(1)) async throws -> Int {
        let deadline = ContinuousClock.now + patience
        while true {
            let count = operations(for: site)
            if count >= expected || ContinuousClock.now >= deadline { return count }
            try await Task.sleep(for: .milliseconds(10))
        }
    }
}
