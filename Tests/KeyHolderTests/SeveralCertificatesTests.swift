import KeyProtocol
import NIOCore
import PrivateAuthority
import TLSEngine
import TLSWire
import Testing
import X509

@testable import KeyHolder

@Suite("Several certificates for a site: which is shown, and whose key signs")
struct SeveralCertificatesTests {
    private static let authority = Result { try TestSiteAuthority(name: "Root") }

    private static func certificate(
        _ type: SiteKeyType, _ domains: [String] = ["a.test"], name: String
    ) throws -> CertificateConfiguration {
        let issued = try self.authority.get().issueSite(domains: domains, keyType: type)
        return CertificateConfiguration(
            chain: .text(issued.chainPEM, name: "\(name).pem"), key: .text(issued.keyPEM, name: "\(name).key"))
    }

    private static func load(_ certificates: [CertificateConfiguration], domains: [String]? = nil) throws -> Site {
        try SiteLoader(store: SoftwareKeyStore()).load(
            SiteConfiguration(
                certificates: certificates, domains: try domains?.map { try ServerNamePattern($0) }))
    }

    @Test("All are loaded, in the order of the file")
    func loaded() throws {
        let site = try Self.load([
            Self.certificate(.rsa2048, name: "rsa"), Self.certificate(.p256, ["a.test", "more.test"], name: "p256"),
            Self.certificate(.p256, name: "old"),
        ])
        #expect(site.domains.map(\.description) == ["a.test"])
        #expect(site.credentials.map(\.chainName) == ["rsa.pem", "p256.pem", "old.pem"])
        #expect(site.certifiedNames.certificates[1].names.map(\.description) == ["a.test", "more.test"])
        let fingerprint = try #require(site.fingerprint(of: site.credentials[1]))
        #expect(fingerprint.count == 64 && fingerprint.allSatisfy(\.isHexDigit))
        let single = try Self.load([Self.certificate(.p256, name: "p256")])
        #expect(single.fingerprint(of: single.first) == nil)
    }

    @Test("Each must cover all of the site's domains, and have a key of its own")
    func refused() throws {
        let wide = try Self.certificate(.p256, ["a.test", "b.test"], name: "wide")
        let narrow = try Self.certificate(.rsa2048, ["a.test"], name: "narrow")
        let error = SiteLoadError.nameNotCovered("narrow.pem", name: "b.test")
        #expect(throws: error) { try Self.load([wide, narrow]) }
        #expect(try Self.load([wide, narrow], domains: ["a.test"]).credentials.count == 2)
        var again = wide
        again.chain = .text(try wide.chain.text(), name: "again.pem")
        #expect(throws: SiteLoadError.sameKey("wide.pem", "again.pem")) { try Self.load([wide, again]) }
        #expect(throws: SiteLoadError.noCertificate) { try Self.load([]) }
    }

    @Test("A file that leaves one as it was and changes another ends the session tickets; the same ones keep them")
    func tickets() throws {
        let (rsa, p256) = (try Self.certificate(.rsa2048, name: "rsa"), try Self.certificate(.p256, name: "p256"))
        let first = try Self.load([rsa, p256])
        var index = SiteIndex()
        try index.insert(first)
        let loader = SiteLoader(store: SoftwareKeyStore(), previous: index)
        #expect(try loader.load(SiteConfiguration(certificates: [rsa, p256])).handoff === first.handoff)
        let other = try Self.certificate(.p256, name: "p256")
        #expect(try loader.load(SiteConfiguration(certificates: [rsa, other])).handoff !== first.handoff)
    }

    @Test("A key that has moved is used from its new place, and the tickets stay good")
    func moved() throws {
        let (rsa, p256) = (try Self.certificate(.rsa2048, name: "rsa"), try Self.certificate(.p256, name: "p256"))
        let first = try Self.load([rsa, p256])
        var index = SiteIndex()
        try index.insert(first)
        var elsewhere = p256
        guard case .text(let pem, _) = p256.key else { throw SiteLoadError.noCertificate }
        elsewhere.key = .text(pem, name: "token")
        let site = try SiteLoader(store: SoftwareKeyStore(), previous: index).load(
            SiteConfiguration(certificates: [rsa, elsewhere]))
        #expect(site.handoff !== first.handoff && site.handoff.tickets === first.handoff.tickets)
        let context = try site.handoff.context(
            for: [], Self.hello(.ecdsaP256SHA256), showing: CredentialSet(0..<2), allowsRSAKeyExchange: false)
        #expect(context.credentials.elementsEqual(site.credentials) { $0 === $1 })
    }

    private static func hello(_ schemes: SignatureScheme...) throws -> ClientHello {
        let codes = schemes.flatMap { [UInt8($0.rawValue >> 8), UInt8($0.rawValue & 0xFF)] }
        let list: [UInt8] = [0, 13, 0, UInt8(codes.count + 2), 0, UInt8(codes.count)] + codes
        let body: [UInt8] =
            [3, 3] + [UInt8](repeating: 7, count: 32) + [0, 0, 2, 0xC0, 0x2B, 1, 0, 0, UInt8(list.count)] + list
        return try ClientRecords.hello(
            in: ByteBuffer(bytes: [22, 3, 1, 0, UInt8(body.count + 4), 1, 0, 0, UInt8(body.count)] + body))
    }

