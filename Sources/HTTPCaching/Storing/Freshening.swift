public import HTTPFields
import NIOCore

/// What a 304 to a conditional request of ours means for the stored response (RFC 9111 §4.3.3 and §4.3.4).
public enum Freshening: Sendable {
    /// The stored response with its new fields and freshness: store it in the old one's place, and answer with it.
    /// `withheld` is as in `StoreDecision`.
    case renewed(StoredResponse, withheld: FieldSection?)
    /// Answer with it, but remove the stored one: by its new fields it may not be stored any more.
    case onlyOnce(StoredResponse, withheld: FieldSection?, StoreRefusal)
    /// The 304 speaks of another version. Remove the stored one and fetch again, without conditions.
    case mismatch
}

/// What a response to HEAD means for a stored response (RFC 9111 §4.3.5).
public enum HeadUpdate: Sendable {
    case unaffected
    /// Store this in the old one's place.
    case renewed(StoredResponse)
    /// The body has changed: store this in the old one's place. It will be validated before it is used.
    case invalidated(StoredResponse)
}

extension CacheRequest {
    /// Renews a stored response by a 304.
    ///
    /// - Parameters:
    ///   - stored: the one whose validators were sent with this request.
    ///   - response: the 304.
    public func freshen(_ stored: StoredResponse, with response: OriginResponse) -> Freshening {
        guard Self.identifies(response.fields, stored) else { return .mismatch }
        let merged = Merged(response, into: stored)
        guard let variant = VariantKey(response: merged.section, request: self) else { return .mismatch }
        var facts = ResponseFacts(merged.section, rule: self.rule)
        let head = self.storable(merged, facts)
        // Those that are withheld keep nothing from being stored.
        facts.setsCookies = head.setsCookies
        guard let encoded = try? head.encoded(status: stored.status, reason: stored.reason, date: nil) else {
            return .mismatch
        }
        let renewed = self.renewed(stored, by: response, merged, facts, variant, encoded)
        do throws(StoreRefusal) {
            try self.check(stored.status, facts)
            if head.isTooLarge { throw .tooManyFields }
            return .renewed(renewed, withheld: head.withheld?.section)
        } catch {
            return .onlyOnce(renewed, withheld: head.withheld?.section, error)
        }
    }

    /// What a response to this HEAD request means for one of the stored variants of its key. Call it for each.
    public func update(_ stored: StoredResponse, withHEAD response: OriginResponse) -> HeadUpdate {
        guard self.method == .head, self.bypass == nil, response.status == 200, stored.status == 200,
            stored.variant.matches(self), self.mayRenew(stored), !self.wasAskedOtherwise(than: stored)
        else { return .unaffected }
        guard Self.agrees(response, with: stored) else { return .invalidated(stored.invalidated()) }
        let merged = Merged(response, into: stored)
        guard let variant = VariantKey(response: merged.section, request: self) else {
            return .invalidated(stored.invalidated())
        }
        var facts = ResponseFacts(merged.section, rule: self.rule)
        let storable = self.storable(merged, facts)
        facts.setsCookies = storable.setsCookies
        do throws(StoreRefusal) {
            try self.check(stored.status, facts)
            let head = try Self.encoded(storable, stored.status, stored.reason, date: nil)
            return .renewed(self.renewed(stored, by: response, merged, facts, variant, head))
        } catch {
            return .invalidated(stored.invalidated())
        }
    }

    /// Whether a response to HEAD describes what is stored.
    private static func agrees(_ response: OriginResponse, with stored: StoredResponse) -> Bool {
        if let length = response.bodyLength, let known = stored.representationLength, length != known { return false }
        let fields = stored.fields
        let bytes = response.fields.bytes.readableBytesUInt8Span
        for field in response.fields where field.known == .etag || field.known == .lastModified {
            guard let name = field.known, let known = fields.first(name),
                bytes.equals(field.value, fields.bytes.readableBytesUInt8Span, known.value)
            else { return false }
        }
        return true
    }

    /// A HEAD request goes to the origin with its client's own codings, which may bring another variant's fields than
    /// those of the codings that the store goes by.
    private func wasAskedOtherwise(than stored: StoredResponse) -> Bool {
        self.codings != nil && stored.variant.selectors.contains { $0.name.known == .acceptEncoding }
    }

