import KeyProtocol
import NIOCore
import TLSWire

/// Decides what becomes of one request. Pure: a message, an edge's name, the policy and the time in; a verdict out.
struct RequestJudge {
    /// What to do, and what the audit line says about it.
    struct Verdict {
        var action: Action
        /// The operation's name in audit lines.
        var operation: String
        var site: Site?
        var detail: String?
    }

    enum Action {
        /// A ping: answered without grant or audit line.
        case pong
        /// Answered from what is known already.
        case answer(ByteBuffer)
        case refuse(KeyErrorCode, AuditOutcome)
        /// To be done by this key of the site, if the edge still holds these operations for it.
        case perform(KeyOperation, KeyedSite, needs: [KeyProtocol.Operation])
        /// A TLS handshake to be begun for the grant's site, while the edge holds this operation for it.
        case begin(HandshakeBegin, ClientHello, Grant, needs: KeyProtocol.Operation)
        /// For a handshake under way on the connection, if it is; what may be done with it is judged there.
        case proceed(HandshakeContinue)
        case forget(HandshakeForget)
        /// To be answered when the edge's grants are others than it knows, at half of the lease at the latest.
        case lease(LeaseRequest)
        /// To be answered with what an open order has for the name and token, within the grant's rate.
        case challenge(ServerName, ChallengeRequest, Grant)
    }

    var edge: String
    var policy: Policy
    /// Monotonic nanoseconds, for rate limits.
    var now: UInt64
    /// Seconds since 1970, for expiry.
    var wallSeconds: Int64

    func judge(_ message: KeyMessage) -> Verdict {
        switch RequestKind(message) {
        case .ping:
            return Verdict(action: .pong, operation: "ping")
        case .unexpected:
            return Verdict(action: .refuse(.unexpectedOpcode, .unexpectedOpcode), operation: "unknown")
        case .unknown:
            let detail: String = message.function.map(OtherRevision.text) ?? "opcode \(message.opcode)"
            return Verdict(action: .refuse(.badOpcode, .badOpcode), operation: "unknown", detail: detail)
        case .function(let function):
            return self.judge(function, message)
        case .stock(let request):
            return self.judge(request, message)
        }
    }

    // MARK: Our own functions

    /// How metrics and audit lines call a request for a lease.
    static let lease: String = "lease"

    private func judge(_ function: KeyFunction, _ message: KeyMessage) -> Verdict {
        if function == .challenge { return self.judgeChallenge(message) }
        var verdict = Verdict(action: .pong, operation: function.operation?.rawValue ?? Self.lease)
        do throws(KeyPayloadError) {
            // These say which handshake they are about; its site is known.
            switch function {
            case .handshakeContinue:
                verdict.action = .proceed(try HandshakeContinue(decoding: message.payload))
                return verdict
            case .handshakeForget:
                verdict.action = .forget(try HandshakeForget(decoding: message.payload))
                return verdict
            case .lease:
                // Asks for nothing of a site; that there is a grant at all is looked at where it is answered.
                verdict.action = .lease(try LeaseRequest(decoding: message.payload))
                return verdict
            case .certificate, .signTLS13, .handshakeBegin, .challenge: break
            }
        } catch {
            verdict.action = .refuse(.formatError, .formatError)
            verdict.detail = "\(error)"
            return verdict
        }
        guard message.serverName != nil, let needed = function.needed else {
            verdict.action = .refuse(.formatError, .formatError)
            verdict.detail = "no server name"
            return verdict
        }
        verdict.site = self.policy.index.site(byName: SiteQuery(message))
        let grant: Grant
        do throws(Refusal) {
            grant = try self.admit(verdict.site.map { [$0] } ?? [], [needed])
        } catch {
            verdict.action = .refuse(error.code, error.outcome)
            return verdict
        }
        // An edge that still has a chain from before a reload would get a signature that no client accepts, unless it is made with
        // the key of that chain.
        var named: KeyedSite?
        if let ski = message.ski, function != .certificate {
            if let present = grant.site.credential(havingKey: ski) {
                named = KeyedSite(site: grant.site, credential: present)
            } else if function == .signTLS13,
                let former = self.policy.former(grant.site, havingKey: ski, for: self.edge, now: self.now)
            {
                named = former
                verdict.site = former.site
                verdict.detail = Self.replacedKey
            } else {
                verdict.action = .refuse(.certificateNotFound, .staleCertificate)
                return verdict
            }
        }
        if let named, self.wallSeconds > named.credential.notAfter {
            // The edge is to hear of what is left, where the site has others.
            verdict.action = .refuse(.certificateNotFound, .expired)
            return verdict
        }
        do throws(KeyPayloadError) {
            verdict.action = try self.action(function, message, grant, named)
            if case .refuse(_, .denied) = verdict.action { verdict.detail = Self.onlyTLS12 }
        } catch {
            verdict.action = .refuse(.formatError, .formatError)
            verdict.detail = "\(error)"
        }
        return verdict
    }

