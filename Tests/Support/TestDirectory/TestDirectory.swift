import Crypto
import Foundation
import SwiftASN1
import Synchronization
import X509

/// An ACME directory for tests, without a network: it checks what it is sent by its own reading of RFC 8555, and does not share a
/// line with the client. What goes wrong is set by ``Faults``.
public final class TestDirectory: Sendable {
    public struct Reply: Sendable {
        public var status: Int
        public var fields: [String: String]
        public var body: [UInt8]
    }

    public struct Faults: Sendable {
        /// Nonces that are refused although they are good.
        public var badNonces = 0
        /// Requests for orders that are refused with 429 and `Retry-After: 120`.
        public var rateLimited = 0
        /// Every authorization's check fails.
        public var checksFail = false
        /// Orders become invalid when they are finalized.
        public var ordersFail = false
        /// Validity of certificates, from now on; seconds.
        public var validity: ClosedRange<Double> = -3600...86_400 * 90
        /// Certificates are for another key.
        public var wrongKey = false
        /// Certificates come without their issuer's.
        public var leafOnly = false
        /// Certificates have one name more.
        public var oneNameMore = false
        /// Polls that an authorization, and an order after finalization, stays unfinished.
        public var pendingPolls = 0
        /// The account of the request is not known any more, once.
        public var forgetsAccount = false
        /// Challenges that are offered.
        public var challenges = ["http-01", "tls-alpn-01", "dns-01"]
        /// The suggested window of renewal information, seconds from now; nil: the directory has none.
        public var window: ClosedRange<Double>?
        /// Everything is answered with this status and a page of HTML.
        public var broken: Int?

        public init() {}
    }

    struct Order {
        var names: [String]
        var replaces: String?
        var isFinalized = false
        var isInvalid = false
        var polls = 0
        var certificate: String?
    }

    struct Authorization {
        var name: String
        var token: String
        /// nil: not asked for yet.
        var checked: Bool?
        var polls = 0
    }

    struct State {
        var faults = Faults()
        var nonces: Set<String> = []
        var accounts: [String: Data] = [:]
        var orders: [Int: Order] = [:]
        var authorizations: [String: Authorization] = [:]
        var log: [String] = []
        var certificates: [String: String] = [:]
    }

    let state = Mutex(State())
    public let base: String
    /// Whether accounts need this binding.
    let externalAccount: (kid: String, key: [UInt8])?
    let issuer: P256.Signing.PrivateKey
    let issuerCertificate: Certificate
    /// Looks whether a challenge is up: kind, name, key authorization. It may block.
    let check: @Sendable (String, String, String) -> Bool

    public init(
        base: String = "https://directory.test", externalAccount: (kid: String, key: [UInt8])? = nil,
        check: @escaping @Sendable (_ kind: String, _ name: String, _ keyAuthorization: String) -> Bool = { _, _, _ in
            true
        }
    ) throws {
        self.base = base
        self.externalAccount = externalAccount
        self.check = check
        self.issuer = P256.Signing.PrivateKey()
        let name = try DistinguishedName { CommonName("test directory") }
        let key = Certificate.PrivateKey(self.issuer)
        self.issuerCertificate = try Certificate(
            version: .v3, serialNumber: Certificate.SerialNumber(), publicKey: key.publicKey,
            notValidBefore: Date().addingTimeInterval(-86_400), notValidAfter: Date().addingTimeInterval(86_400 * 3650),
            issuer: name, subject: name, signatureAlgorithm: .ecdsaWithSHA256,
            extensions: try Certificate.Extensions {
                Critical(BasicConstraints.isCertificateAuthority(maxPathLength: nil))
                SubjectKeyIdentifier(hash: key.publicKey)
            }, issuerPrivateKey: key)
    }

    public func set(_ change: (inout Faults) -> Void) {
        self.state.withLock { change(&$0.faults) }
    }

    /// What was asked, in short words: `new-order`, `finalize`.
    public var log: [String] { self.state.withLock { $0.log } }