    @Test("The credential that a client is likely to be shown is one of those that are shown")
    func likely() throws {
        let site = try Self.site(PolicyFixtures.credential(1), PolicyFixtures.credential(2, key: Self.rsa))
        func likely(_ places: Int..., for scheme: SignatureScheme) throws -> UInt8? {
            try site.handoff.likelyCredential(for: Self.hello(scheme), showing: CredentialSet(places))?.ski[0]
        }
        #expect(try likely(0, 1, for: .ecdsaP256SHA256) == 1)
        #expect(try likely(0, 1, for: .rsaPSSSHA256) == 2)
        #expect(try likely(1, for: .ecdsaP256SHA256) == 2)
        #expect(try likely(0, 1, for: .ed25519) == 1)
    }

    @Test("A placeholder is shown where nothing else is, and not beside an authority's certificate")
    func placeholders() throws {
        func credential(_ number: UInt8, isPlaceholder: Bool, notAfter: Int64 = 2000) -> SiteCredential {
            SiteCredential(
                chain: [[number]], ski: [UInt8](repeating: number, count: 20), certificateDigest: [number],
                key: SoftwareKey(.p256(PolicyFixtures.p256)), certified: [], notBefore: 1000, notAfter: notAfter,
                isPlaceholder: isPlaceholder, chainName: "\(number)")
        }
        let both = try Self.site(credential(1, isPlaceholder: true), credential(2, isPlaceholder: true))
        #expect(both.shown(at: 1500) == CredentialSet([0, 1]))
        let one = try Self.site(credential(1, isPlaceholder: true, notAfter: 9000), credential(2, isPlaceholder: false))
        #expect(one.shown(at: 1500) == CredentialSet([1]))
        // One that has expired is not trusted either, and was.
        #expect(one.shown(at: 2500) == CredentialSet([1]))
        let live = try Self.site(
            credential(1, isPlaceholder: true, notAfter: 4_000_000_000),
            credential(2, isPlaceholder: false, notAfter: 4_000_000_000))
        #expect(try Self.answer(Self.policy(live)) == [2])
    }

    // MARK: Decisions

    private static let rsa: any StoredKey = {
        let key = try? RSASecret(PolicyFixtures.rsa)
        return key.map { SoftwareKey(.rsa($0)) } ?? SoftwareKey(.p256(PolicyFixtures.p256))
    }()

    private static func site(_ credentials: SiteCredential...) throws -> Site {
        Site(domains: [try ServerNamePattern("a.test")], credentials: credentials, modes: [.keyless])
    }

    private static func policy(
        _ site: Site, after previous: Policy? = nil, now: UInt64 = 0, wall: Int64 = 1_800_000_000
    ) throws -> Policy {
        try Policy(
            sites: [site], grants: [try PolicyFixtures.grant("paris", "a.test")], grace: .seconds(10),
            previous: previous, now: now, wallSeconds: wall)
    }

    private static func answer(_ policy: Policy) throws -> [UInt8] {
        let verdict = RequestJudgeTests.judge(PolicyFixtures.certificateRequest("a.test"), policy)
        let payload = try #require(verdict.action.answer)
        return try CertificateAnswer(decoding: payload).chains.map { $0.ski[0] }
    }

    @Test("An edge is told of all chains, and has the key sign that belongs to the one it names")
    func signed() throws {
        let policy = try Self.policy(
            Self.site(PolicyFixtures.credential(1), PolicyFixtures.credential(2, key: Self.rsa)))
        #expect(try Self.answer(policy) == [1, 2])
        func signer(_ scheme: SignatureScheme, _ ski: UInt8?) -> UInt8? {
            let request = PolicyFixtures.signRequest(
                "a.test", scheme, ski: ski.map { [UInt8](repeating: $0, count: 20) })
            guard case .perform(_, let keyed, _) = RequestJudgeTests.judge(request, policy).action else { return nil }
            return keyed.credential.ski[0]
        }
        #expect(signer(.ecdsaP256SHA256, 1) == 1 && signer(.rsaPSSSHA256, 2) == 2)
        #expect(signer(.ecdsaP256SHA256, 2) == nil && signer(.rsaPSSSHA256, 1) == nil)
        #expect(signer(.ecdsaP256SHA256, 3) == nil)
        // A request that names none.
        #expect(signer(.ecdsaP256SHA256, nil) == 1 && signer(.rsaPSSSHA256, nil) == 2)
        #expect(signer(.ed25519, nil) == nil)
    }

