import KeyProtocol
import NIOCore
import TLSWire
import Testing

@testable import KeyHolder

@Suite("Requests: who may do what, and what fits a key")
struct RequestJudgeTests {
    static func judge(
        _ message: KeyMessage, edge: String = "paris", _ policy: Policy, now: UInt64 = 0, wall: Int64 = 1_800_000_000
    ) -> RequestJudge.Verdict {
        RequestJudge(edge: edge, policy: policy, now: now, wallSeconds: wall).judge(message)
    }

    static func policy(_ grants: [GrantConfiguration]) throws -> Policy {
        try Policy(
            sites: [
                try PolicyFixtures.site("www.example.test", "example.test", ski: 1),
                try PolicyFixtures.site("*.example.test", ski: 2),
                try PolicyFixtures.site("bank.test", ski: 3),
            ], grants: grants, previous: nil, now: 0)
    }

    @Test("Nothing is allowed without a grant")
    func denyByDefault() throws {
        let policy = try Self.policy([])
        for message in [
            PolicyFixtures.certificateRequest("www.example.test"), PolicyFixtures.signRequest("www.example.test"),
            try PolicyFixtures.beginRequest("www.example.test", PolicyFixtures.tls12Hello),
            KeyMessage(
                opcode: .ecdsaSignSHA256, payload: ByteBuffer(repeating: 1, count: 32),
                ski: [UInt8](repeating: 1, count: 20)),
        ] {
            let verdict = Self.judge(message, policy)
            #expect(verdict.action.code == .keyNotFound)
            #expect(verdict.action.outcome == .denied)
            #expect(verdict.site?.name == "www.example.test")
        }
        #expect(!policy.knows(edge: "paris"))
    }

    @Test("A grant holds for its edge, its sites and its operations only")
    func grantBounds() throws {
        let policy = try Self.policy([
            try PolicyFixtures.grant("paris", "www.example.test", operations: [.certificate, .signTLS13]),
            try PolicyFixtures.grant("rome", "bank.test"),
        ])
        func outcome(_ message: KeyMessage, _ edge: String) -> AuditOutcome? {
            Self.judge(message, edge: edge, policy).action.outcome
        }
        #expect(outcome(PolicyFixtures.signRequest("www.example.test"), "paris") == nil)
        // Another domain of the same site.
        #expect(outcome(PolicyFixtures.signRequest("example.test"), "paris") == nil)
        #expect(outcome(PolicyFixtures.signRequest("bank.test"), "paris") == .denied)
        #expect(outcome(PolicyFixtures.signRequest("shop.example.test"), "paris") == .denied)
        #expect(outcome(PolicyFixtures.signRequest("www.example.test"), "rome") == .denied)
        #expect(outcome(PolicyFixtures.signRequest("www.example.test"), "berlin") == .denied)
        #expect(outcome(PolicyFixtures.signRequest("nowhere.test"), "paris") == .unknownSite)
        let begin = try PolicyFixtures.beginRequest("www.example.test", PolicyFixtures.tls12Hello)
        #expect(outcome(begin, "paris") == .denied)
    }

    @Test("Without handoff, handshakes are made for clients that offer no TLS 1.3, and for no others")
    func handshakes() throws {
        let keyless: Set<TrustMode> = [.keyless]
        for (operations, modes, tls12, tls13) in [
            (KeyProtocol.Operation.keyless, keyless, .handshakeTLS12, nil),
            (KeyProtocol.Operation.keyless, [.handoff, .keyless], .handshakeTLS12, nil),
            ([.handshakeTLS12], keyless, .handshakeTLS12, nil),
            (KeyProtocol.Operation.keyless, [.handoff], nil, nil),
            (KeyProtocol.Operation.handingOff, keyless, nil, nil),
            (KeyProtocol.Operation.handingOff, [.handoff, .keyless], .handoff, .handoff),
            (KeyProtocol.Operation.keyless.union([.handoff]), [.handoff, .keyless], .handoff, .handoff),
            (KeyProtocol.Operation.keyless.union([.handoff]), keyless, .handshakeTLS12, nil),
            ([.certificate, .signTLS13], [.handoff, .keyless], nil, nil),
        ] as [(Set<KeyProtocol.Operation>, Set<TrustMode>, KeyProtocol.Operation?, KeyProtocol.Operation?)] {
            let policy = try Policy(
                sites: [try PolicyFixtures.site("a.test", ski: 1, modes: modes)],
                grants: [try PolicyFixtures.grant("paris", "a.test", operations: operations)], previous: nil, now: 0)
            for (hello, expected) in [(PolicyFixtures.tls12Hello, tls12), (PolicyFixtures.tls13Hello, tls13)] {
                let verdict = Self.judge(try PolicyFixtures.beginRequest("a.test", hello), policy)
                #expect(verdict.operation == "handoff")
                if case .begin(_, _, _, let needed) = verdict.action {
                    #expect(needed == expected, "\(operations) \(modes)")
                } else {
                    #expect(expected == nil, "\(operations) \(modes)")
                    #expect(verdict.action.code == .keyNotFound && verdict.action.outcome == .denied)
                }
            }
        }
    }

