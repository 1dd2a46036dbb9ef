public import HTTPFields
import NIOCore

/// How a request's fields change on the way to the origin for the cache's sake: edits of the head that would go there without
/// a cache. Fields for one hop are not its business.
public struct OriginRequest: Sendable {
    /// Names to take away.
    public var removed: KnownFieldSet
    /// To be added behind the others: the stored response's validators where it is validated, and the codings that the
    /// origin is offered. None of these is among the client's fields that remain.
    public var added: FieldSection
    /// The client wants a range, but everything is asked for, to be stored and to take the range from.
    public var fillsRange: Bool
    /// A 304 answers the cache's own question: see `CacheRequest.freshen`. Otherwise it is for the client.
    public var validates: Bool
    /// It goes out with a `Range` of the client's: only then is a part of a response an answer to it.
    public var sendsRange: Bool

    /// Conditions and range of the client are kept from the origin: they are judged on what it answers.
    public var asksForAll: Bool { self.removed.contains(.ifNoneMatch) }
}

extension CacheRequest {
    /// The request as it goes to the origin.
    ///
    /// - Parameters:
    ///   - validating: the stored response that a lookup said to validate (`validate`, `serveAndRevalidate`);
    ///   nil to fetch a whole one. One without a validator is fetched.
    ///   - asClient: conditions and range of the client's go along, since what comes is hardly for the store. Of no account where
    ///   a stored response is validated.
    public func originRequest(validating stored: StoredResponse? = nil, asClient: Bool = false) -> OriginRequest {
        var removed = KnownFieldSet()
        var validates = false
        var asksForAll = self.isInBackground
        var added = FieldSectionBuilder()
        if let stored, stored.hasValidator {
            Self.add(stored, to: &added)
            validates = true
            asksForAll = true
        } else if !asClient, self.isFetchedForAll {
            // The client's conditions would bring a 304 that says nothing to others; they are judged here instead.
            asksForAll = true
        }
        if asksForAll { removed = Self.conditionsAndRanges }
        // What may be stored must be what the codings in its key stand for.
        if let codings {
            removed.insert(.acceptEncoding)
            // Codings are tokens: no value could be refused.
            try? added.add(.acceptEncoding, codings.field)
        }
        return OriginRequest(
            removed: removed, added: added.section, fillsRange: asksForAll && self.ranges != nil,
            validates: validates, sendsRange: !asksForAll && self.has(.range))
    }

    /// Whether the whole response is asked for, since it may be stored. What won't be goes through as the client sent it.
    private var isFetchedForAll: Bool {
        guard self.bypass == nil, self.method == .get, !self.directives.noStore, !self.hasAuthorization else {
            return false
        }
        return self.ranges.map { self.rule.fills($0) } ?? true
    }

    private static func add(_ stored: StoredResponse, to added: inout FieldSectionBuilder) {
        // What the origin is asked for costs more than this copy.
        let bytes = stored.head.bytes
        stored.head.forEachField { field in
            // Both have been judged when they came in.
            switch field.known {
            case .etag where stored.entityTag != nil: try? added.add(.ifNoneMatch, bytes[field.value])
            case .lastModified where stored.lastModified != nil: try? added.add(.ifModifiedSince, bytes[field.value])
            default: break
            }
        }
    }

    static let conditionsAndRanges = KnownFieldSet(.ifNoneMatch, .ifModifiedSince, .range, .ifRange)
}

extension CacheRule {
    /// Whether to fetch everything where these ranges are asked for.
    func fills(_ ranges: [RangeSpec]) -> Bool {
        ranges.allSatisfy { range in
            switch range {
            case .from(let first, _): first <= self.fillsRangesBefore
            case .suffix: false
            }
        }
    }
}
