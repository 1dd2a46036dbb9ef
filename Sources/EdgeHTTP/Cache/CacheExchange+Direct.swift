import CacheStorage
import HTTPCaching
import HTTPFields
import HTTPForwarding
import NIOCore

/// Responses that go by the store: what they mean for it, and what of them is for the client.
extension CacheExchange {
    /// The origin's response on the direct way: says what happened, does to the store what the response demands, and judges the
    /// client's condition and range where the origin was not told of them.
    func passing(_ response: inout CheckedResponse) {
        let status = response.status
        guard status != 101 else { return }
        let stored = self.learn(from: response)
        self.request.rule.responseFields.apply(to: &response.head)
        if let writer = self.cache.status {
            let event = CacheStatus.Event.forwarded(
                self.turn.reason, status: status, stored: stored?.response, refusal: self.turn.refusal)
            // What is not stored has no time to live, and so no time is asked for.
            let now = stored?.response.map { _ in self.cache.clock() } ?? 0
            response.head.added.add(.cacheStatus, .text(writer.value(event, now: now)))
        }
        if let judged = stored?.answer { self.apply(judged, to: &response) }
    }

    /// What the response means for the store. GET that the store has refused, or that goes by it, means nothing more.
    private func learn(from response: CheckedResponse) -> (response: StoredResponse?, answer: PassedAnswer?)? {
        let method = self.request.method
        guard method != .get || self.turn.judgesAnswer else { return nil }
        let now = self.cache.clock()
        // A response to HEAD says how long the body would be.
        let length = method == .head ? response.head.announcedLength : response.originBody.length
        let arrived = OriginResponse(
            response, bodyLength: length, requestTime: self.requestTime, responseTime: now,
            endIsCertain: self.client.vouchesForEnd(of: response.originBody))
        if method == .get { return (nil, self.request.judge(arrived)) }
        if method == .head {
            self.updateByHEAD(arrived, now: now)
            return nil
        }
        var storable: StoredResponse?
        if case .direct = self.turn.phase, method == .post { storable = self.storable(arrived) }
        for key in Invalidation.keys(
            method: self.asked.methodText.utf8, status: response.status, fields: arrived.fields, key: self.key,
            query: self.cache.policy.query)
        {
            self.cache.store.purge(.key(key), .invalidate)
        }
        return (storable.flatMap { self.store($0) }, nil)
    }

    private func updateByHEAD(_ response: OriginResponse, now: Int64) {
        for entry in self.cache.store.lookup(self.key) {
            switch self.request.update(entry.response, withHEAD: response) {
            case .unaffected: break
            case .renewed(let renewed), .invalidated(let renewed):
                self.cache.store.update(entry, with: renewed, since: self.generation)
            }
        }
    }

    /// A response to POST that says that it is what GET would bring, and for how long it is fresh (RFC 9110 §9.3.3).
    /// Asked before the store hears of what the request itself makes invalid.
    private func storable(_ response: OriginResponse) -> StoredResponse? {
        let decision = self.request.decideStoring(response, key: self.key, query: self.cache.policy.query)
        guard case .store(let stored, _) = decision,
            self.cache.store.isUntouched(self.key, tags: stored.tags, since: self.generation)
        else { return nil }
        return stored
    }

    private func store(_ stored: StoredResponse) -> StoredResponse? {
        let writer = self.cache.store.soloFill(for: self.key)
        let maximum = Int(clamping: self.request.rule.maximumObjectBytes)
        guard writer.begin(stored, maximumBytes: maximum) == .store else {
            writer.fail(.abandoned)
            return nil
        }
        self.writer = writer
        return stored
    }

    /// What the client gets of a response that was asked for as a whole on its behalf.
    private func apply(_ answer: PassedAnswer, to response: inout CheckedResponse) {
        guard let cut = answer.cut else { return }
        self.cut = cut
        response.head.status = answer.status
        response.head.reason = nil
        response.head.omitted = response.head.omitted.union(answer.removedFields)
        response.head.omittedNames += PassedAnswer.removedDigests
        response.head.announcedLength = nil
        if let range = answer.contentRange { response.head.added.add(.contentRange, .text(range)) }
        response.head.framing = answer == .notModified ? .none : .length(cut.left)
    }

    /// Whether the rest of the origin's response is for no one.
    var hasAllOfPassing: Bool { self.cut?.isDone ?? false }

    /// The next bytes of a response that goes by; what is not for the client is taken off.
    func passing(_ bytes: inout ByteBuffer) {
        self.cut?.take(&bytes)
        guard let writer else { return }
        switch writer.append(bytes) {
        case .proceed: break
        case .pause, .unwanted:
            // It goes at the client's pace. Where that is too fast for the store, or the body too long, it goes without.
            self.writer = nil
            writer.fail(.cutOff)
        }
    }

    func passedWhole() {
        guard case .direct = self.turn.phase else { return }
        self.turn.ended()
        self.writer?.finish()
        self.writer = nil
    }
}

extension OriginResponse {
    /// - Parameter bodyLength: in bytes, where it is known.
    init(
        _ response: CheckedResponse, bodyLength: Int64?, requestTime: Int64, responseTime: Int64, endIsCertain: Bool
    ) {
        self.init(
            status: response.status, reason: response.head.reason.map { Array($0.readableBytesView) } ?? [],
            fields: response.head.endToEndFields(), bodyLength: bodyLength, requestTime: requestTime,
            responseTime: responseTime, endIsCertain: endIsCertain)
    }
}

extension FieldEdits {
    func apply(to head: inout OutgoingHead) {
        guard !self.isEmpty else { return }
        for name in self.remove { head.remove(name) }
        var added = FieldSectionBuilder()
        // What is no field was refused when the settings were read.
        for field in self.add { try? added.add(name: field.name.utf8, value: field.value.utf8) }
        head.siteFields = added.section
    }
}
