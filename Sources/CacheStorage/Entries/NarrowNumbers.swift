internal import HTTPCaching
internal import HTTPFields

/// The times and marks of a stored response in the few bytes that they need as a rule. Pure; nothing is rounded: what does not fit is not
/// taken.
struct NarrowNumbers: Equatable {
    /// Milliseconds since 1970.
    private var responseTime: Int64 = 0
    /// How long before that the request was sent, in milliseconds.
    private var roundTrip: UInt32 = 0
    private var initialAge = NarrowTime()
    private var lifetime = NarrowTime()
    private var staleWhileRevalidate = NarrowTime()
    private var staleIfError = NarrowTime()
    /// Seconds since 1970, or `noDate`.
    private var lastModified: UInt32 = Self.noDate
    /// Seconds since 1970, or `noDate` for the time of receipt.
    private var date: UInt32 = Self.noDate
    private var flags = Freshness.Flags()
    private var source = Freshness.Source.none
    /// The extent is the whole body, of a known length.
    private var isLengthKnown = false

    private static let noDate = UInt32.max

    init() {}

    /// - Parameter bodyLength: of the body that is stored with it, in bytes.
    /// - Returns: nil if a number does not fit, or only a part of the representation is stored.
    init?(_ response: StoredResponse, bodyLength: Int) {
        switch response.extent {
        case .complete(nil): self.isLengthKnown = false
        case .complete(let length?) where length == Int64(bodyLength): self.isLengthKnown = true
        case .complete, .partial: return nil
        }
        let freshness: Freshness = response.freshness
        let (roundTrip, overflows): (Int64, Bool) = response.responseTime.subtractingReportingOverflow(
            response.requestTime)
        guard !overflows, let roundTrip = UInt32(exactly: roundTrip),
            let initialAge = NarrowTime(freshness.initialAge),
            let lifetime = NarrowTime(freshness.lifetime), let staleIfError = NarrowTime(freshness.staleIfError),
            let staleWhileRevalidate = NarrowTime(freshness.staleWhileRevalidate)
        else { return nil }
        if let modified = response.lastModified {
            guard let seconds = Self.seconds(modified) else { return nil }
            self.lastModified = seconds
        }
        if response.date != response.responseTime {
            guard let seconds = Self.seconds(response.date) else { return nil }
            self.date = seconds
        }
        self.responseTime = response.responseTime
        self.roundTrip = roundTrip
        self.initialAge = initialAge
        self.lifetime = lifetime
        self.staleWhileRevalidate = staleWhileRevalidate
        self.staleIfError = staleIfError
        self.flags = freshness.flags
        self.source = freshness.source
    }

    /// What it was made of.
    func response(
        head: EncodedHead, variant: VariantKey, tags: [String], entityTag: EntityTag?, bodyLength: Int
    ) -> StoredResponse {
        StoredResponse(
            head: head, requestTime: self.responseTime - Int64(self.roundTrip), responseTime: self.responseTime,
            variant: variant, extent: .complete(length: self.isLengthKnown ? Int64(bodyLength) : nil),
            freshness: Freshness(
                initialAge: self.initialAge.milliseconds, lifetime: self.lifetime.milliseconds, source: self.source,
                flags: self.flags, staleWhileRevalidate: self.staleWhileRevalidate.milliseconds,
                staleIfError: self.staleIfError.milliseconds),
            tags: tags, entityTag: entityTag,
            lastModified: self.lastModified == Self.noDate ? nil : Int64(self.lastModified) * 1000,
            date: self.date == Self.noDate ? self.responseTime : Int64(self.date) * 1000)
    }

    /// - Returns: nil if that is no whole number of seconds between 1970 and 2106.
    private static func seconds(_ milliseconds: Int64) -> UInt32? {
        guard milliseconds % 1000 == 0, let seconds = UInt32(exactly: milliseconds / 1000) else { return nil }
        return seconds == Self.noDate ? nil : seconds
    }
}

/// Where an entity tag stands in a head of at most 65,535 bytes.
struct NarrowTag {
    private var start: UInt16 = 0
    /// 0: there is none.
    private var end: UInt16 = 0
    private var isWeak = false

    init(_ tag: EntityTag?) {
        guard let tag else { return }
        self.start = UInt16(clamping: tag.opaque.lowerBound)
        self.end = UInt16(clamping: tag.opaque.upperBound)
        self.isWeak = tag.isWeak
    }

    var tag: EntityTag? {
        self.end == 0 ? nil : EntityTag(isWeak: self.isWeak, opaque: Int(self.start)..<Int(self.end))
    }
}

/// A length of time in 32 bits: in milliseconds up to 24 days, in whole seconds up to 68 years.
struct NarrowTime: Equatable {
    private var bits: UInt32 = 0
    private static let inSeconds: UInt32 = 1 << 31

    init() {}

    /// - Returns: nil if it does not fit exactly.
    init?(_ milliseconds: Int64) {
        if 0..<Int64(Self.inSeconds) ~= milliseconds {
            self.bits = UInt32(milliseconds)
        } else if milliseconds % 1000 == 0, 0..<Int64(Self.inSeconds) ~= milliseconds / 1000 {
            self.bits = Self.inSeconds | UInt32(milliseconds / 1000)
        } else {
            return nil
        }
    }

    var milliseconds: Int64 {
        self.bits & Self.inSeconds == 0 ? Int64(self.bits) : Int64(self.bits & ~Self.inSeconds) * 1000
    }
}
