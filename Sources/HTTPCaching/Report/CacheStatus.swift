import RawStructuredFieldValues

/// Writes this cache's member of `Cache-Status` (RFC 9211). Add it as a line of its own behind those of other caches.
public struct CacheStatus: Sendable {
    private let name: String
    private let hit: String

    /// What happened to a request.
    public enum Event: Sendable {
        /// Answered from the store.
        case hit(Hit)
        /// Forwarded. `stored`: the response was stored; its time to live in milliseconds if it was.
        case forwarded(
            ForwardReason, status: Int?, stored: StoredResponse?, collapsed: Bool = false, refusal: StoreRefusal? = nil)
        /// Validated: the origin said 304, and the stored response is the answer.
        case validated(ForwardReason, StoredResponse, refusal: StoreRefusal? = nil)
        /// The origin failed (`status` is nil if it sent nothing), and a stale response is the answer.
        case staleIfError(ForwardReason, Hit, status: Int?)
        /// Not forwarded, since the request said `only-if-cached`.
        case onlyIfCached
    }

    /// - Parameter name: what this cache calls itself. Written as a token if it can be one, as a string otherwise;
    ///   characters that neither can hold are left out.
    public init(name: String) {
        let printable = String(decoding: name.utf8.filter { (0x20...0x7E).contains($0) }, as: UTF8.self)
        let item: RFC9651BareItem =
            printable.structuredHeadersIsValidToken ? .token(printable) : .string(printable)
        var serializer = StructuredFieldValueSerializer()
        let bytes = try? serializer.writeItemFieldValue(Item(bareItem: item, parameters: [:]))
        self.name = bytes.map { String(decoding: $0, as: UTF8.self) } ?? "cache"
        self.hit = "\(self.name); hit; ttl="
    }

    /// Rounded down, so that what has just gone stale is not said to have 0 seconds left; within what a structured
    /// field's integer can hold.
    private static func seconds(_ milliseconds: Int64) -> Int64 {
        let seconds = milliseconds / 1000 - (milliseconds % 1000 < 0 ? 1 : 0)
        return min(max(seconds, -999_999_999_999_999), 999_999_999_999_999)
    }

    /// The value for a hit whose response is fresh, as most are: a text, and the number behind it. It costs no memory.
    public func fresh(_ hit: Hit) -> (text: String, seconds: Int64)? {
        hit.allowance == .fresh ? (self.hit, Self.seconds(hit.timeToLive)) : nil
    }

    /// - Parameter now: milliseconds since 1970 UTC.
    public func value(_ event: Event, now: Int64) -> String {
        // Integers and constant tokens only from here on.
        if case .hit(let hit) = event, let (text, seconds) = self.fresh(hit) { return text + String(seconds) }
        return String(unsafeUninitializedCapacity: self.name.utf8.count + Text.longest) { memory in
            var text = Text(memory, self.name)
            Self.write(event, now: now, to: &text)
            return text.count
        }
    }

    private static func write(_ event: Event, now: Int64, to text: inout Text) {
        switch event {
        case .hit(let hit):
            text.add("; hit")
            text.add("; ttl=", Self.seconds(hit.timeToLive))
            text.addDetail(hit.allowance.rawValue)
        case .forwarded(let reason, let status, let stored, let collapsed, let refusal):
            text.add(reason, status)
            if let stored {
                text.add("; stored")
                text.add("; ttl=", Self.seconds(stored.timeToLive(at: now)))
            }
            if collapsed { text.add("; collapsed") }
            text.addDetail(reason.detail)
            text.addDetail(refusal?.rawValue)
            text.addDetail(stored?.freshness.source.text)
        case .validated(let reason, let stored, let refusal):
            text.add(reason, 304)
            text.add("; ttl=", Self.seconds(stored.timeToLive(at: now)))
            text.addDetail(reason.detail)
            text.addDetail(refusal?.rawValue)
            text.addDetail(stored.freshness.source.text)
        case .staleIfError(let reason, let hit, let status):
            text.add(reason, status)
            text.add("; ttl=", Self.seconds(hit.timeToLive))
            text.addDetail(hit.allowance.rawValue)
        case .onlyIfCached:
            text.addDetail("only-if-cached")
        }
    }

    /// Put together in one piece of memory, without a text for each part.
    private struct Text: ~Copyable {
        /// More than what follows the name ever takes: the longest parameters and three details.
        static let longest = 320

        private let memory: UnsafeMutableBufferPointer<UInt8>
        private(set) var count = 0
        private var hasDetail = false

        init(_ memory: UnsafeMutableBufferPointer<UInt8>, _ name: String) {
            self.memory = memory
            self.put(name)
        }

        /// A part that does not fit is left out, as a whole.
        private mutating func put(_ bytes: UnsafeRawBufferPointer) {
            guard self.count + bytes.count <= self.memory.count else { return }
            UnsafeMutableRawBufferPointer(self.memory)[self.count...].copyBytes(from: bytes)
            self.count += bytes.count
        }

        private mutating func put(_ part: String) {
            part.utf8.span.withUnsafeBytes { self.put($0) }
        }

        mutating func add(_ constant: StaticString) {
            constant.withUTF8Buffer { self.put(UnsafeRawBufferPointer($0)) }
        }

        mutating func add(_ name: StaticString, _ number: Int64) {
            self.add(name)
            self.put(String(number))
        }

        mutating func add(_ reason: ForwardReason, _ status: Int?) {
            self.add("; fwd=")
            self.add(reason.token)
            if let status { self.add("; fwd-status=", Int64(status)) }
        }

        mutating func addDetail(_ part: String?) {
            guard let part else { return }
            self.add(self.hasDetail ? "/" : "; detail=")
            self.hasDetail = true
            self.put(part)
        }
    }
}
