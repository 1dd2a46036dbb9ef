public import HTTPFields

/// What is known about one stored response: everything but its body.
///
/// A value: a store keeps it beside the body, and hands it to the decisions, which never change a stored one but return
/// a new one.
public struct StoredResponse: Sendable, Equatable {
    /// What part of the representation the stored body is.
    public enum Extent: Hashable, Sendable {
        /// All of it. `length` in bytes; nil while the body is still being received and its length was not announced.
        case complete(length: Int64?)
        /// The bytes `first...last` of a 206. `total` is nil if the origin didn't say.
        case partial(first: Int64, last: Int64, total: Int64?)
    }

    /// The status line and the end-to-end fields as they are sent: bytes, letter case and repeated lines as the origin had them,
    /// without fields for one hop, `Age` and `Content-Length`. A hit adds `Age`, and what says how its content ends.
    public private(set) var head: EncodedHead
    /// When the request that it answers was sent: milliseconds since 1970 UTC.
    public var requestTime: Int64
    /// When its head, or the 304 that renewed it, arrived: milliseconds since 1970 UTC.
    public var responseTime: Int64
    public let variant: VariantKey
    public var extent: Extent
    public var freshness: Freshness
    /// What `Surrogate-Key` and `Cache-Tag` name, each once.
    public var tags: [String]

    /// The entity tag, if there is exactly one and it is valid. It stands in the head's bytes.
    public let entityTag: EntityTag?
    /// `Last-Modified` in milliseconds since 1970 UTC, if there is exactly one and it is valid.
    public let lastModified: Int64?
    /// `Date` in milliseconds since 1970 UTC, or the time of receipt if it is absent or invalid.
    public let date: Int64

    /// With a head of its own, which keeps no store's block.
    package var detached: StoredResponse {
        var response = self
        response.head = self.head.detached
        return response
    }

    /// - Parameter head: without `Content-Length`, which `extent` has.
    public init(
        head: EncodedHead, requestTime: Int64, responseTime: Int64, variant: VariantKey, extent: Extent,
        freshness: Freshness, tags: [String]
    ) {
        self.head = head
        self.requestTime = requestTime
        self.responseTime = responseTime
        self.variant = variant
        self.extent = extent
        self.freshness = freshness
        self.tags = tags

        var tag = SingleField()
        var modified = SingleField()
        var date = SingleField()
        head.forEachField { field in
            switch field.known {
            case .etag: tag.add(field)
            case .date: date.add(field)
            case .lastModified: modified.add(field)
            default: break
            }
        }
        self.entityTag = tag.value.flatMap { value in head.withSpan { EntityTag($0, value) } }
        self.lastModified = modified.value.flatMap { value in
            head.withSpan { HTTPDate.milliseconds($0, value, now: responseTime) }
        }
        self.date =
            date.value.flatMap { value in head.withSpan { HTTPDate.milliseconds($0, value, now: responseTime) } }
            ?? responseTime
    }

    /// What a store kept of another value, put together again without a look at the head.
    package init(
        head: EncodedHead, requestTime: Int64, responseTime: Int64, variant: VariantKey, extent: Extent,
        freshness: Freshness, tags: [String], entityTag: EntityTag?, lastModified: Int64?, date: Int64
    ) {
        self.head = head
        self.requestTime = requestTime
        self.responseTime = responseTime
        self.variant = variant
        self.extent = extent
        self.freshness = freshness
        self.tags = tags
        self.entityTag = entityTag
        self.lastModified = lastModified
        self.date = date
    }

    /// 100...999.
    public var status: Int { self.head.status }

    /// The fields of `head`. Listed anew with each use: a hit has no need of it.
    public var fields: FieldSection { self.head.section }

    /// The stored body's length in bytes; nil while it isn't known.
    public var bodyLength: Int64? {
        switch self.extent {
        case .complete(let length): length
        case .partial(let first, let last, _): last - first + 1
        }
    }

    /// Whether an origin can be asked if it still holds (RFC 9111 §4.3.1).
    public var hasValidator: Bool { self.entityTag != nil || self.lastModified != nil }
}