    @Test("Stock peers get the key that fits")
    func stock() throws {
        let site = try Self.site(PolicyFixtures.credential(1), PolicyFixtures.credential(2, key: Self.rsa))
        let grant = try PolicyFixtures.grant("paris", "a.test", operations: [.rsaSign, .ecdsaSign])
        let policy = try Policy(sites: [site], grants: [grant], previous: nil, now: 0)
        for (opcode, ski) in [(Opcode.rsaSignSHA256, UInt8(2)), (.ecdsaSignSHA256, 1)] {
            let request = KeyMessage(
                opcode: opcode, payload: ByteBuffer(repeating: 1, count: 32), serverName: "a.test")
            guard case .perform(_, let keyed, _) = RequestJudgeTests.judge(request, policy).action else {
                Issue.record("not performed")
                continue
            }
            #expect(keyed.credential.ski[0] == ski)
        }
    }

    @Test("One that is not valid yet, or not any more, is not shown; edges are told when that changes")
    func validity() throws {
        let site = try Self.site(
            PolicyFixtures.credential(1, notBefore: 2000, notAfter: 9000),
            PolicyFixtures.credential(2, notBefore: 0, notAfter: 3000))
        var policy = try Self.policy(site, wall: 1000)
        #expect(try Self.answer(policy, at: 1000) == [2])
        #expect(!policy.showsOthers(at: 1999) && policy.showsOthers(at: 2000))
        let before = policy.generation(of: "paris")
        policy = try Self.policy(site, after: policy, wall: 2000)
        #expect(try Self.answer(policy, at: 2000) == [1, 2])
        #expect(policy.generation(of: "paris") != before)
        #expect(policy.showsOthers(at: 3001))
        policy = try Self.policy(site, after: policy, wall: 3001)
        #expect(try Self.answer(policy, at: 3001) == [1])
        // The key of one that has ended signs no more; an edge that names it is told to ask again.
        let request = PolicyFixtures.signRequest("a.test", ski: [UInt8](repeating: 2, count: 20))
        let verdict = RequestJudgeTests.judge(request, policy, wall: 3001)
        #expect(verdict.action.code == .certificateNotFound && verdict.action.outcome == .expired)
        // Nothing is left.
        policy = try Self.policy(site, after: policy, wall: 9001)
        let none = RequestJudgeTests.judge(PolicyFixtures.certificateRequest("a.test"), policy, wall: 9001)
        #expect(none.action.code == .expired)
        // A clock that is behind.
        let early = try Self.policy(Self.site(PolicyFixtures.credential(1, notBefore: 2000)), wall: 1000)
        #expect(try Self.answer(early, at: 1000) == [1])
    }

    private static func answer(_ policy: Policy, at wall: Int64) throws -> [UInt8] {
        let verdict = RequestJudgeTests.judge(PolicyFixtures.certificateRequest("a.test"), policy, wall: wall)
        return try CertificateAnswer(decoding: try #require(verdict.action.answer)).chains.map { $0.ski[0] }
    }

    @Test("Of several, those that are replaced sign for a while, and those that stay go on")
    func replaced() throws {
        let second: UInt64 = 1_000_000_000
        func signs(_ ski: UInt8, _ policy: Policy, now: UInt64) -> Bool {
            let request = PolicyFixtures.signRequest("a.test", ski: [UInt8](repeating: ski, count: 20))
            guard case .perform(_, let keyed, let needs) = RequestJudgeTests.judge(request, policy, now: now).action
            else { return false }
            return policy.stillGrants(keyed.site, by: keyed.credential, to: "paris", needs, now: now)
        }
        let first = try Self.policy(Self.site(PolicyFixtures.credential(1), PolicyFixtures.credential(2)))
        let before = first.sites[0]
        let next = try Self.policy(
            Self.site(PolicyFixtures.credential(3), PolicyFixtures.credential(2)), after: first, now: second)
        #expect(signs(1, next, now: 2 * second) && signs(2, next, now: 2 * second) && signs(3, next, now: 2 * second))
        #expect(!signs(1, next, now: 11 * second) && signs(2, next, now: 11 * second))
        // A handshake that was begun before: whichever certificate it will show, and then the one it shows.
        let needs: [KeyProtocol.Operation] = [.signTLS13]
        #expect(next.stillGrants(before, to: "paris", needs, now: 2 * second))
        #expect(!next.stillGrants(before, to: "paris", needs, now: 11 * second))
        #expect(next.stillGrants(before, by: before.credentials[1], to: "paris", needs, now: 11 * second))
    }

    @Test("An edge could pose as what any of the certificates covers")
    func impersonation() throws {
        let (a, b) = (try ServerNamePattern("a.test"), try ServerNamePattern("b.test"))
        let sites = [
            CertifiedSite(
                name: "a.test", domains: [a],
                certificates: [.init(names: [a], ski: [1]), .init(names: [a, b], ski: [2])]),
            CertifiedSite(name: "b.test", domains: [b], certificates: [.init(names: [b], ski: [3])]),
        ]
        let granted = Impersonation.Granted(edge: "paris", sites: [0], operations: [.handoff])
        #expect(Impersonation.all(of: [granted], sites: sites).map(\.finding.name) == [b])
    }
}