    /// PEM of what issues the certificates.
    public var root: String { (try? self.issuerCertificate.serializeAsPEM().pemString) ?? "" }

    /// The `replaces` of each order.
    public var replaced: [String?] {
        self.state.withLock { $0.orders.sorted { $0.key < $1.key }.map(\.value.replaces) }
    }

    public var accountCount: Int { self.state.withLock { $0.accounts.count } }

    // MARK: Requests

    public func handle(method: String, url: String, body: [UInt8]) -> Reply {
        let path = String(url.dropFirst(self.base.count))
        if let broken = self.state.withLock({ $0.faults.broken }) {
            return Reply(status: broken, fields: ["content-type": "text/html"], body: Array("<h1>oh</h1>".utf8))
        }
        if path.hasPrefix("/renewal/") { return self.renewal(path) }
        switch (method, path) {
        case ("GET", "/directory"): return self.directory()
        case ("HEAD", "/nonce"): return self.reply(200)
        case ("POST", _): return self.post(path, url, body)
        default: return Reply(status: 405, fields: [:], body: [])
        }
    }

    private func directory() -> Reply {
        var members: [String: Any] = [
            "newNonce": "\(self.base)/nonce", "newAccount": "\(self.base)/new-account",
            "newOrder": "\(self.base)/new-order", "keyChange": "\(self.base)/key-change",
            "meta": ["externalAccountRequired": self.externalAccount != nil],
        ]
        if self.state.withLock({ $0.faults.window }) != nil { members["renewalInfo"] = "\(self.base)/renewal" }
        return Reply(status: 200, fields: [:], body: Self.json(members))
    }

    private func renewal(_ path: String) -> Reply {
        self.note("renewal-info \(path.dropFirst("/renewal/".count))")
        guard let window = self.state.withLock({ $0.faults.window }) else {
            return Reply(status: 404, fields: [:], body: [])
        }
        let style = Date.ISO8601FormatStyle()
        let body: [String: Any] = [
            "suggestedWindow": [
                "start": Date().addingTimeInterval(window.lowerBound).formatted(style),
                "end": Date().addingTimeInterval(window.upperBound).formatted(style),
            ], "explanationURL": "https://directory.test/why",
        ]
        return Reply(status: 200, fields: ["retry-after": "21600"], body: Self.json(body))
    }

    private func post(_ path: String, _ url: String, _ body: [UInt8]) -> Reply {
        guard let jws = try? JSONDecoder().decode([String: String].self, from: Data(body)),
            let protected = jws["protected"], let payload = jws["payload"], let signature = jws["signature"],
            let header = Self.object(Self.base64URL(protected)), header["alg"] as? String == "ES256",
            header["url"] as? String == url
        else { return self.problem(400, "malformed") }
        // Each nonce is good once.
        let isGood = self.state.withLock { state in
            guard state.nonces.remove(header["nonce"] as? String ?? "") != nil else { return false }
            guard state.faults.badNonces > 0 else { return true }
            state.faults.badNonces -= 1
            return false
        }
        guard isGood else { return self.problem(400, "badNonce") }
        let jwk = header["jwk"] as? [String: String]
        let account = header["kid"] as? String
        guard (jwk == nil) != (account == nil) else { return self.problem(400, "malformed") }
        guard (path == "/new-account") == (jwk != nil) else { return self.problem(401, "unauthorized") }
        let point: Data
        if let jwk {
            point = Self.base64URL(jwk["x"] ?? "") + Self.base64URL(jwk["y"] ?? "")
        } else {
            let known = self.state.withLock { state -> Data? in
                if state.faults.forgetsAccount {
                    state.faults.forgetsAccount = false
                    state.accounts = [:]
                }
                return state.accounts[account ?? ""]
            }
            guard let known else { return self.problem(400, "accountDoesNotExist") }
            point = known
        }
        guard let key = try? P256.Signing.PublicKey(rawRepresentation: point),
            let signature = try? P256.Signing.ECDSASignature(rawRepresentation: Self.base64URL(signature)),
            key.isValidSignature(signature, for: Data("\(protected).\(payload)".utf8))
        else { return self.problem(401, "unauthorized") }
        return self.signed(path, Self.base64URL(payload), point)
    }

