import HTTPFields
import NIOCore

/// What a response says about its own caching, read once.
struct ResponseFacts {
    /// From the targeted field if there is a valid one, else from `Cache-Control`.
    let directives: ResponseDirectives
    /// `directives` come from a targeted field: `Cache-Control` and `Expires` don't count.
    let isTargeted: Bool
    let hasExpires: Bool
    var setsCookies: Bool

    init(_ fields: FieldSection, rule: CacheRule) {
        let targeted = TargetedCacheControl.directives(rule.targetedFields, in: fields)
        self.isTargeted = targeted != nil
        self.directives = targeted ?? ResponseDirectives(fields)
        self.hasExpires = fields.contains(.expires)
        self.setsCookies = fields.contains(.setCookie)
    }

    /// The origin says itself how long the response holds.
    var hasExplicitLifetime: Bool {
        self.directives.sharedMaxAge != nil || self.directives.maxAge != nil || (!self.isTargeted && self.hasExpires)
    }

    /// The origin means it for shared caches in so many words.
    var isMeantForSharing: Bool {
        self.directives.isPublic || self.directives.sharedMaxAge != nil || (self.isTargeted && self.hasExplicitLifetime)
    }
}

extension FieldSection {
    /// A date in milliseconds since 1970 UTC, if there is exactly one field of this name, and it is valid.
    ///
    /// - Parameter now: see ``HTTPDate/milliseconds(_:_:now:)``.
    func date(_ name: KnownField, now: Int64) -> Int64? {
        guard let field = self.only(name) else { return nil }
        return HTTPDate.milliseconds(self.bytes.readableBytesUInt8Span, field.value, now: now)
    }
}
