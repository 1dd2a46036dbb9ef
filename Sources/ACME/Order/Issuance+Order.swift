import Crypto

/// From an order that stands to its certificate.
extension Issuance {
    mutating func goOn(_ order: OrderObject, _ response: ACMEResponse, _ now: Int64) throws(ACMEFailure) -> [Action] {
        self.finalizeURL = order.finalize
        switch order.status {
        case .pending:
            self.authorizations = order.authorizations[...]
            return try self.nextAuthorization()
        case .ready: return try self.finalize()
        case .processing: return self.wait(.pollingOrder, for: "the certificate", response, now)
        case .valid:
            guard let certificate = order.certificate else {
                throw ACMEFailure(.badAnswer("a valid order without a certificate"))
            }
            self.step = .downloading
            return self.post(certificate, nil)
        case .invalid: throw ACMEFailure(.orderInvalid(order.error ?? ACMEProblem(detail: "no reason was given")))
        }
    }

    // MARK: Authorizations

    private mutating func nextAuthorization() throws(ACMEFailure) -> [Action] {
        guard let first = self.authorizations.first else {
            // All are valid; a directory needs a moment to see that, in which the order is not ready yet.
            self.polls = 0
            return self.poll(.pollingOrder)
        }
        self.polls = 0
        self.step = .readingAuthorization
        return self.post(first, nil)
    }

    mutating func authorization(_ response: ACMEResponse, _ now: Int64) throws(ACMEFailure) -> [Action] {
        try self.check(response, now, "the request for an authorization")
        let authorization = try AuthorizationObject(response)
        guard self.request.names.contains(authorization.name) else {
            throw ACMEFailure(.badAnswer("an authorization for another name"))
        }
        switch authorization.status {
        case .valid:
            self.authorizations = self.authorizations.dropFirst()
            return try self.nextAuthorization()
        case .pending where self.step == .pollingAuthorization:
            return self.wait(.pollingAuthorization, for: "the check of \(authorization.name)", response, now)
        case .pending: return try self.present(authorization, now)
        case .invalid, .deactivated, .expired, .revoked:
            let problem = authorization.challenges.compactMap(\.error).first
            throw ACMEFailure(
                .challengeFailed(
                    name: authorization.name,
                    problem ?? ACMEProblem(detail: "the authorization is \(authorization.status.rawValue)")))
        }
    }

    private mutating func present(_ authorization: AuthorizationObject, _ now: Int64) throws(ACMEFailure) -> [Action] {
        let kind = self.request.challenge
        guard let challenge = authorization.challenges.first(where: { $0.type == kind.rawValue }) else {
            throw ACMEFailure(
                .challengeNotOffered(
                    name: authorization.name, wanted: kind.rawValue,
                    offered: authorization.challenges.map { ACMEProblem.printable($0.type, most: 32) }))
        }
        try ACMEURL.check(challenge.url)
        // RFC 8555 section 8.3 wants 128 bits of entropy, which are 22 characters.
        guard let token = challenge.token, (16...256).contains(token.utf8.count), Base64URL.isAlphabetOnly(token) else {
            throw ACMEFailure(.badAnswer("a challenge with a bad token"))
        }
        let keyAuthorization = try self.exchange.key.keyAuthorization(token: token)
        let digest = Array(SHA256.hash(data: Array(keyAuthorization.utf8)))
        let name = authorization.identifier.value.lowercased()
        let task: ChallengeTask =
            switch kind {
            case .tlsALPN01: .tlsALPN(name: name, try ChallengeCertificate(name: name, digest: digest, now: now))
            case .http01: .http(name: name, token: token, value: keyAuthorization)
            case .dns01: .dns(name: name, record: "_acme-challenge.\(name)", value: Base64URL.encode(digest))
            }
        self.challenge = (challenge.url, (challenge.status ?? .pending) == .pending)
        self.tasks.append(task)
        self.step = .presenting
        return [.present(task)]
    }

    // MARK: The certificate

