public import FoundationEssentials

/// From when to when a certificate counts.
///
/// The beginning lies a little before the time of issue, so that a peer whose clock is slow still accepts it.
public struct Validity: Sendable, Equatable {
    /// How far before `now` a certificate begins, in seconds.
    public static let backdating: TimeInterval = 300

    public var notBefore: Date
    public var notAfter: Date

    public init(notBefore: Date, notAfter: Date) {
        self.notBefore = notBefore
        self.notAfter = notAfter
    }

    /// From five minutes before `now` to `days` days after it.
    public static func days(_ days: Int, from now: Date = Date()) -> Validity {
        Validity(notBefore: now - backdating, notAfter: now + TimeInterval(days) * 86400)
    }

    /// The same beginning, and an end not later than `end`: a certificate must not outlive the one that vouches for it.
    func ending(noLaterThan end: Date) -> Validity {
        Validity(notBefore: notBefore, notAfter: min(notAfter, end))
    }
}
