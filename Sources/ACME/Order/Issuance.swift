import Crypto

/// One attempt to get a certificate: directory, account, order, authorizations, challenges, finalization, download (RFC 8555
/// section 7). Pure: one method for each event, each returning what to do. One thing is under way at a time.
///
/// Challenges of an attempt that has ended are withdrawn by its last actions, however it ended. An order that may still come to
/// something is kept, so that another attempt, or one after a crash, goes on with it.
///
/// - **Our bug**: an event that was not asked for. It changes nothing.
/// - **The directory's violation**: every ``ACMEFailure`` but those of the network and of this machine.
public struct Issuance {
    public struct Request: Sendable {
        /// URL of the directory.
        public var directory: String
        public var email: String?
        public var externalAccount: ExternalAccount?
        /// Lower case; wildcards as `*.example.com`.
        public var names: [String]
        public var challenge: ChallengeKind
        public var accountKey: AccountKey
        public var siteKey: SiteKey
        /// The account's URL, if there is one already.
        public var account: String?
        /// The URL of an order of an earlier attempt.
        public var order: String?
        /// The certificate that this one is to replace (RFC 9773 section 5).
        public var replaces: String?

        public init(
            directory: String, email: String?, externalAccount: ExternalAccount?, names: [String],
            challenge: ChallengeKind, accountKey: AccountKey, siteKey: SiteKey, account: String? = nil,
            order: String? = nil, replaces: String? = nil
        ) {
            self.directory = directory
            self.email = email
            self.externalAccount = externalAccount
            self.names = names
            self.challenge = challenge
            self.accountKey = accountKey
            self.siteKey = siteKey
            self.account = account
            self.order = order
            self.replaces = replaces
        }
    }

    public enum Action: Sendable {
        /// To be answered with ``received(_:now:)`` or ``unreachable(_:now:)``.
        case send(ACMERequest)
        /// To be answered with ``presented(now:)`` or ``notPresented(_:now:)``.
        case present(ChallengeTask)
        case withdraw(ChallengeTask)
        /// To be answered with ``woke(now:)`` at this time: milliseconds since 1970.
        case wait(until: Int64)
        /// To be on disk before the next action; nil: forget it.
        case saveAccount(String?)
        case saveOrder(String?)
        /// The certificate, checked. Nothing comes after it.
        case finished(IssuedChain)
        /// Nothing comes after it.
        case failed(ACMEFailure)
    }

    /// From the beginning to the end, as far as waiting goes: milliseconds.
    static let longest: Int64 = 15 * 60_000

    enum Step: Equatable {
        case starting, directory, registering, ordering
        case readingOrder
        case readingAuthorization
        case presenting
        case responding
        case pollingAuthorization
        case finalizing
        case pollingOrder
        case downloading
        case over
    }

    let request: Request
    var exchange: SignedExchange
    var step = Step.starting
    var directory: Directory?
    var order: String?
    var replaces: String?
    /// The account was made or found in this attempt, so that it cannot be gone.
    var hasRegistered = false
    var finalizeURL = ""
    /// Times that the certificate request was sent.
    var finalizations = 0
    /// Authorizations that have not been found valid; the first is the one at work.
    var authorizations: ArraySlice<String> = []
    var challenge: (url: String, isPending: Bool)?
    var tasks: [ChallengeTask] = []
    /// Polls of the thing that is waited for.
    var polls = 0
    var certificate: String?
    var deadline: Int64 = 0

    public init(_ request: Request) {
        self.request = request
        self.exchange = SignedExchange(key: request.accountKey, account: request.account)
        self.order = request.order
        self.replaces = request.replaces
    }

    // MARK: Events

    public mutating func begin(now: Int64) -> [Action] {
        guard self.step == .starting else { return [] }
        self.deadline = now + Self.longest
        self.step = .directory
        do throws(ACMEFailure) { try ACMEURL.check(self.request.directory) } catch { return self.fail(error) }
        return [.send(ACMERequest(method: .get, url: self.request.directory))]
    }

    /// - Parameter now: milliseconds since 1970.
    public mutating func received(_ response: ACMEResponse, now: Int64) -> [Action] {
        do throws(ACMEFailure) {
            if self.step == .directory { return try self.tookDirectory(response, now) }
            switch try self.exchange.received(response) {
            case .send(let request): return [.send(request)]
            case .answered(let response): return try self.answered(response, now)
            }
        } catch {
            return self.fail(error)
        }
    }

    /// The request got no answer.
    public mutating func unreachable(_ reason: String, now: Int64) -> [Action] {
        self.fail(ACMEFailure(.unreachable(reason)))
    }

    /// Something here went wrong: a file, say.
    public mutating func failedHere(_ reason: String) -> [Action] {
        self.fail(ACMEFailure(.local(reason)))
    }

    public mutating func presented(now: Int64) -> [Action] {
        guard self.step == .presenting, let challenge = self.challenge else { return [] }
        // An earlier attempt may have said already that it is there.
        guard challenge.isPending else { return self.poll(.pollingAuthorization) }
        self.step = .responding
        return self.post(challenge.url, Array("{}".utf8))
    }

    public mutating func notPresented(_ reason: String, now: Int64) -> [Action] {
        guard self.step == .presenting, let task = self.tasks.last else { return [] }
        return self.fail(ACMEFailure(.presentation(name: task.name, reason: reason)))
    }

