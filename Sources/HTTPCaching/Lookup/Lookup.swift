import HTTPFields

/// What the store's answer to a request is (RFC 9111 §4). Indices count the variants that the decision was given.
public enum Lookup: Hashable, Sendable {
    /// Answer with this variant.
    case serve(Hit)
    /// Answer with this stale variant now, and validate it behind (RFC 5861 §3).
    case serveAndRevalidate(Hit)
    /// Ask the origin whether this variant still holds: it has a validator.
    case validate(index: Int, ForwardReason)
    /// Ask the origin for a whole response. `superseded`: the variant that the request would select, if there is one; it
    /// is stale and has no validator, but may still help if the origin fails.
    case fetch(ForwardReason, superseded: Int?)
    /// 504: the request may not be forwarded (`only-if-cached`).
    case unavailable

    /// What answers the request now; nil: nothing that is stored.
    public var hit: Hit? {
        switch self {
        case .serve(let hit), .serveAndRevalidate(let hit): hit
        case .validate, .fetch, .unavailable: nil
        }
    }
}

/// A stored response that answers a request.
public struct Hit: Hashable, Sendable {
    public var index: Int
    /// Milliseconds.
    public var age: Int64
    /// Milliseconds; negative if the response is stale.
    public var timeToLive: Int64
    public var allowance: Allowance

    /// Why it may be served.
    public enum Allowance: String, Hashable, Sendable, CaseIterable {
        case fresh = "fresh"
        case staleWhileRevalidate = "stale-while-revalidate"
        /// The request's `max-stale`.
        case maxStale = "max-stale"
        case staleIfError = "stale-if-error"
    }

    public init(index: Int, age: Int64, timeToLive: Int64, allowance: Allowance) {
        self.index = index
        self.age = age
        self.timeToLive = timeToLive
        self.allowance = allowance
    }
}

extension CacheRequest {
    /// Looks a request up among the stored variants of its key.
    ///
    /// - Parameters:
    ///   - variants: in any order.
    ///   - now: milliseconds since 1970 UTC.
    public func lookup(_ variants: [StoredResponse], now: Int64) -> Lookup {
        self.lookup(count: variants.count, variant: { variants[$0] }, now: now)
    }

    /// The same for variants that stand in something else than a list.
    ///
    /// - Parameters:
    ///   - count: how many variants there are.
    ///   - variant: the one of an index; asked for once each.
    ///   - now: milliseconds since 1970 UTC.
    public func lookup(count: Int, variant: (Int) -> StoredResponse, now: Int64) -> Lookup {
        if count == 1 { return self.lookup(only: variant(0), now: now) }
        if let answer = self.withoutStore { return answer }
        switch self.select(count, variant) {
        case .none(let reason): return self.fetch(reason)
        case .selected(let index, let stored): return self.judge(stored, at: index, now: now)
        }
    }

    /// The same where one variant is all that there is, as with most keys: it is copied nowhere.
    ///
    /// - Parameter now: milliseconds since 1970 UTC.
    public func lookup(only stored: StoredResponse, now: Int64) -> Lookup {
        if let answer = self.withoutStore { return answer }
        if !stored.variant.selectors.isEmpty, !stored.variant.matches(self) { return self.fetch(.varyMiss) }
        if case .partial = stored.extent, !self.isCovered(by: stored) { return self.fetch(.partial) }
        return self.judge(stored, at: 0, now: now)
    }

    /// What becomes of a request that the store has no part in.
    private var withoutStore: Lookup? {
        if let bypass { return self.fetch(.bypass(bypass)) }
        return self.isLookedUp ? nil : .fetch(.method, superseded: nil)
    }

    private func fetch(_ reason: ForwardReason) -> Lookup {
        self.directives.onlyIfCached ? .unavailable : .fetch(reason, superseded: nil)
    }

    private enum Selection {
        case selected(Int, StoredResponse)
        case none(ForwardReason)
    }

    /// The newest variant that the request's fields select and that covers what it asks for; complete ones first.
    private func select(_ count: Int, _ variant: (Int) -> StoredResponse) -> Selection {
        if count == 0 { return .none(.uriMiss) }
        var best: (index: Int, response: StoredResponse)?
        var seesPartial = false
        var values = SelectorValues()
        for index in 0..<count {
            let candidate = variant(index)
            guard candidate.variant.matches(self, &values) else { continue }
            if case .partial = candidate.extent {
                seesPartial = true
                guard self.isCovered(by: candidate) else { continue }
            }
            if let best, !Self.isPreferred(candidate, to: best.response) { continue }
            best = (index, candidate)
        }
        if let best { return .selected(best.index, best.response) }
        return .none(seesPartial ? .partial : .varyMiss)
    }

