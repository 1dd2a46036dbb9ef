import CacheStorage
import HTTPCaching
import HTTPFields
import HTTPForwarding
import NIOCore
import NIOHTTP1

/// Responses that go by the store: what they mean for it, and what of them is for the client.
extension CacheExchange {
    /// The origin's response on the direct way: says what happened, does to the store what the response demands, and judges the
    /// client's condition and range where the origin was not told of them.
    func passing(_ response: inout ForwardedResponse) {
        let now = self.cache.clock()
        let status = response.head.status
        guard status != .switchingProtocols else { return }
        // A response to HEAD says how long the body would be.
        let length =
            self.request.method == .head
            ? response.head.headers.first(name: "Content-Length").flatMap { Int64($0) } : response.originBody.length
        let arrived = OriginResponse(
            status: Int(status.code), reason: Array(status.reasonPhrase.utf8),
            fields: FieldSection(response.head.headers), bodyLength: length, requestTime: self.requestTime,
            responseTime: now, endIsCertain: self.client.vouchesForEnd(of: response.originBody))
        var storable: StoredResponse?
        if case .direct = self.turn.phase, self.request.method == .post { storable = self.storable(arrived) }
        for key in Invalidation.keys(
            method: self.forwarded.head.method.rawValue.utf8, status: Int(status.code), fields: arrived.fields,
            key: self.key,
            query: self.cache.policy.query)
        {
            self.cache.store.purge(.key(key), .invalidate)
        }
        if self.request.method == .head { self.updateByHEAD(arrived, now: now) }
        let stored: StoredResponse? = storable.flatMap { self.store($0) }
        if self.turn.judgesAnswer { self.apply(self.request.judge(arrived), to: &response) }
        self.request.rule.responseFields.apply(to: &response.head.headers)
        if let writer = self.cache.status {
            let event = CacheStatus.Event.forwarded(
                self.turn.reason, status: Int(status.code), stored: stored, refusal: self.turn.refusal)
            response.head.headers.add(name: "Cache-Status", value: writer.value(event, now: now))
        }
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
    private func apply(_ answer: PassedAnswer, to response: inout ForwardedResponse) {
        guard let cut = answer.cut else { return }
        self.cut = cut
        response.head.status = HTTPResponseStatus(statusCode: answer.status)
        response.head.headers.remove(answer.removedFields)
        for name in PassedAnswer.removedDigests { response.head.headers.remove(name: name.text) }
        if let range = answer.contentRange { response.head.headers.add(name: "Content-Range", value: range) }
        if answer == .notModified {
            response.clientBody = .none
        } else {
            response.head.headers.add(name: "Content-Length", value: String(cut.left))
            response.clientBody = .length(cut.left)
        }
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
