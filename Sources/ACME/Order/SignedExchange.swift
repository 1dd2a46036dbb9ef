/// Signed requests to a directory, one after the other: nonces, and another try with the nonce of a `badNonce` answer
/// (RFC 8555 sections 6.5 and 6.7.1). Pure: responses in, the next request or the answer out.
struct SignedExchange {
    enum Outcome: Equatable {
        case send(ACMERequest)
        /// The answer to the request: not to be tried again here.
        case answered(ACMEResponse)
    }

    /// Times that a request is sent anew because of its nonce. Directories for tests refuse good ones on purpose.
    static let mostNonces = 10

    let key: AccountKey
    /// The account's URL, once it is known.
    var account: String?
    /// Where to get nonces; known with the directory.
    var newNonce: String?

    private struct Pending {
        var url: String
        var payload: [UInt8]?
        var carriesKey: Bool
        var attempts = 0
        var awaitsNonce = false
    }

    private var pending: Pending?
    private var nonce: String?

    init(key: AccountKey, account: String?) {
        self.key = key
        self.account = account
    }

    /// - Parameters:
    ///   - payload: nil: POST-as-GET.
    ///   - carriesKey: The request has the key itself in its header, since there is no account yet.
    mutating func post(_ url: String, _ payload: [UInt8]?, carriesKey: Bool = false) throws(ACMEFailure) -> ACMERequest
    {
        self.pending = Pending(url: url, payload: payload, carriesKey: carriesKey)
        return try self.next()
    }

    private mutating func next() throws(ACMEFailure) -> ACMERequest {
        guard var pending = self.pending else { throw ACMEFailure(.local("no request is under way")) }
        guard let nonce = self.nonce.take() else {
            guard let newNonce = self.newNonce else { throw ACMEFailure(.local("the directory is not known")) }
            pending.awaitsNonce = true
            self.pending = pending
            return ACMERequest(method: .head, url: newNonce)
        }
        pending.awaitsNonce = false
        self.pending = pending
        return ACMERequest(
            method: .post, url: pending.url,
            body: try JWS.body(
                url: pending.url, payload: pending.payload, nonce: nonce, key: self.key,
                account: pending.carriesKey ? nil : self.account))
    }

    mutating func received(_ response: ACMEResponse) throws(ACMEFailure) -> Outcome {
        if let nonce = response.nonce { self.nonce = nonce }
        guard var pending = self.pending else { return .answered(response) }
        if pending.awaitsNonce {
            guard (200..<300).contains(response.status), self.nonce != nil else {
                throw ACMEFailure(.unexpectedStatus(response.status, request: "the request for a nonce"))
            }
            return .send(try self.next())
        }
        if response.status == 400, ACMEProblem(response).name == "badNonce" {
            pending.attempts += 1
            self.pending = pending
            guard pending.attempts <= Self.mostNonces else {
                throw ACMEFailure(.refused(ACMEProblem(response), request: "\(pending.attempts) nonces in a row"))
            }
            return .send(try self.next())
        }
        self.pending = nil
        return .answered(response)
    }
}
