import KeyProtocol
import NIOCore
import TLSWire
import Testing

@testable import KeyHolder

@Suite("Policy: what a configuration may say")
struct PolicyTests {
    static func policy(_ sites: [Site], _ grants: [GrantConfiguration]) throws -> Policy {
        try Policy(sites: sites, grants: grants, previous: nil, now: 0)
    }

    @Test("Contradictions are refused by name")
    func contradictions() throws {
        let a = try PolicyFixtures.site("a.test", ski: 1)
        let b = try PolicyFixtures.site("b.test", "a.test", ski: 2)
        #expect(throws: SiteLoadError.duplicateName("a.test", first: "a.test.pem", second: "b.test.pem")) {
            try Self.policy([a, b], [])
        }
        #expect(throws: SiteLoadError.grantForUnknownSite(edge: "paris", name: "c.test")) {
            try Self.policy([a], [try PolicyFixtures.grant("paris", "c.test")])
        }
        #expect(throws: SiteLoadError.duplicateGrant(edge: "paris", name: "a.test")) {
            try Self.policy(
                [a], [try PolicyFixtures.grant("paris", "a.test"), try PolicyFixtures.grant("paris", "a.test")])
        }
        #expect(throws: SiteLoadError.self) {
            try Self.policy([a], [try PolicyFixtures.grant("paris", "a.test", rate: 0)])
        }
        #expect(throws: SiteLoadError.self) {
            try Self.policy([a], [try PolicyFixtures.grant("paris", "a.test", operations: [])])
        }
    }

    @Test("A grant may name two domains of one site")
    func twoDomains() throws {
        let site = try PolicyFixtures.site("a.test", "b.test", ski: 1)
        let policy = try Self.policy([site], [try PolicyFixtures.grant("paris", "a.test", "b.test")])
        #expect(policy.grant(to: "paris", for: site) != nil)
    }

    @Test("A chain that no packet can carry is refused when loading")
    func hugeChain() throws {
        let credential = SiteCredential(
            chain: [[UInt8](repeating: 1, count: 65_530)],
            ski: [UInt8](repeating: 1, count: 20), certificateDigest: [UInt8](repeating: 1, count: 32),
            key: SoftwareKey(.p256(PolicyFixtures.p256)), certified: [], notAfter: 0, chainName: "a.pem")
        let site = Site(domains: [try ServerNamePattern("a.test")], credentials: [credential], modes: [.keyless])
        #expect(throws: SiteLoadError.chainTooLong("a.pem")) {
            try Self.policy([site], [try PolicyFixtures.grant("paris", "a.test")])
        }
    }
}