    @Test("A site that is not for keyless gets no signature of TLS 1.3, whatever the grant says")
    func siteModes() throws {
        let policy = try Policy(
            sites: [try PolicyFixtures.site("a.test", ski: 1, modes: [.handoff])],
            grants: [try PolicyFixtures.grant("paris", "a.test")], previous: nil, now: 0)
        #expect(Self.judge(PolicyFixtures.signRequest("a.test"), policy).action.outcome == .denied)
        let answer = try #require(Self.judge(PolicyFixtures.certificateRequest("a.test"), policy).action.answer)
        #expect(try CertificateAnswer(decoding: answer).modes == [])
    }

    @Test("An edge cannot tell a site it was not granted from one that does not exist")
    func noProbing() throws {
        let policy = try Self.policy([try PolicyFixtures.grant("paris", "www.example.test")])
        for name in ["bank.test", "nowhere.test", "..", "192.0.2.1", "x"] {
            #expect(Self.judge(PolicyFixtures.certificateRequest(name), policy).action.code == .keyNotFound)
        }
        for ski: UInt8 in [3, 9] {
            let message = KeyMessage(
                opcode: .ecdsaSignSHA256, payload: ByteBuffer(repeating: 1, count: 32),
                ski: [UInt8](repeating: ski, count: 20))
            #expect(Self.judge(message, policy).action.code == .keyNotFound)
        }
    }

    @Test("A wildcard stands for one label, and an exact name of another site beats it")
    func wildcard() throws {
        let policy = try Self.policy([try PolicyFixtures.grant("paris", "*.example.test")])
        func verdict(_ name: String) -> RequestJudge.Verdict {
            Self.judge(PolicyFixtures.certificateRequest(name), policy)
        }
        #expect(verdict("shop.example.test").action.answer != nil)
        #expect(verdict("SHOP.example.test").action.answer != nil)
        #expect(verdict("a.b.example.test").action.outcome == .unknownSite)
        #expect(verdict("www.example.test").action.outcome == .denied)
    }

