import CacheStorage
import HTTPCaching
import HTTPFields
import NIOCore
import NIOPosix

/// Responses and bodies for tests.
enum Sample {
    static func key(_ path: String, site: String = "example") -> CacheKey {
        CacheKey(site: site, uri: "https://www.\(site).test/\(path)")
    }

    static func response(
        length: Int?, language: String? = nil, tags: [String] = [], etag: String = "\"1\"", time: Int64 = 1_000
    ) -> StoredResponse {
        var fields = [("Content-Type", "text/plain"), ("ETag", etag)]
        if language != nil { fields.append(("Vary", "X-Language")) }
        return StoredResponse(
            head: Self.head(fields), requestTime: time, responseTime: time, variant: Self.variant(language: language),
            extent: .complete(length: length.map { Int64($0) }),
            freshness: Freshness(initialAge: 0, lifetime: 3_600_000, source: .maxAge), tags: tags)
    }

    static func head(_ fields: [(String, String)]) -> EncodedHead {
        do {
            var head = try EncodedHead(status: 200, reason: "OK".utf8)
            for (name, value) in fields { try head.add(name: name.utf8, value: value.utf8) }
            return head
        } catch {
            preconditionFailure("\(fields): \(error)")
        }
    }

    /// What a request in a language selects among responses that vary by it; all select the same without one.
    static func variant(language: String?) -> VariantKey {
        guard let language, let vary = try? FieldSection([("Vary", "X-Language")]),
            let fields = try? FieldSection([("X-Language", language)])
        else { return .invariant }
        let request = CacheRequest(method: .get, fields: fields, rule: CacheRule())
        return VariantKey(response: vary, request: request) ?? .invariant
    }

    /// Bytes that differ from seed to seed and from place to place.
    static func body(_ count: Int, seed: UInt64) -> ByteBuffer {
        // A tile of prime length, each time behind a number of its own: quick to make in a debug build, too.
        var generator = Lehmer(seed: seed)
        let tile: [UInt8] = (0..<251).map { _ in UInt8.random(in: 0...255, using: &generator) }
        var buffer: ByteBuffer = ByteBufferAllocator().buffer(capacity: count + 512)
        while buffer.readableBytes < count {
            buffer.writeInteger(UInt32(truncatingIfNeeded: buffer.readableBytes) ^ UInt32(truncatingIfNeeded: seed))
            buffer.writeBytes(tile)
        }
        return buffer.getSlice(at: 0, length: count).map { ByteBuffer(bytes: $0.readableBytesView) } ?? ByteBuffer()
    }
}

extension ResponseStore {
    /// Leads a fill and completes it.
    @discardableResult
    func fill(_ key: CacheKey, _ response: StoredResponse, _ body: ByteBuffer, now: Int64 = 0) -> FillResult? {
        guard case .lead(let writer) = self.flight(for: key, now: now) else { return nil }
        writer.begin(response)
        _ = writer.append(body)
        return writer.finish()
    }

    /// A small response for a path.
    @discardableResult
    func fill(_ path: String, site: String = "example", bytes: Int = 100, tags: [String] = []) -> FillResult? {
        let body = Sample.body(bytes, seed: UInt64(bytes))
        return self.fill(Sample.key(path, site: site), Sample.response(length: bytes, tags: tags), body)
    }

    func holds(_ path: String, site: String = "example") -> Bool {
        !self.lookup(Sample.key(path, site: site)).isEmpty
    }
}

extension CachedResponse {
    /// What `Sample.response` was given.
    var language: String? {
        guard let value = self.response.variant.selectors.first?.value else { return nil }
        return String(decoding: value, as: UTF8.self)
    }

    /// The entity tag, without quotes.
    var tag: String? {
        self.response.entityTag.map { String(decoding: self.response.head.bytes[$0.opaque], as: UTF8.self) }
    }

    /// The whole body, where it is in memory.
    var bytes: ByteBuffer? {
        self.body.chunks?.reduce(into: ByteBuffer()) { $0.writeImmutableBuffer($1) }
    }
}

/// A small generator whose sequence is the same on every run.
struct Lehmer: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) {
        self.state = seed &* 2_685_821_657_736_338_717 | 1
    }

    mutating func next() -> UInt64 {
        // xorshift64*
        self.state ^= self.state >> 12
        self.state ^= self.state << 25
        self.state ^= self.state >> 27
        return self.state &* 2_685_821_657_736_338_717
    }
}

/// An event loop for readers that never use it.
enum InertLoop {
    static var loop: any EventLoop { MultiThreadedEventLoopGroup.singleton.any() }
}