    /// How metrics and audit lines call an authority's token that is asked for.
    static let challenge: String = "challenge"

    /// Any grant for the site does: what is given lets nothing be done but the answer to an authority that an order of this key holder's
    /// brought about.
    private func judgeChallenge(_ message: KeyMessage) -> Verdict {
        var verdict = Verdict(action: .refuse(.formatError, .formatError), operation: Self.challenge)
        guard let name = message.serverName.flatMap({ try? ServerName($0) }) else {
            verdict.detail = "no server name"
            return verdict
        }
        do throws(KeyPayloadError) {
            let request = try ChallengeRequest(decoding: message.payload)
            verdict.site = self.policy.index.site(byName: SiteQuery(message))
            let grant: Grant? = verdict.site.flatMap { self.policy.grant(to: self.edge, for: $0) }
            verdict.action =
                grant.map { .challenge(name, request, $0) }
                ?? .refuse(.keyNotFound, verdict.site == nil ? .unknownSite : .denied)
        } catch {
            verdict.detail = "\(error)"
        }
        return verdict
    }

    private static let overRate: Action = .refuse(.rateLimited, .rateLimited)
    private static let replacedKey: String = "a key that was replaced"
    private static let onlyTLS12: String = "the client offers TLS 1.3, and the grant has no handoff"

    private func action(
        _ function: KeyFunction, _ message: KeyMessage, _ grant: Grant, _ named: KeyedSite?
    ) throws(KeyPayloadError) -> Action {
        let payload: ByteBuffer = message.payload
        switch function {
        case .certificate:
            guard payload.readableBytes == 0 else { throw .trailingBytes }
            guard grant.takeToken(of: .certificate, now: self.now) else { return Self.overRate }
            return .answer(grant.certificateAnswer)
        case .signTLS13:
            let request = try SignTLS13Request(decoding: payload)
            guard let keyed = named ?? self.preferred(of: grant.site, for: request.scheme),
                keyed.key.type.signsTLS13(request.scheme)
            else { return .refuse(.badOpcode, .wrongKeyType) }
            guard grant.takeToken(of: .signTLS13, now: self.now) else { return Self.overRate }
            let content = SignedContent.tls13Server(transcriptHash: request.transcriptHash)
            return .perform(.sign(request.scheme, content: content), keyed, needs: [.signTLS13])
        case .handshakeBegin:
            let begin = try HandshakeBegin(decoding: payload)
            let hello: ClientHello = try Self.hello(in: begin.clientBytes, for: message.serverName)
            guard let needed = grant.operation(forHandshakeWith: hello) else { return .refuse(.keyNotFound, .denied) }
            guard grant.takeToken(of: needed, now: self.now) else { return Self.overRate }
            return .begin(begin, hello, grant, needs: needed)
        case .lease, .handshakeContinue, .handshakeForget, .challenge:
            return .refuse(.badOpcode, .badOpcode)
        }
    }

    /// The first credential whose key signs like this; for a request that names none.
    private func preferred(of site: Site, for scheme: SignatureScheme) -> KeyedSite? {
        let shown: CredentialSet = site.shown(at: self.wallSeconds)
        return site.credentials.enumerated().first { place, credential in
            shown.contains(place) && credential.key.type.signsTLS13(scheme)
        }.map { KeyedSite(site: site, credential: $0.element) }
    }

