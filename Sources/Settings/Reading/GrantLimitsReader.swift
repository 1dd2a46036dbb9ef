internal import HTTPFields
internal import KeyProtocol

/// Reads when a grant counts, and the rates of single operations.
struct GrantLimitsReader {
    let report: DiagnosticCollector

    private var values: ValueReaders { ValueReaders(report: self.report) }

    /// `{sign-tls13: 100}`.
    func rates(
        _ node: ConfigurationNode, of granted: Set<KeyProtocol.Operation>
    ) -> [KeyProtocol.Operation: Int]? {
        let names = KeyProtocol.Operation.allCases.map(\.rawValue)
        guard let reader = MappingReader(node, noun: "rates", keys: names, report: self.report) else { return nil }
        var rates: [KeyProtocol.Operation: Int] = [:]
        for operation in KeyProtocol.Operation.allCases where reader.has(operation.rawValue) {
            rates[operation] = reader.optional(operation.rawValue) {
                self.values.integer($0, in: SettingsRanges.rate)
            }
            if !granted.contains(operation) {
                self.report.error(
                    at: reader.position(of: operation.rawValue),
                    "\"\(operation.rawValue)\" has a rate, and is not granted",
                    remedy: "Add it to operations, or remove it.")
            }
        }
        return rates
    }

    /// A day, to whose end the grant counts, or a moment; both UTC.
    ///
    /// - Returns: Milliseconds since 1970 UTC.
    func until(_ node: ConfigurationNode) -> Int64? {
        guard let text = self.values.text(node, "a day (2026-12-31) or a moment (2026-12-31T18:00Z)") else {
            return nil
        }
        let day = text.prefix(10)
        let rest = text.dropFirst(10)
        guard let date = Self.date(day) else { return self.notATime(node, text) }
        if rest.isEmpty { return (date.days + 1) * 86_400_000 }
        guard rest.first == "T", rest.last == "Z", let minute = Self.minute(rest.dropFirst().dropLast()), minute < 1440
        else { return self.notATime(node, text) }
        return date.days * 86_400_000 + Int64(minute) * 60_000
    }

    private func notATime(_ node: ConfigurationNode, _ text: String) -> Int64? {
        self.report.error(
            at: node.position, "\"\(text)\" is no day and no moment",
            remedy: "Write 2026-12-31, which is to the end of that day, or 2026-12-31T18:00Z; both are UTC.")
        return nil
    }

    /// `08:00-18:00`.
    func hours(_ node: ConfigurationNode) -> GrantTimes.Hours? {
        guard let text = self.values.text(node, "hours (08:00-18:00)") else { return nil }
        let sides = text.split(separator: "-", omittingEmptySubsequences: false)
        guard sides.count == 2, let from = Self.minute(sides[0]), from < 1440, let to = Self.minute(sides[1]),
            from != to
        else {
            self.report.error(
                at: node.position, "\"\(text)\" are no hours of the day",
                remedy: "Write 08:00-18:00; they are UTC, and 22:00-06:00 ends on the next day.")
            return nil
        }
        return GrantTimes.Hours(from: from, to: to)
    }

    func days(_ node: ConfigurationNode) -> Set<GrantTimes.Weekday>? {
        let days = self.values.list(node, of: "day") { self.values.word($0, as: GrantTimes.Weekday.self) }
        return days.isEmpty ? nil : Set(days)
    }

    /// `2026-12-31`.
    private static func date(_ text: some StringProtocol) -> CivilDate? {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.map(\.utf8.count) == [4, 2, 2], let year = Self.number(parts[0]), let month = Self.number(parts[1]),
            let day = Self.number(parts[2])
        else { return nil }
        return CivilDate(year: year, month: month, day: day)
    }

    /// `18:30`, or `24:00`: minutes of the day.
    private static func minute(_ text: some StringProtocol) -> Int? {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.map(\.utf8.count) == [2, 2], let hour = Self.number(parts[0]), let minute = Self.number(parts[1]),
            minute < 60, hour < 24 || hour == 24 && minute == 0
        else { return nil }
        return hour * 60 + minute
    }

    private static func number(_ text: some StringProtocol) -> Int? {
        text.utf8.allSatisfy { (0x30...0x39).contains($0) } ? Int(text) : nil
    }
}
