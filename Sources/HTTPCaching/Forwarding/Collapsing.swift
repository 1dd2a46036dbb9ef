import HTTPFields

/// Collapsed forwarding (RFC 9111 §4): requests that wait for another's response instead of being forwarded.
public enum Collapsing {
    /// What became of the request that others wait for.
    public enum Outcome: Sendable {
        /// Its response is being stored, or a stored one was renewed: the head is known, the body may still come.
        case stored(StoredResponse)
        case notStored
        /// No response, or one that broke off before others could take it over.
        case failed
    }

    /// What a request that waited does then.
    public enum Verdict: Hashable, Sendable {
        /// Answer it from the stored response.
        case serve
        /// Forward it; others that still wait, wait for this one now.
        case lead
        /// Forward it by itself. Those that still wait do so too, and so does who comes within `memory`.
        case goAlone
        /// Answer with a stale response if one may be, with 502 otherwise: asking again would only add to the origin's
        /// trouble.
        case fail
    }

    /// How long a key whose response was not stored is remembered, in milliseconds, each time that it happens: its requests
    /// don't wait for each other, since that would only put them in a queue.
    public static let memory: Int64 = 120_000

    /// Whether a response that was not stored says something about the next ones under its key. Not so an error, what the request
    /// itself forbade, and what answers a condition or range of one client's.
    public static func remembers(_ refusal: StoreRefusal, status: Int) -> Bool {
        switch refusal {
        case .bypass, .method, .interim, .notModified, .requestNoStore, .authorization, .partial, .badHead, .ownCodings,
            .smallRange:
            false
        case .noStore, .isPrivate, .notUnderstood, .setCookie, .cookie, .varyStar, .notExplicit, .useless, .tooLarge,
            .tooManyFields, .endNotCertain:
            status < 500
        }
    }

    /// After so many requests for one key have failed one after the other, those that still wait fail with them.
    public static let maximumFailures = 2
}

extension CacheRequest {
    /// Whether a response to it may be stored by a fetch on the cache's behalf. HEAD brings no body.
    var mayFill: Bool { self.method == .get }

    /// Whether this request may wait for another's response to the same key.
    ///
    /// - Parameter reason: why it has to be forwarded.
    public func mayWait(_ reason: ForwardReason) -> Bool {
        switch reason {
        case .uriMiss, .varyMiss, .stale: break
        case .bypass, .method, .request, .partial: return false
        }
        guard self.method == .get, !self.hasAuthorization, !self.directives.noStore else { return false }
        // A range that is forwarded as it is brings a part that only its own asker wants.
        return self.ranges.map { self.rule.fills($0) } ?? true
    }

    /// What to do now that the request it waited for has an outcome.
    ///
    /// - Parameter failures: how many requests for this key have failed one after the other, this one included.
    public func verdict(on outcome: Collapsing.Outcome, failures: Int, now: Int64) -> Collapsing.Verdict {
        switch outcome {
        case .stored(let stored):
            guard stored.variant.matches(self) else { return .lead }
            if case .partial = stored.extent { return .lead }
            switch self.lookup([stored], now: now) {
            case .serve, .serveAndRevalidate: return .serve
            case .validate, .fetch, .unavailable: return .goAlone
            }
        case .notStored: return .goAlone
        case .failed: return failures < Collapsing.maximumFailures ? .lead : .fail
        }
    }
}
