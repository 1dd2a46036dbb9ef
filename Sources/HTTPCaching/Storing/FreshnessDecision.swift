import HTTPFields

/// Lifetime, age and stale windows of a response (RFC 9111 §4.2).
enum FreshnessDecision {
    static func decide(
        status: Int, fields: FieldSection, facts: ResponseFacts, age: Int64?, rule: CacheRule, requestTime: Int64,
        responseTime: Int64
    ) -> Freshness {
        let directives = facts.directives
        let date = fields.date(.date, now: responseTime) ?? responseTime
        let (lifetime, source) = Self.lifetime(
            status: status, fields: fields, facts: facts, rule: rule, date: date, responseTime: responseTime)

        var flags: Freshness.Flags = []
        if directives.noCache { flags.insert(.noCache) }
        if directives.mustRevalidate || directives.sharedMaxAge != nil { flags.insert(.mustRevalidate) }
        if directives.immutable { flags.insert(.immutable) }

        // A window of the response's own holds against what s-maxage implies, since an origin that writes both wants both; not
        // against must-revalidate. The site's windows give way to either, and are only for what was ever fresh.
        let mayBeStale = !directives.noCache && !directives.mustRevalidate
        let siteMay = mayBeStale && directives.sharedMaxAge == nil && lifetime > 0
        func window(_ own: Int64?, _ site: Int64) -> Int64 {
            if let own { return mayBeStale ? own.saturatingMultiply(1000) : 0 }
            return siteMay ? site : 0
        }
        return Freshness(
            initialAge: Self.initialAge(
                age: age, date: date, requestTime: requestTime, responseTime: responseTime),
            lifetime: lifetime, source: source, flags: flags,
            staleWhileRevalidate: window(directives.staleWhileRevalidate, rule.staleWhileRevalidate),
            staleIfError: window(directives.staleIfError, rule.staleIfError))
    }

    /// `corrected_initial_age` of RFC 9111 §4.2.3, in milliseconds. `Date` counts whole seconds, so the apparent age
    /// does too.
    static func initialAge(age: Int64?, date: Int64, requestTime: Int64, responseTime: Int64) -> Int64 {
        let received = responseTime - (responseTime % 1000 + 1000) % 1000
        let apparent = max(0, received.saturatingSubtract(date))
        let delay = max(0, responseTime.saturatingSubtract(requestTime))
        let corrected = (age ?? 0).saturatingMultiply(1000).saturatingAdd(delay)
        return max(apparent, corrected)
    }

    private static func lifetime(
        status: Int, fields: FieldSection, facts: ResponseFacts, rule: CacheRule, date: Int64, responseTime: Int64
    ) -> (Int64, Freshness.Source) {
        let directives = facts.directives
        func capped(_ lifetime: Int64, _ source: Freshness.Source) -> (Int64, Freshness.Source) {
            if directives.isBroken, source != .siteOverride { return (0, source) }
            return (min(max(lifetime, 0), rule.maximumLifetime), source)
        }
        if let override = rule.overrideLifetime, StatusCodes.isHeuristicallyCacheable(status) {
            return capped(override, .siteOverride)
        }
        if let seconds = directives.sharedMaxAge {
            return capped(seconds.saturatingMultiply(1000), facts.isTargeted ? .targeted : .sharedMaxAge)
        }
        if let seconds = directives.maxAge {
            return capped(seconds.saturatingMultiply(1000), facts.isTargeted ? .targeted : .maxAge)
        }
        if !facts.isTargeted, facts.hasExpires {
            // No valid date, or two of them: already expired (RFC 9111 §5.3).
            let expires = fields.date(.expires, now: responseTime)
            return capped(expires.map { $0.saturatingSubtract(date) } ?? 0, .expires)
        }
        if let lifetime = rule.negativeLifetimes[status] { return capped(lifetime, .negative) }
        let isCacheable = StatusCodes.isHeuristicallyCacheable(status)
        if isCacheable, let lifetime = rule.defaultLifetime { return capped(lifetime, .siteDefault) }
        if isCacheable || directives.isPublic, rule.heuristicPercent > 0,
            let modified = fields.date(.lastModified, now: responseTime)
        {
            let sinceChange = max(0, date.saturatingSubtract(modified))
            let lifetime = (sinceChange / 100).saturatingMultiply(rule.heuristicPercent)
            return capped(min(lifetime, rule.maximumHeuristicLifetime), .heuristic)
        }
        return (0, .none)
    }
}
