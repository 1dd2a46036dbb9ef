/// When a grant counts. All of it is UTC. Pure: the time is an argument.
public struct GrantTimes: Hashable, Sendable {
    /// The first moment at which it does not count any more; milliseconds since 1970 UTC. nil: it has no end.
    public var until: Int64?
    /// Hours of the day; nil: all.
    public var hours: Hours?
    /// nil: all. Hours that pass midnight belong to the day on which they begin.
    public var days: Set<Weekday>?

    public init(until: Int64? = nil, hours: Hours? = nil, days: Set<Weekday>? = nil) {
        self.until = until
        self.hours = hours
        self.days = days
    }

    /// Always.
    public static let always = GrantTimes()

    /// Minutes of the day, 0 to 1440. Where the end is not after the beginning, it is on the next day.
    public struct Hours: Hashable, Sendable {
        public var from: Int
        public var to: Int

        public init(from: Int, to: Int) {
            self.from = from
            self.to = to
        }
    }

    public enum Weekday: String, CaseIterable, Hashable, Sendable {
        case monday = "mon"
        case tuesday = "tue"
        case wednesday = "wed"
        case thursday = "thu"
        case friday = "fri"
        case saturday = "sat"
        case sunday = "sun"
    }

    /// - Parameter time: Milliseconds since 1970 UTC.
    public func counts(at time: Int64) -> Bool {
        if let until, time >= until { return false }
        guard self.hours != nil || self.days != nil else { return true }
        let minutes = Self.floorDivide(time, 60_000)
        let day = Self.floorDivide(minutes, 1440)
        let minute = Int(minutes - day * 1440)
        guard let hours else { return self.isOn(day) }
        if hours.from < hours.to { return (hours.from..<hours.to).contains(minute) && self.isOn(day) }
        return minute >= hours.from && self.isOn(day) || minute < hours.to && self.isOn(day - 1)
    }

    /// - Parameter day: Since 1970-01-01, a Thursday.
    private func isOn(_ day: Int64) -> Bool {
        guard let days else { return true }
        let index = Int(day + 3 - Self.floorDivide(day + 3, 7) * 7)
        return days.contains(Weekday.allCases[index])
    }

    private static func floorDivide(_ value: Int64, _ divisor: Int64) -> Int64 {
        let quotient = value / divisor
        return value % divisor < 0 ? quotient - 1 : quotient
    }
}