    private static func isPreferred(_ one: StoredResponse, to other: StoredResponse) -> Bool {
        switch (one.extent, other.extent) {
        case (.complete, .partial): true
        case (.partial, .complete): false
        default:
            (one.date, one.responseTime) >= (other.date, other.responseTime)
        }
    }

    private func judge(_ stored: StoredResponse, at index: Int, now: Int64) -> Lookup {
        let age = stored.currentAge(at: now)
        let timeToLive = stored.timeToLive(at: now)
        let flags = stored.freshness.flags
        func hit(_ allowance: Hit.Allowance) -> Hit {
            Hit(index: index, age: age, timeToLive: timeToLive, allowance: allowance)
        }

        var reason: ForwardReason?
        if flags.contains(.invalidated) {
            reason = .stale(.invalidated)
        } else if flags.contains(.noCache) {
            reason = .stale(.noCache)
        } else if timeToLive <= 0 {
            reason = .stale(.expired)
        } else if self.directives.noCache {
            reason = .request(.noCache)
        } else if let seconds = self.directives.maxAge, age > seconds.saturatingMultiply(1000),
            !flags.contains(.immutable)
        {
            // Reloading a page asks so for everything in it; what says that it never changes needn't be asked for.
            reason = .request(.maxAge)
        } else if let seconds = self.directives.minFresh, timeToLive < seconds.saturatingMultiply(1000) {
            reason = .request(.minFresh)
        }
        guard let reason else { return .serve(hit(.fresh)) }

        if reason == .stale(.expired), !self.directives.noCache {
            let wantsFresher =
                self.directives.minFresh != nil
                || self.directives.maxAge.map { age > $0.saturatingMultiply(1000) } ?? false
            let staleness = Int64(0).saturatingSubtract(timeToLive)
            if let seconds = self.directives.maxStale, !flags.contains(.mustRevalidate),
                staleness <= seconds.saturatingMultiply(1000), !wantsFresher
            {
                return .serve(hit(.maxStale))
            }
            if staleness < stored.freshness.staleWhileRevalidate, !wantsFresher, self.mayRenew(stored) {
                // Without permission to ask the origin there is no revalidation, and so no stale answer.
                return self.directives.onlyIfCached ? .unavailable : .serveAndRevalidate(hit(.staleWhileRevalidate))
            }
        }
        if self.directives.onlyIfCached { return .unavailable }
        // A HEAD can't renew what is stored by a 304: its response is compared field by field instead.
        guard stored.hasValidator, self.method == .get, case .complete = stored.extent, self.mayRenew(stored) else {
            return .fetch(reason, superseded: index)
        }
        return .validate(index: index, reason)
    }

    /// Whether a response to this request could take the stored one's place. One that can't (`no-store`, credentials)
    /// is forwarded for its own client alone, so that no client can push responses out of the store that way.
    func mayRenew(_ stored: StoredResponse) -> Bool {
        do throws(StoreRefusal) {
            try self.check(stored.status, ResponseFacts(stored.fields, rule: self.rule))
            return true
        } catch {
            return error != .requestNoStore && error != .authorization
        }
    }

    /// Whether an error of the origin leaves the stored response where it is, although it could be stored itself: as long
    /// as the stored one may be served, for whatever reason, it is worth more (RFC 5861 §3 and §4).
    public func keeps(_ stored: StoredResponse, despite status: Int, now: Int64) -> Bool {
        guard Self.isFailure(status), stored.freshness.flags.isDisjoint(with: [.noCache, .invalidated]) else {
            return false
        }
        let window = max(stored.freshness.staleIfError, stored.freshness.staleWhileRevalidate)
        return stored.timeToLive(at: now).saturatingAdd(window) > 0
    }

    /// Statuses that say that the origin could not do its work (RFC 5861 §4).
    private static func isFailure(_ status: Int) -> Bool { status == 500 || (502...504).contains(status) }

    /// Whether a stale response may answer because the origin can't (RFC 9111 §4.2.4, RFC 5861 §4): it sent `status`,
    /// or nothing (`nil`).
    ///
    /// - Parameter index: of `stored` among the variants; it is copied into the hit.
    /// - Returns: `nil` if the failure has to be passed on.
    public func staleIfError(_ stored: StoredResponse, at index: Int, status: Int?, now: Int64) -> Hit? {
        if let status, !Self.isFailure(status) { return nil }
        let flags = stored.freshness.flags
        guard flags.isDisjoint(with: [.noCache, .invalidated]), !self.directives.noCache else { return nil }
        let age = stored.currentAge(at: now)
        let timeToLive = stored.timeToLive(at: now)
        // Fresh, but the request wanted it fresher: better than an error.
        guard timeToLive > 0 || Int64(0).saturatingSubtract(timeToLive) < stored.freshness.staleIfError else {
            return nil
        }
        return Hit(
            index: index, age: age, timeToLive: timeToLive, allowance: timeToLive > 0 ? .fresh : .staleIfError)
    }
}
