import NIOHTTP1

/// What a 304 to a conditional request of ours means for the stored response (RFC 9111 §4.3.3 and §4.3.4).
public enum Freshening: Sendable {
    /// The stored response with its new fields and freshness: store it in the old one's place, and answer with it.
    /// `withheld` is as in `StoreDecision`.
    case renewed(StoredResponse, withheld: [(name: String, value: String)])
    /// Answer with it, but remove the stored one: by its new fields it may not be stored any more.
    case onlyOnce(StoredResponse, withheld: [(name: String, value: String)], StoreRefusal)
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
        let (merged, withheld) = self.merge(response, into: stored)
        guard let variant = VariantKey(response: merged, request: self.fields) else { return .mismatch }
        let renewed = self.renewed(stored, fields: merged, variant: variant, by: response)
        do throws(StoreRefusal) {
            try self.check(Int(stored.status.code), ResponseFacts(merged, rule: self.rule))
            try Self.checkSize(merged)
            return .renewed(renewed, withheld: withheld)
        } catch {
            return .onlyOnce(renewed, withheld: withheld, error)
        }
    }

    /// What a response to this HEAD request means for one of the stored variants of its key. Call it for each.
    public func update(_ stored: StoredResponse, withHEAD response: OriginResponse) -> HeadUpdate {
        guard self.method == .HEAD, self.bypass == nil, response.status == .ok, stored.status == .ok,
            stored.variant.matches(self.fields), self.mayRenew(stored), !self.wasAskedOtherwise(than: stored)
        else { return .unaffected }
        var agrees = true
        for tag in response.fields["ETag"] where tag != stored.fields.first(name: "ETag") { agrees = false }
        for date in response.fields["Last-Modified"] where date != stored.fields.first(name: "Last-Modified") {
            agrees = false
        }
        if let length = response.bodyLength, let known = stored.representationLength, length != known {
            agrees = false
        }
        guard agrees else { return .invalidated(stored.invalidated()) }
        let (merged, _) = self.merge(response, into: stored)
        guard let variant = VariantKey(response: merged, request: self.fields) else {
            return .invalidated(stored.invalidated())
        }
        do throws(StoreRefusal) {
            try self.check(Int(stored.status.code), ResponseFacts(merged, rule: self.rule))
            try Self.checkSize(merged)
            return .renewed(self.renewed(stored, fields: merged, variant: variant, by: response))
        } catch {
            return .invalidated(stored.invalidated())
        }
    }

    /// A HEAD request goes to the origin with its client's own codings, which may bring another variant's fields than
    /// those of the codings that the store goes by.
    private func wasAskedOtherwise(than stored: StoredResponse) -> Bool {
        self.acceptEncoding != nil && stored.variant.selectors.contains { $0.name == "accept-encoding" }
    }

    private func renewed(
        _ stored: StoredResponse, fields: HTTPHeaders, variant: VariantKey, by response: OriginResponse
    ) -> StoredResponse {
        StoredResponse(
            status: stored.status, fields: fields, requestTime: response.requestTime,
            responseTime: response.responseTime, variant: variant, extent: stored.extent,
            freshness: FreshnessDecision.decide(
                status: Int(stored.status.code), facts: ResponseFacts(fields, rule: self.rule),
                age: AgeField.seconds(response.fields), rule: self.rule, requestTime: response.requestTime,
                responseTime: response.responseTime),
            tags: TagFields.tags(fields))
    }

    /// Whether the 304's validators are those of the stored response. A tag that differs in weakness only is accepted:
    /// origins that compress on the fly send a weak one with the body and the strong one with the 304.
    private static func identifies(_ fields: HTTPHeaders, _ stored: StoredResponse) -> Bool {
        let tags = fields["ETag"]
        if !tags.isEmpty {
            guard tags.count == 1, let tag = EntityTag(tags[0]) else { return stored.entityTag == nil }
            return stored.entityTag.map { $0.matchesWeakly(tag) } ?? true
        }
        let dates = fields["Last-Modified"]
        guard dates.count == 1, stored.entityTag == nil, let known = stored.lastModified else { return true }
        return HTTPDate.parse(dates[0], now: stored.responseTime) == known
    }

    /// The stored fields with those of `response` in their places. All lines of a name are replaced together. Left as
    /// they are: what describes the stored body's length and place, and an entity tag that differs in weakness only.
    private func merge(
        _ response: OriginResponse, into stored: StoredResponse
    ) -> (fields: HTTPHeaders, withheld: [(name: String, value: String)]) {
        let listed = StorableFields.connectionOptions(response.fields)
        var updates: [(name: String, value: String)] = []
        for (name, value) in response.fields {
            if StorableFields.isForOneHop(name) || FieldText.equal(name, "content-length")
                || FieldText.equal(name, "content-range") || FieldText.equal(name, "age")
                || listed.contains(where: { FieldText.sameName(name, $0) })
            {
                continue
            }
            if FieldText.equal(name, "etag"), let known = stored.entityTag, let tag = EntityTag(value), known != tag {
                continue
            }
            updates.append((name, value))
        }
        let hasDate = updates.contains { FieldText.equal($0.name, "date") }
        if !hasDate { updates.append(("Date", HTTPDate.format(response.responseTime))) }
        let names = Set(updates.map { FieldText.lowercased($0.name) })
        let old = stored.fields.filter { !names.contains(FieldText.lowercased($0.name)) }

        let facts = ResponseFacts(
            HTTPHeaders(old.map { ($0.name, $0.value) } + updates.map { ($0.name, $0.value) }), rule: self.rule)
        var kept: [(String, String)] = []
        var withheld: [(name: String, value: String)] = []
        for (name, value) in old where self.keeps(name, facts) { kept.append((name, value)) }
        for update in updates {
            if self.keeps(update.name, facts) {
                kept.append((update.name, update.value))
            } else {
                withheld.append(update)
            }
        }
        return (HTTPHeaders(kept), withheld)
    }

    private func keeps(_ name: String, _ facts: ResponseFacts) -> Bool {
        if facts.directives.withheldFields.contains(where: { FieldText.sameName(name, $0) }) { return false }
        guard FieldText.equal(name, "set-cookie") else { return true }
        switch self.rule.setCookie {
        case .store: return true
        case .refuseUnlessShared: return facts.isMeantForSharing
        case .refuse, .strip: return false
        }
    }
}

extension StoredResponse {
    /// The length of the whole representation, as far as it is known.
    var representationLength: Int64? {
        switch self.extent {
        case .complete(let length): length
        case .partial(_, _, let total): total
        }
    }
}
