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

    /// - Parameter now: milliseconds since 1970 UTC.
    public func value(_ event: Event, now: Int64) -> String {
        // Integers and constant tokens only from here on, so that a hit costs no serializer.
        if case .hit(let hit) = event, hit.allowance == .fresh {
            return self.hit + String(Self.seconds(hit.timeToLive))
        }
        var text = self.name
        func parameter(_ name: StaticString, _ value: String) {
            text += "; \(name)=\(value)"
        }
        func forward(_ reason: ForwardReason, _ status: Int?) {
            parameter("fwd", "\(reason.token)")
            if let status { parameter("fwd-status", String(status)) }
        }
        func timeToLive(_ milliseconds: Int64) {
            parameter("ttl", String(Self.seconds(milliseconds)))
        }
        func detail(_ parts: String?...) {
            let known = parts.compactMap { $0 }
            if !known.isEmpty { parameter("detail", known.joined(separator: "/")) }
        }
        switch event {
        case .hit(let hit):
            text += "; hit"
            timeToLive(hit.timeToLive)
            detail(hit.allowance.rawValue)
        case .forwarded(let reason, let status, let stored, let collapsed, let refusal):
            forward(reason, status)
            if let stored {
                text += "; stored"
                timeToLive(stored.timeToLive(at: now))
            }
            if collapsed { text += "; collapsed" }
            detail(reason.detail, refusal?.rawValue, stored?.freshness.source.text)
        case .validated(let reason, let stored, let refusal):
            forward(reason, 304)
            timeToLive(stored.timeToLive(at: now))
            detail(reason.detail, refusal?.rawValue, stored.freshness.source.text)
        case .staleIfError(let reason, let hit, let status):
            forward(reason, status)
            timeToLive(hit.timeToLive)
            detail(hit.allowance.rawValue)
        case .onlyIfCached:
            parameter("detail", "only-if-cached")
        }
        return text
    }
}