    private mutating func finalize() throws(ACMEFailure) -> [Action] {
        struct Finalization: Encodable { var csr: String }
        self.finalizations += 1
        guard self.finalizations <= 3 else { throw ACMEFailure(.badAnswer("an order that stays ready")) }
        self.step = .finalizing
        self.polls = 0
        let csr = try self.request.siteKey.certificateRequest(for: self.request.names)
        return self.post(self.finalizeURL, try JSONText.encode(Finalization(csr: Base64URL.encode(csr))))
    }

    mutating func finalized(_ response: ACMEResponse, _ now: Int64) throws(ACMEFailure) -> [Action] {
        let isFinalizing = self.step == .finalizing
        if isFinalizing, response.status == 403, ACMEProblem(response).name == "orderNotReady" {
            return self.wait(.pollingOrder, for: "the order", response, now)
        }
        try self.check(response, now, isFinalizing ? "the certificate request" : "the request for the order")
        let order = try OrderObject(response)
        // Behind the last authorization.
        if order.status == .pending { return self.wait(.pollingOrder, for: "the order", response, now) }
        return try self.goOn(order, response, now)
    }

    mutating func downloaded(_ response: ACMEResponse, _ now: Int64) throws(ACMEFailure) -> [Action] {
        try self.check(response, now, "the request for the certificate")
        let chain = try IssuedChain(
            checking: String(decoding: response.body, as: UTF8.self), key: self.request.siteKey,
            names: self.request.names, now: now, directoryTime: response.date(now: now))
        self.step = .over
        return self.withdrawals() + [.finished(chain)]
    }

    // MARK: Waiting

    mutating func poll(_ step: Step) -> [Action] {
        let url = step == .pollingAuthorization ? self.authorizations.first : self.order
        guard let url else { return [] }
        self.step = step
        return self.post(url, nil)
    }

    private mutating func wait(_ step: Step, for what: String, _ response: ACMEResponse, _ now: Int64) -> [Action] {
        guard now < self.deadline else { return self.fail(ACMEFailure(.timedOut(what))) }
        self.step = step
        // 1, 2, 4, 8 s, then every 10 s, unless the directory says otherwise; not longer than a minute.
        let own = now + min(10_000, 1000 << Int64(min(self.polls, 4)))
        self.polls += 1
        return [.wait(until: min(max(response.retryAfter(now: now) ?? own, now + 500), now + 60_000))]
    }

    // MARK: Ends

    mutating func post(_ url: String, _ payload: [UInt8]?, carriesKey: Bool = false) -> [Action] {
        do throws(ACMEFailure) {
            return [.send(try self.exchange.post(url, payload, carriesKey: carriesKey))]
        } catch {
            return self.fail(error)
        }
    }

    /// - Throws: what the directory says in place of success.
    func check(_ response: ACMEResponse, _ now: Int64, _ request: String) throws(ACMEFailure) {
        guard !(200..<300).contains(response.status) else { return }
        let notBefore = response.retryAfter(now: now)
        let problem = ACMEProblem(response)
        guard problem.type != nil else {
            throw ACMEFailure(.unexpectedStatus(response.status, request: request), notBefore: notBefore)
        }
        throw ACMEFailure(.refused(problem, request: request), notBefore: notBefore)
    }

    mutating func fail(_ failure: ACMEFailure) -> [Action] {
        guard self.step != .over else { return [] }
        self.step = .over
        let forgetting: [Action] = self.order != nil && failure.endsOrder ? [.saveOrder(nil)] : []
        return self.withdrawals() + forgetting + [.failed(failure)]
    }

    private mutating func withdrawals() -> [Action] {
        defer { self.tasks = [] }
        return self.tasks.map { .withdraw($0) }
    }
}

extension ACMEFailure {
    /// Whether an order on which this happened comes to nothing any more.
    var endsOrder: Bool {
        switch self.reason {
        case .unreachable, .unexpectedStatus, .timedOut, .presentation, .needsExternalAccount, .local: false
        case .refused(let problem, _): !["rateLimited", "serverInternal", "badNonce"].contains(problem.name)
        case .badAnswer, .challengeNotOffered, .challengeFailed, .orderInvalid, .badCertificate: true
        }
    }
}
