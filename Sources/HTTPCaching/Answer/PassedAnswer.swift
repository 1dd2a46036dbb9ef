public import HTTPFields
public import NIOCore

/// What a client gets of a response that is not stored, where its conditions and range were kept from the origin because the
/// response might have been (RFC 9110 §13.2.1, §14.2).
public enum PassedAnswer: Hashable, Sendable {
    /// As it comes.
    case whole
    /// 304.
    case notModified
    /// 206 with these bytes of it, counted from 0. `total` in bytes.
    case part(ClosedRange<Int64>, total: Int64)
    /// 416. `total` in bytes.
    case unsatisfiable(total: Int64)

    /// Of no meaning for the whole.
    public var status: Int {
        switch self {
        case .whole: 200
        case .notModified: 304
        case .part: 206
        case .unsatisfiable: 416
        }
    }

    /// What of the body goes out; `nil` for the whole.
    public var cut: BodyCut? {
        switch self {
        case .whole: nil
        case .notModified, .unsatisfiable: BodyCut(skip: 0, left: 0)
        case .part(let range, _): BodyCut(skip: range.lowerBound, left: range.upperBound - range.lowerBound + 1)
        }
    }

    public var contentRange: String? {
        switch self {
        case .whole, .notModified: nil
        case .part(let range, let total): Answer.contentRange(range, total: total)
        case .unsatisfiable(let total): "bytes */\(total)"
        }
    }

    /// What describes the body that came, and not the one that goes out (RFC 9110 §15.3.7, §15.4.5, §15.5.17): with
    /// ``removedDigests``.
    public var removedFields: KnownFieldSet {
        switch self {
        case .whole: KnownFieldSet()
        case .part: Self.ofThePart
        case .notModified, .unsatisfiable: Self.ofTheContent
        }
    }

    private static let ofThePart = KnownFieldSet(.contentLength, .contentRange, .transferEncoding)
    private static let ofTheContent = KnownFieldSet(
        .contentLength, .contentRange, .transferEncoding, .contentType, .contentEncoding, .contentLanguage)

    /// Digests of the content that came (RFC 1864, RFC 9530). Removed with ``removedFields``, unless the whole goes out.
    public static let removedDigests = ["content-md5", "content-digest"].compactMap { FieldName($0) }
}

/// Takes a part out of a body as it comes: pure, for one body.
public struct BodyCut: Hashable, Sendable {
    /// Bytes that are still to be passed over, and to be passed on after that.
    public private(set) var skip: Int64
    public private(set) var left: Int64

    public init(skip: Int64, left: Int64) {
        self.skip = skip
        self.left = left
    }

    /// Nothing of what still comes is wanted.
    public var isDone: Bool { self.left == 0 }

    /// Leaves of the next bytes what belongs to the part; maybe nothing.
    public mutating func take(_ bytes: inout ByteBuffer) {
        let skipped = min(self.skip, Int64(bytes.readableBytes))
        bytes.moveReaderIndex(forwardBy: Int(skipped))
        self.skip -= skipped
        let taken = min(self.left, Int64(bytes.readableBytes))
        self.left -= taken
        bytes.moveWriterIndex(to: bytes.readerIndex + Int(taken))
    }
}

extension CacheRequest {
    /// Judges this request's conditions and range on the origin's response to it: `If-None-Match`, or else `If-Modified-Since`;
    /// then one range, with `If-Range`. Several ranges are answered with the whole, since what goes by can't be read twice.
    public func judge(_ response: OriginResponse) -> PassedAnswer {
        guard self.mayFill, 200...299 ~= response.status else { return .whole }
        let fields = response.fields
        let bytes = fields.bytes.readableBytesUInt8Span
        let now = response.responseTime
        let tag: EntityTag? = if let field = fields.only(.etag) { EntityTag(bytes, field.value) } else { nil }
        let modified = fields.date(.lastModified, now: now)
        if self.has(.ifNoneMatch) {
            if self.ifNoneMatchHolds(tag, bytes) { return .notModified }
        } else if let modified, self.has(.ifModifiedSince), let since = self.fields.date(.ifModifiedSince, now: now),
            modified <= since
        {
            return .notModified
        }
        guard response.status == 200, let specs = self.ranges, specs.count == 1, let length = response.bodyLength,
            length > 0,
            self.rangeHolds(tag, bytes, modified: modified, date: fields.date(.date, now: now) ?? now, now: now)
        else { return .whole }
        guard let range = RangeField.resolve(specs, length: length).first else { return .unsatisfiable(total: length) }
        return .part(range, total: length)
    }
}