    /// The hello, which must be for the name that the request gives. Without a name in the hello it is the edge's default
    /// site that the client gets.
    private static func hello(in bytes: ByteBuffer, for name: String?) throws(KeyPayloadError) -> ClientHello {
        let hello: ClientHello
        do throws(ClientRecordsError) { hello = try ClientRecords.hello(in: bytes) } catch {
            throw .badValue("client bytes: \(error)")
        }
        if let asked = hello.serverName {
            guard let name, let granted = try? ServerName(name), granted == asked else {
                throw .badValue("the hello is for another server name")
            }
        }
        return hello
    }

    // MARK: Stock opcodes

    private func judge(_ request: StockRequest, _ message: KeyMessage) -> Verdict {
        var verdict = Verdict(action: .pong, operation: request.operation.rawValue)
        let candidates: [KeyedSite] = self.policy.index.keyed(by: SiteQuery(message))
        verdict.site = candidates.first?.site
        let grant: Grant
        do throws(Refusal) {
            grant = try self.admit(candidates.map(\.site), request.needed)
        } catch {
            verdict.action = .refuse(error.code.stock, error.outcome)
            return verdict
        }
        verdict.site = grant.site
        let fitting = candidates.first { $0.site === grant.site && request.fits($0.key.type) }
        guard let keyed = fitting else {
            verdict.action = .refuse(.badOpcode, .wrongKeyType)
            return verdict
        }
        guard self.wallSeconds <= keyed.credential.notAfter else {
            verdict.action = .refuse(KeyErrorCode.expired.stock, .expired)
            return verdict
        }
        guard request.acceptsLength(message.payload.readableBytes, for: keyed.key.type) else {
            verdict.action = .refuse(.formatError, .formatError)
            verdict.detail = "payload of \(message.payload.readableBytes) bytes"
            return verdict
        }
        guard grant.takeToken(of: request.operation, now: self.now) else {
            verdict.action = .refuse(KeyErrorCode.rateLimited.stock, .rateLimited)
            return verdict
        }
        let operation: KeyOperation = request.keyOperation(Array(message.payload.readableBytesView))
        verdict.action = .perform(operation, keyed, needs: request.needed)
        return verdict
    }

    // MARK: Grants

    private struct Refusal: Error {
        var code: KeyErrorCode
        var outcome: AuditOutcome
    }

    /// The grant under which the edge may do all of `needed`. A site that does not exist and one that is not granted get
    /// the same answer, so an edge cannot probe for sites, with one exception: names under a wildcard that it was granted
    /// are its own unless another site has them, so there a refusal tells that there is such a site.
    private func admit(_ sites: [Site], _ needed: [KeyProtocol.Operation]) throws(Refusal) -> Grant {
        let granted: Grant? = sites.lazy.compactMap { self.policy.grant(to: self.edge, for: $0) }
            .first { grant in needed.allSatisfy(grant.allows) }
        guard let grant = granted else {
            throw Refusal(code: .keyNotFound, outcome: sites.isEmpty ? .unknownSite : .denied)
        }
        let isWithinRate: Bool =
            needed == [.certificate] ? grant.takeChainToken(now: self.now) : grant.takeToken(now: self.now)
        guard isWithinRate else {
            throw Refusal(code: .rateLimited, outcome: .rateLimited)
        }
        guard grant.site.isInForce(at: self.wallSeconds) else {
            throw Refusal(code: .expired, outcome: .expired)
        }
        return grant
    }
}

extension SiteQuery {
    init(_ message: KeyMessage) {
        self.init(serverName: message.serverName, ski: message.ski, certificateDigest: message.certificateDigest)
    }
}

extension KeyFunction {
    /// How audit lines call it; nil: a lease, or a challenge.
    var operation: KeyProtocol.Operation? {
        switch self {
        case .lease, .challenge: nil
        case .certificate: .certificate
        case .signTLS13: .signTLS13
        case .handshakeBegin, .handshakeContinue, .handshakeForget: .handoff
        }
    }

    /// What a grant must allow at the least; nil: nothing. For a handshake it depends on the hello what else.
    var needed: KeyProtocol.Operation? {
        switch self {
        case .lease, .challenge: nil
        case .certificate: .certificate
        case .signTLS13: .signTLS13
        case .handshakeBegin, .handshakeContinue, .handshakeForget: .handshakeTLS12
        }
    }
}
