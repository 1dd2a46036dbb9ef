public import NIOHTTP1

/// What is known about one stored response: everything but its body.
///
/// A value: a store keeps it beside the body, and hands it to the decisions, which never change a stored one but return
/// a new one.
public struct StoredResponse: Sendable, Equatable {
    /// What part of the representation the stored body is.
    public enum Extent: Hashable, Sendable {
        /// All of it. `length` in bytes; nil while the body is still being received and nobody announced its length.
        case complete(length: Int64?)
        /// The bytes `first...last` of a 206. `total` is nil if the origin didn't say.
        case partial(first: Int64, last: Int64, total: Int64?)
    }

    public var status: HTTPResponseStatus
    /// As the origin sent them, repeated lines and letter case included, without those for one hop only and without
    /// `Content-Length`, which `extent` replaces.
    public var fields: HTTPHeaders
    /// When the request that it answers was sent: milliseconds since 1970 UTC.
    public var requestTime: Int64
    /// When its head, or the 304 that renewed it, arrived: milliseconds since 1970 UTC.
    public var responseTime: Int64
    public var variant: VariantKey
    public var extent: Extent
    public var freshness: Freshness
    /// What `Surrogate-Key` and `Cache-Tag` name, each once.
    public var tags: [String]

    /// The entity tag in `fields`, if there is exactly one and it is valid.
    public let entityTag: EntityTag?
    /// `Last-Modified` in milliseconds since 1970 UTC, if there is exactly one and it is valid.
    public let lastModified: Int64?
    /// `Date` in milliseconds since 1970 UTC, or the time of receipt if it is absent or invalid.
    public let date: Int64

    public init(
        status: HTTPResponseStatus, fields: HTTPHeaders, requestTime: Int64, responseTime: Int64, variant: VariantKey,
        extent: Extent, freshness: Freshness, tags: [String]
    ) {
        self.status = status
        self.fields = fields
        self.requestTime = requestTime
        self.responseTime = responseTime
        self.variant = variant
        self.extent = extent
        self.freshness = freshness
        self.tags = tags

        var tag = SingleValue()
        var modified = SingleValue()
        var date = SingleValue()
        for (name, value) in fields {
            switch name.utf8.count {
            case 4 where FieldText.equal(name, "etag"): tag.add(value)
            case 4 where FieldText.equal(name, "date"): date.add(value)
            case 13 where FieldText.equal(name, "last-modified"): modified.add(value)
            default: break
            }
        }
        self.entityTag = tag.value.flatMap { EntityTag($0) }
        self.lastModified = modified.value.flatMap { HTTPDate.parse($0, now: responseTime) }
        self.date = date.value.flatMap { HTTPDate.parse($0, now: responseTime) } ?? responseTime
    }

    /// The stored body's length in bytes; nil while it isn't known.
    public var bodyLength: Int64? {
        switch self.extent {
        case .complete(let length): length
        case .partial(let first, let last, _): last - first + 1
        }
    }

    /// Whether an origin can be asked if it still holds (RFC 9111 §4.3.1).
    public var hasValidator: Bool { self.entityTag != nil || self.lastModified != nil }

    /// Roughly the bytes that this value occupies, for stores that count them.
    public var estimatedSize: Int {
        var size = 320
        for (name, value) in self.fields { size += 32 + Self.heapBytes(name) + Self.heapBytes(value) }
        for selector in self.variant.selectors {
            size += 32 + Self.heapBytes(selector.name) + Self.heapBytes(selector.value ?? "")
        }
        for tag in self.tags { size += 16 + Self.heapBytes(tag) }
        return size
    }

    /// Swift keeps up to 15 bytes in the string itself.
    private static func heapBytes(_ text: String) -> Int {
        text.utf8.count <= 15 ? 0 : 32 + text.utf8.count
    }

    public static func == (one: StoredResponse, other: StoredResponse) -> Bool {
        one.status == other.status && one.requestTime == other.requestTime && one.responseTime == other.responseTime
            && one.variant == other.variant && one.extent == other.extent && one.freshness == other.freshness
            && one.tags == other.tags
            && one.fields.elementsEqual(other.fields) { $0.name == $1.name && $0.value == $1.value }
    }
}

/// The value of a field that may appear once only: two lines make it invalid.
struct SingleValue {
    private(set) var value: String?
    private(set) var count = 0

    mutating func add(_ text: String) {
        self.count += 1
        self.value = self.count == 1 ? text : nil
    }
}