    public mutating func woke(now: Int64) -> [Action] {
        switch self.step {
        case .pollingAuthorization, .pollingOrder: self.poll(self.step)
        default: []
        }
    }

    // MARK: Answers

    private mutating func answered(_ response: ACMEResponse, _ now: Int64) throws(ACMEFailure) -> [Action] {
        switch self.step {
        case .registering: return try self.registered(response, now)
        case .ordering: return try self.ordered(response, now)
        case .readingOrder: return try self.readOrder(response, now)
        case .readingAuthorization, .pollingAuthorization: return try self.authorization(response, now)
        case .responding:
            try self.check(response, now, "the word that the challenge is there")
            self.polls = 0
            return self.poll(.pollingAuthorization)
        case .finalizing, .pollingOrder: return try self.finalized(response, now)
        case .downloading: return try self.downloaded(response, now)
        case .starting, .directory, .presenting, .over: return []
        }
    }

    private mutating func tookDirectory(_ response: ACMEResponse, _ now: Int64) throws(ACMEFailure) -> [Action] {
        try self.check(response, now, "the request for the directory")
        let directory = try Directory(response)
        self.directory = directory
        self.exchange.newNonce = directory.newNonce
        return self.exchange.account == nil ? try self.register(directory) : try self.orderOrGoOn(directory)
    }

    private mutating func orderOrGoOn(_ directory: Directory) throws(ACMEFailure) -> [Action] {
        guard let order = self.order else { return try self.placeOrder(directory) }
        self.step = .readingOrder
        return self.post(order, nil)
    }

    private mutating func placeOrder(_ directory: Directory) throws(ACMEFailure) -> [Action] {
        struct NewOrder: Encodable {
            var identifiers: [Identifier]
            var replaces: String?
        }
        self.step = .ordering
        // Only a directory with renewal information knows the field (RFC 9773 section 5).
        let replaces = directory.renewalInfo == nil ? nil : self.replaces
        let order = NewOrder(identifiers: self.request.names.map { Identifier(dns: $0) }, replaces: replaces)
        return self.post(directory.newOrder, try JSONText.encode(order))
    }

    private mutating func ordered(_ response: ACMEResponse, _ now: Int64) throws(ACMEFailure) -> [Action] {
        if !(200..<300).contains(response.status), let directory = self.directory {
            switch ACMEProblem(response).name {
            case "accountDoesNotExist" where !self.hasRegistered:
                self.exchange.account = nil
                return [.saveAccount(nil)] + (try self.register(directory))
            case "alreadyReplaced" where self.replaces != nil:
                self.replaces = nil
                return try self.placeOrder(directory)
            default: break
            }
        }
        try self.check(response, now, "the order")
        guard let location = response.location else { throw ACMEFailure(.badAnswer("an order without a Location")) }
        try ACMEURL.check(location)
        let order = try OrderObject(response)
        guard order.isFor(self.request.names) else { throw ACMEFailure(.badAnswer("an order for other names")) }
        self.order = location
        return [.saveOrder(location)] + (try self.goOn(order, response, now))
    }

    /// The order of an earlier attempt: whatever is wrong with it, there is another.
    private mutating func readOrder(_ response: ACMEResponse, _ now: Int64) throws(ACMEFailure) -> [Action] {
        guard let directory = self.directory else { return [] }
        if ACMEProblem(response).name == "accountDoesNotExist", !self.hasRegistered {
            self.exchange.account = nil
            self.order = nil
            return [.saveOrder(nil), .saveAccount(nil)] + (try self.register(directory))
        }
        if response.status == 429 || response.status >= 500 {
            try self.check(response, now, "the request for the order")
        }
        if (200..<300).contains(response.status), let order = try? OrderObject(response), order.status != .invalid,
            order.isFor(self.request.names)
        {
            return try self.goOn(order, response, now)
        }
        self.order = nil
        return [.saveOrder(nil)] + (try self.placeOrder(directory))
    }

    private mutating func register(_ directory: Directory) throws(ACMEFailure) -> [Action] {
        struct NewAccount: Encodable {
            var contact: [String]?
            var termsOfServiceAgreed = true
            var externalAccountBinding: JWS?
        }
        guard self.request.externalAccount != nil || directory.meta?.externalAccountRequired != true else {
            throw ACMEFailure(.needsExternalAccount)
        }
        self.step = .registering
        let account = NewAccount(
            contact: self.request.email.map { ["mailto:\($0)"] },
            externalAccountBinding: try self.request.externalAccount.map { account throws(ACMEFailure) in
                try account.binding(of: self.request.accountKey, url: directory.newAccount)
            })
        return self.post(directory.newAccount, try JSONText.encode(account), carriesKey: true)
    }

    private mutating func registered(_ response: ACMEResponse, _ now: Int64) throws(ACMEFailure) -> [Action] {
        try self.check(response, now, "the account")
        guard let location = response.location, let directory = self.directory else {
            throw ACMEFailure(.badAnswer("an account without a Location"))
        }
        try ACMEURL.check(location)
        self.hasRegistered = true
        self.exchange.account = location
        return [.saveAccount(location)] + (try self.orderOrGoOn(directory))
    }
}
