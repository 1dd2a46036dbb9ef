import CacheStorage
import HTTPCaching
import HTTPForwarding
import NIOCore
import NIOHTTP1

/// Requests that the store does not answer: what their responses mean for it.
extension CacheExchange {
    /// The origin's response on the direct way: says what happened, and does to the store what the response demands.
    func passing(_ response: inout ForwardedResponse) {
        let now = self.cache.clock()
        let status = response.head.status
        guard status != .switchingProtocols else { return }
        // A response to HEAD says how long the body would be.
        let length =
            self.request.method == .HEAD
            ? response.head.headers.first(name: "Content-Length").flatMap { Int64($0) } : response.originBody.length
        let arrived = OriginResponse(
            status: status, fields: response.head.headers, bodyLength: length, requestTime: self.requestTime,
            responseTime: now, endIsCertain: self.client.vouchesForEnd(of: response.originBody))
        var storable: StoredResponse?
        if case .direct = self.state, self.request.method == .POST { storable = self.storable(arrived) }
        for key in Invalidation.keys(
            method: self.request.method, status: status, fields: arrived.fields, key: self.key,
            query: self.cache.policy.query)
        {
            self.cache.store.purge(.key(key), .invalidate)
        }
        if self.request.method == .HEAD { self.updateByHEAD(arrived, now: now) }
        let stored: StoredResponse? = storable.flatMap { self.store($0) }
        self.request.rule.responseFields.apply(to: &response.head.headers)
        if let writer = self.cache.status {
            let event = CacheStatus.Event.forwarded(
                self.reason, status: Int(status.code), stored: stored, refusal: self.refusal)
            response.head.headers.add(name: "Cache-Status", value: writer.value(event, now: now))
        }
    }

    func updateByHEAD(_ response: OriginResponse, now: Int64) {
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
    func storable(_ response: OriginResponse) -> StoredResponse? {
        let decision = self.request.decideStoring(response, key: self.key, query: self.cache.policy.query)
        guard case .store(let stored, _) = decision,
            self.cache.store.isUntouched(self.key, tags: stored.tags, since: self.generation)
        else { return nil }
        return stored
    }

    func store(_ stored: StoredResponse) -> StoredResponse? {
        let writer = self.cache.store.soloFill(for: self.key)
        let maximum = Int(clamping: self.request.rule.maximumObjectBytes)
        guard writer.begin(stored, maximumBytes: maximum) == .store else {
            writer.fail(.abandoned)
            return nil
        }
        self.state = .direct(writer)
        return stored
    }

    func passing(_ bytes: ByteBuffer) {
        guard case .direct(let writer?) = self.state else { return }
        switch writer.append(bytes) {
        case .proceed: break
        case .pause, .unwanted:
            // It goes at the client's pace. Where that is too fast for the store, or the body too long, it goes without.
            self.state = .direct(nil)
            writer.fail(.cutOff)
        }
    }

    func passedWhole() {
        guard case .direct(let writer) = self.state else { return }
        self.state = .over
        writer?.finish()
    }
}
