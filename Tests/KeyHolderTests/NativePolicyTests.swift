import KeyProtocol
import NativeHandshake
import TLSWire
import Testing

@testable import KeyHolder

@Suite("Native: what a reload leaves of a stream's right, and rates")
struct NativePolicyTests {
    private static func application(_ port: Int) -> ApplicationConfiguration {
        ApplicationConfiguration(address: .tcp(host: "127.0.0.1", port: port))
    }

    /// Two sites with one key.
    private static func policy(
        _ grants: [GrantConfiguration], port: Int = 80, previous: Policy? = nil
    ) throws -> Policy {
        try Policy(
            sites: [
                try PolicyFixtures.site("a.test", ski: 1, application: self.application(port)),
                try PolicyFixtures.site("b.test", ski: 1, application: self.application(80)),
                try PolicyFixtures.site("c.test", ski: 2),
            ], grants: grants, previous: previous, now: 0)
    }

    private static func served(_ policy: Policy) throws -> NativeIntake.Served {
        let site = try #require(policy.index.site(byName: SiteQuery(serverName: "a.test")))
        return NativeIntake.Served(
            site: site, credential: site.first, application: self.application(80), kind: .p256,
            serverName: try ServerName("a.test"))
    }

    @Test("A grant for another site with the same key does not stand in")
    func sharedKey() throws {
        let both = try Self.policy([try PolicyFixtures.grant("paris", "a.test", "b.test", operations: [.native])])
        let served = try Self.served(both)
        #expect(both.stillServes(served, to: "paris"))
        #expect(!both.stillServes(served, to: "oslo"))
        let other = try Self.policy([try PolicyFixtures.grant("paris", "b.test", operations: [.native])])
        #expect(!other.stillServes(served, to: "paris"))
        // A signature for the one is good for the other, so that there the key is what counts.
        #expect(other.stillGrants(served.site, to: "paris", [.native], now: 0))
    }

    @Test("The operation and the application must be the same")
    func operationAndApplication() throws {
        let grant = try PolicyFixtures.grant("paris", "a.test", operations: [.native])
        let served = try Self.served(try Self.policy([grant]))
        #expect(!(try Self.policy([grant], port: 81).stillServes(served, to: "paris")))
        let keyless = try PolicyFixtures.grant("paris", "a.test")
        #expect(!(try Self.policy([keyless]).stillServes(served, to: "paris")))
        #expect(try Self.policy([grant]).stillServes(served, to: "paris"))
    }

    @Test("Native handshakes and signatures do not use up each other's rate")
    func rates() throws {
        let grant = try PolicyFixtures.grant("paris", "a.test", operations: [.native, .signTLS13], rate: 2)
        let policy = try Self.policy([grant])
        let site = try Self.served(policy).site
        let granted = try #require(policy.grant(to: "paris", for: site))
        for _ in 0..<4 { #expect(granted.takeNativeToken(now: 0)) }
        #expect(!granted.takeNativeToken(now: 0))
        #expect(granted.takeToken(now: 0))
        // A reload hands out no fresh burst.
        let next = try Self.policy([grant], previous: policy)
        let renewed = try #require(next.grant(to: "paris", for: try Self.served(next).site))
        #expect(!renewed.takeNativeToken(now: 0))
        #expect(renewed.takeToken(now: 0))
    }
}