    private func renewed(
        _ stored: StoredResponse, by response: OriginResponse, _ merged: Merged, _ facts: ResponseFacts,
        _ variant: VariantKey, _ head: EncodedHead
    ) -> StoredResponse {
        StoredResponse(
            head: head, requestTime: response.requestTime, responseTime: response.responseTime, variant: variant,
            extent: stored.extent,
            freshness: FreshnessDecision.decide(
                status: stored.status, fields: merged.section, facts: facts, age: AgeField.seconds(response.fields),
                rule: self.rule, requestTime: response.requestTime, responseTime: response.responseTime),
            tags: TagFields.tags(merged.section))
    }

    /// Whether the 304's validators are those of the stored response. A tag that differs in weakness only is accepted:
    /// origins that compress on the fly send a weak one with the body and the strong one with the 304.
    private static func identifies(_ fields: FieldSection, _ stored: StoredResponse) -> Bool {
        if fields.contains(.etag) {
            let bytes = fields.bytes.readableBytesUInt8Span
            guard let field = fields.only(.etag), let tag = EntityTag(bytes, field.value) else {
                return stored.entityTag == nil
            }
            guard let known = stored.entityTag else { return true }
            return stored.head.withSpan { known.matchesWeakly($0, tag, in: bytes) }
        }
        guard fields.only(.lastModified) != nil, stored.entityTag == nil, let known = stored.lastModified else {
            return true
        }
        return fields.date(.lastModified, now: stored.responseTime) == known
    }

    /// What of the merged fields is stored.
    private func storable(_ merged: Merged, _ facts: ResponseFacts) -> StorableHead {
        var head = StorableHead()
        for (index, field) in merged.section.enumerated() {
            if self.keeps(field, merged.section, facts) {
                head.keep(field, of: merged.section)
            } else if index >= merged.updates {
                head.withhold(field, of: merged.section)
            }
        }
        return head
    }

    private func keeps(_ field: FieldRecord, _ section: FieldSection, _ facts: ResponseFacts) -> Bool {
        for name in facts.directives.withheldFields where section.isNamed(field, name) { return false }
        guard field.known == .setCookie else { return true }
        switch self.rule.setCookie {
        case .store: return true
        case .refuseUnlessShared: return facts.isMeantForSharing
        case .refuse, .strip: return false
        }
    }
}

/// The stored fields with those of a newer response in their places. All lines of a name are replaced together. Left as
/// they are: what describes the stored body's length and place, and an entity tag that differs in weakness only.
private struct Merged {
    let section: FieldSection
    /// From here on, they are the newer response's.
    let updates: Int

    init(_ response: OriginResponse, into stored: StoredResponse) {
        let fields = response.fields
        let storable = StorableFields(fields, withheldNames: [], withholdsCookies: false)
        let replacing = fields.filter { field in
            if field.known == .contentRange { return false }
            if field.known == .etag, Self.differs(field, fields, from: stored) { return false }
            return if case .kept = storable.fate(of: field) { true } else { false }
        }
        var known = KnownFieldSet(.date, .contentLength)
        for field in replacing { if let number = field.known { known.insert(number) } }
        let others = replacing.filter { $0.known == nil }

        let old = stored.fields
        let oldBytes = old.bytes.readableBytesUInt8Span
        let bytes = fields.bytes.readableBytesUInt8Span
        var builder = FieldSectionBuilder(capacity: stored.head.count + 128)
        for field in old {
            if let number = field.known {
                if known.contains(number) { continue }
            } else {
                var isReplaced = false
                for other in others where oldBytes.equalsFolded(field.name, bytes, other.name) { isReplaced = true }
                if isReplaced { continue }
            }
            builder.add(field, of: old)
        }
        self.updates = builder.count
        for field in replacing { builder.add(field, of: fields) }
        if !replacing.contains(where: { $0.known == .date }) {
            // A date has no byte that a value may not have.
            try? builder.add(.date, HTTPDate.bytes(response.responseTime))
        }
        self.section = builder.section
    }

    /// Whether an entity tag is another than the stored one, if only in weakness.
    private static func differs(_ field: FieldRecord, _ fields: FieldSection, from stored: StoredResponse) -> Bool {
        let bytes = fields.bytes.readableBytesUInt8Span
        guard let known = stored.entityTag, let tag = EntityTag(bytes, field.value) else { return false }
        return known.isWeak != tag.isWeak || !stored.head.withSpan { known.matchesWeakly($0, tag, in: bytes) }
    }
}

extension StoredResponse {
    fileprivate var reason: [UInt8] { self.head.reason }

    /// The length of the whole representation, as far as it is known.
    var representationLength: Int64? {
        switch self.extent {
        case .complete(let length): length
        case .partial(_, _, let total): total
        }
    }
}