    @Test("The certificate answer carries what the grant allows")
    func certificateAnswer() throws {
        let policy = try Self.policy([
            try PolicyFixtures.grant("paris", "www.example.test"),
            try PolicyFixtures.grant("rome", "www.example.test", operations: [.certificate]),
        ])
        let request = PolicyFixtures.certificateRequest("www.example.test")
        let paris = try CertificateAnswer(
            decoding: try #require(Self.judge(request, edge: "paris", policy).action.answer))
        #expect(paris.modes == [.keyless])
        #expect(paris.rate == 1000)
        #expect(
            paris.chains == [
                CertificateChain(
                    certificates: [[1, 1, 2, 3]], ski: [UInt8](repeating: 1, count: 20), schemes: [.ecdsaP256SHA256],
                    notAfter: 4_000_000_000)
            ])
        let rome = try CertificateAnswer(
            decoding: try #require(Self.judge(request, edge: "rome", policy).action.answer))
        #expect(rome.modes == [])
        var withPayload = request
        withPayload.payload = ByteBuffer(bytes: [1])
        #expect(Self.judge(withPayload, policy).action.code == .formatError)
        var nameless = request
        nameless.serverName = nil
        #expect(Self.judge(nameless, policy).action.code == .formatError)
    }

    @Test("An edge whose clients use the rate up can still ask for its chains, at a rate of their own")
    func chainsHaveTheirOwnRate() throws {
        let policy = try Policy(
            sites: [try PolicyFixtures.site("a.test", ski: 1)],
            grants: [try PolicyFixtures.grant("paris", "a.test", rate: 2)], previous: nil, now: 0)
        for _ in 0..<4 {
            #expect(Self.judge(PolicyFixtures.signRequest("a.test"), policy, now: 0).action.operation != nil)
        }
        #expect(Self.judge(PolicyFixtures.signRequest("a.test"), policy, now: 0).action.outcome == .rateLimited)
        let request = KeyMessage(
            opcode: .custom, function: KeyFunction.certificate.rawValue, serverName: "a.test")
        for _ in 0..<Grant.chainRate.burst { #expect(Self.judge(request, policy, now: 0).action.answer != nil) }
        #expect(Self.judge(request, policy, now: 0).action.outcome == .rateLimited)
        #expect(Self.judge(request, policy, now: 1_000_000_000).action.answer != nil)
    }

    @Test("The rate limit counts per edge and site, refills with time, and survives a reload")
    func rateLimit() throws {
        let sites = [
            try PolicyFixtures.site("a.test", ski: 1), try PolicyFixtures.site("b.test", ski: 2),
        ]
        let grants = [
            try PolicyFixtures.grant("paris", "a.test", "b.test", rate: 2),
            try PolicyFixtures.grant("rome", "a.test", rate: 2),
        ]
        let policy = try Policy(sites: sites, grants: grants, previous: nil, now: 0)
        func allowed(_ edge: String, _ name: String, _ policy: Policy, now: UInt64) -> Bool {
            let verdict = Self.judge(PolicyFixtures.signRequest(name), edge: edge, policy, now: now)
            if verdict.action.outcome == .rateLimited { #expect(verdict.action.code == .rateLimited) }
            return verdict.action.operation != nil
        }
        for _ in 0..<4 { #expect(allowed("paris", "a.test", policy, now: 0)) }
        #expect(!allowed("paris", "a.test", policy, now: 0))
        #expect(allowed("paris", "b.test", policy, now: 0))
        #expect(allowed("rome", "a.test", policy, now: 0))
        #expect(allowed("paris", "a.test", policy, now: 500_000_000))
        #expect(!allowed("paris", "a.test", policy, now: 500_000_000))
        let reloaded = try Policy(sites: sites, grants: grants, previous: policy, now: 500_000_000)
        #expect(!allowed("paris", "a.test", reloaded, now: 500_000_000))
        #expect(allowed("paris", "a.test", reloaded, now: 1_000_000_000))
    }

    @Test("An expired certificate and a stale one are named")
    func expiry() throws {
        let policy = try Policy(
            sites: [try PolicyFixtures.site("a.test", ski: 1, notAfter: 1000)],
            grants: [try PolicyFixtures.grant("paris", "a.test")], previous: nil, now: 0)
        let request = PolicyFixtures.certificateRequest("a.test")
        #expect(Self.judge(request, policy, wall: 1000).action.answer != nil)
        #expect(Self.judge(request, policy, wall: 1001).action.code == .expired)
        let current = PolicyFixtures.signRequest("a.test", ski: [UInt8](repeating: 1, count: 20))
        #expect(Self.judge(current, policy, wall: 0).action.operation != nil)
        let stale = PolicyFixtures.signRequest("a.test", ski: [UInt8](repeating: 2, count: 20))
        #expect(Self.judge(stale, policy, wall: 0).action.code == .certificateNotFound)
        #expect(Self.judge(stale, policy, wall: 0).action.outcome == .staleCertificate)
    }

    @Test("A key that was replaced signs for its certificate for a while, and for nothing else")
    func replacedKeys() throws {
        let second: UInt64 = 1_000_000_000
        func policy(
            _ ski: UInt8, _ domains: [String] = ["a.test"], grace: TimeAmount = .seconds(10), revoking: Bool = false,
            after previous: Policy?, now: UInt64
        ) throws -> Policy {
            try Policy(
                sites: try domains.map { try PolicyFixtures.site($0, ski: $0 == "a.test" ? ski : 99) },
                grants: [try PolicyFixtures.grant("paris", "a.test")], grace: grace, revokingReplaced: revoking,
                previous: previous, now: now)
        }
        func signed(_ ski: UInt8, _ policy: Policy, now: UInt64, edge: String = "paris", wall: Int64 = 0) -> [UInt8]? {
            let request = PolicyFixtures.signRequest("a.test", ski: [UInt8](repeating: ski, count: 20))
            let verdict = Self.judge(request, edge: edge, policy, now: now, wall: wall)
            guard case .perform(_, let keyed, let needs) = verdict.action else { return nil }
            #expect(policy.stillGrants(keyed.site, by: keyed.credential, to: "paris", needs, now: now))
            return keyed.credential.ski
        }
        let (one, two, three) = ([UInt8](repeating: 1, count: 20), [UInt8](repeating: 2, count: 20), UInt8(3))
        let first = try policy(1, after: nil, now: 0)
        let next = try policy(2, after: first, now: second)
        #expect(signed(2, next, now: second) == two)
        #expect(signed(1, next, now: 10 * second) == one)
        #expect(signed(1, next, now: 11 * second) == nil)
        // No grant, no key; nor with another name; nor beyond the certificate's own end.
        #expect(signed(1, next, now: second, edge: "rome") == nil)
        #expect(signed(1, next, now: second, wall: 9_000_000_000) == nil)
        let other = PolicyFixtures.signRequest("b.test", ski: one)
        let both = try policy(2, ["a.test", "b.test"], after: first, now: second)
        #expect(Self.judge(other, both, now: second).action.code == .keyNotFound)
        // A third one: both of those before, each for its time.
        let third = try policy(three, after: next, now: 5 * second)
        #expect(signed(1, third, now: 6 * second) == one && signed(2, third, now: 6 * second) == two)
        #expect(signed(1, third, now: 12 * second) == nil && signed(2, third, now: 12 * second) == two)
        // The owner says so: at once.
        let revoked = try policy(three, revoking: true, after: third, now: 6 * second)
        #expect(signed(1, revoked, now: 6 * second) == nil && signed(2, revoked, now: 6 * second) == nil)
        #expect(signed(1, try policy(2, grace: .zero, after: first, now: second), now: second) == nil)
        // An edge that is granted the site with the new key never had the old one.
        let newcomer = try Policy(
            sites: [try PolicyFixtures.site("a.test", ski: 2)],
            grants: [try PolicyFixtures.grant("paris", "a.test"), try PolicyFixtures.grant("rome", "a.test")],
            previous: first, now: second)
        #expect(signed(1, newcomer, now: second) == one)
        #expect(signed(2, newcomer, now: second, edge: "rome") == two)
        #expect(signed(1, newcomer, now: second, edge: "rome") == nil)
        // Nor is a key kept that another site has now.
        let shared = try Policy(
            sites: [try PolicyFixtures.site("a.test", ski: 2), try PolicyFixtures.site("b.test", ski: 1)],
            grants: [try PolicyFixtures.grant("paris", "a.test")], previous: first, now: second)
        #expect(signed(1, shared, now: second) == nil)
        // Nothing of it stays in memory when its time is over.
        next.pruneFormer(now: 12 * second)
        #expect(signed(1, next, now: 2 * second) == nil)
        // Bounded, however often it is replaced.
        var policies = first
        for ski in 10..<UInt8(50) { policies = try policy(ski, after: policies, now: second) }
        #expect((10..<UInt8(50)).filter { signed($0, policies, now: second) != nil } == Array(17..<50))
    }

    @Test("Answers, unknown opcodes and unknown functions are refused by their own codes")
    func opcodes() throws {
        let policy = try Self.policy([])
        for opcode: Opcode in [.success, .error, .pong] {
            #expect(Self.judge(KeyMessage(opcode: opcode), policy).action.code == .unexpectedOpcode)
        }
        for opcode: UInt8 in [0x00, 0x09, 0x19, 0x25, 0x34, 0x38, 0xF3] {
            #expect(Self.judge(KeyMessage(opcode: Opcode(rawValue: opcode)), policy).action.code == .badOpcode)
        }
        #expect(Self.judge(KeyMessage(opcode: .custom), policy).action.code == .badOpcode)
        let unknown = KeyMessage(opcode: .custom, function: "latchstring.sign-tls13/2", serverName: "a.test")
        #expect(Self.judge(unknown, policy).action.code == .badOpcode)
        #expect(
            Self.judge(unknown, policy).detail?.hasPrefix("function latchstring.sign-tls13/2: the edge is newer")
                == true)
    }

    @Test("A malformed payload is a format error, but only for who was granted the site")
    func payloads() throws {
        let policy = try Self.policy([try PolicyFixtures.grant("paris", "bank.test")])
        for function in [KeyFunction.signTLS13, .handshakeBegin] {
            var message = KeyMessage(
                opcode: .custom, payload: ByteBuffer(repeating: 4, count: 31), function: function.rawValue,
                serverName: "bank.test")
            #expect(Self.judge(message, policy).action.code == .formatError)
            message.serverName = "www.example.test"
            #expect(Self.judge(message, policy).action.code == .keyNotFound)
        }
    }
}