    private func signed(_ path: String, _ payload: Data, _ point: Data) -> Reply {
        let parts = path.split(separator: "/").map(String.init)
        switch (parts.first ?? "", parts.last ?? "") {
        case ("new-account", _): return self.newAccount(payload, point)
        case ("new-order", _): return self.newOrder(payload)
        case ("order", let number): return self.order(Int(number) ?? -1)
        case ("authorization", let id): return self.authorization(id)
        case ("challenge", _): return self.challenge(parts[1], parts[2], point)
        case ("finalize", let number): return self.finalize(Int(number) ?? -1, payload)
        case ("certificate", let number): return self.certificate(Int(number) ?? -1)
        default: return self.problem(404, "malformed")
        }
    }

    private func newAccount(_ payload: Data, _ point: Data) -> Reply {
        self.note("new-account")
        guard let body = Self.object(payload), body["termsOfServiceAgreed"] as? Bool == true else {
            return self.problem(400, "userActionRequired")
        }
        if let externalAccount {
            guard let binding = body["externalAccountBinding"] as? [String: String],
                let header = Self.object(Self.base64URL(binding["protected"] ?? "")),
                header["alg"] as? String == "HS256", header["kid"] as? String == externalAccount.kid,
                header["url"] as? String == "\(self.base)/new-account", header["nonce"] == nil,
                let jwk = Self.object(Self.base64URL(binding["payload"] ?? "")) as? [String: String],
                Self.base64URL(jwk["x"] ?? "") + Self.base64URL(jwk["y"] ?? "") == point,
                HMAC<SHA256>.isValidAuthenticationCode(
                    Self.base64URL(binding["signature"] ?? ""),
                    authenticating: Data("\(binding["protected"] ?? "").\(binding["payload"] ?? "")".utf8),
                    using: SymmetricKey(data: externalAccount.key))
            else { return self.problem(401, "externalAccountRequired") }
        }
        let account = "\(self.base)/account/\(UUID().uuidString)"
        self.state.withLock { $0.accounts[account] = point }
        return self.reply(201, ["status": "valid"], ["location": account])
    }

    // MARK: Answers

    func note(_ line: String) { self.state.withLock { $0.log.append(line) } }

    func reply(_ status: Int, _ body: [String: Any]? = nil, _ fields: [String: String] = [:]) -> Reply {
        let nonce = UUID().uuidString
        self.state.withLock { _ = $0.nonces.insert(nonce) }
        var fields = fields
        fields["replay-nonce"] = nonce
        fields["content-type"] = "application/json"
        return Reply(status: status, fields: fields, body: body.map(Self.json) ?? [])
    }

    func problem(_ status: Int, _ name: String, _ fields: [String: String] = [:]) -> Reply {
        self.reply(status, ["type": "urn:ietf:params:acme:error:\(name)", "detail": "the test says \(name)"], fields)
    }

    static func json(_ value: [String: Any]) -> [UInt8] {
        [UInt8]((try? JSONSerialization.data(withJSONObject: value)) ?? Data())
    }

    static func object(_ data: Data) -> [String: Any]? {
        (try? JSONSerialization.jsonObject(with: data)) as? [String: Any]
    }

    static func base64URL(_ text: String) -> Data {
        let text = text.replacingOccurrences(of: "-", with: "+").replacingOccurrences(of: "_", with: "/")
        return Data(base64Encoded: text + String(repeating: "=", count: (4 - text.count % 4) % 4)) ?? Data()
    }

    static func text(_ bytes: some Sequence<UInt8>) -> String {
        Data(bytes).base64EncodedString().replacingOccurrences(of: "+", with: "-").replacingOccurrences(
            of: "/", with: "_"
        )
        .replacingOccurrences(of: "=", with: "")
    }
}
