import KeyProtocol
import TLSWire
import Testing

@testable import KeyHolder

/// As which names an edge could pose without having been granted them.
@Suite("Names that a granted certificate covers and another site owns")
struct ImpersonationTests {
    private static func site(
        _ domains: [String], certified: [String]? = nil, key: UInt8? = nil
    ) throws -> CertifiedSite {
        CertifiedSite(
            name: domains[0], domains: try domains.map { try ServerNamePattern($0) },
            certificates: [
                .init(
                    names: try (certified ?? domains).map { try ServerNamePattern($0) },
                    ski: [key ?? UInt8.random(in: 100...255)] + domains[0].utf8)
            ])
    }

    private static func findings(
        _ sites: [CertifiedSite], _ grants: [(String, [Int])], _ operations: Set<KeyProtocol.Operation> = [.handoff]
    ) -> [String] {
        Impersonation.all(
            of: grants.map { Impersonation.Granted(edge: $0.0, sites: $0.1, operations: operations) }, sites: sites
        ).map {
            "\($0.grant): \($0.finding.edge) with \($0.finding.granted) as \($0.finding.name) of \($0.finding.owner)"
        }
    }

    @Test("A wildcard covers the exact names of other sites")
    func wildcards() throws {
        let sites = try [
            Self.site(["*.wild.test"]), Self.site(["bank.wild.test", "other.test"]), Self.site(["a.b.wild.test"]),
            Self.site(["wild.test"]),
        ]
        #expect(
            Self.findings(sites, [("paris", [0])]) == ["0: paris with *.wild.test as bank.wild.test of bank.wild.test"])
        #expect(Self.findings(sites, [("paris", [1]), ("rome", [2, 3])]) == [])
        let text = Impersonation.all(
            of: [.init(edge: "paris", sites: [0], operations: [.handoff])], sites: sites
        ).map { "\($0.finding)" }
        #expect(
            text == [
                "edge paris could pose as bank.wild.test of the site bank.wild.test: the certificate of *.wild.test, "
                    + "which it was granted, is good for that name, which *.wild.test covers"
            ])
    }

    @Test("Names that a site's domains leave out of its certificate, and that another site has")
    func narrowed() throws {
        let sites = try [
            Self.site(["www.a.test"], certified: ["www.a.test", "pay.a.test", "*.b.test", "free.test"]),
            Self.site(["pay.a.test"]), Self.site(["*.b.test"]), Self.site(["x.b.test"]), Self.site(["*.a.test"]),
        ]
        #expect(
            Self.findings(sites, [("paris", [0])]) == [
                "0: paris with www.a.test as pay.a.test of pay.a.test",
                "0: paris with www.a.test as *.b.test of *.b.test",
                "0: paris with www.a.test as x.b.test of x.b.test",
            ])
        // An exact name in a certificate, under a wildcard of another site.
        let under = try [Self.site(["www.a.test"], certified: ["www.a.test", "pay.c.test"]), Self.site(["*.c.test"])]
        #expect(Self.findings(under, [("paris", [0])]) == ["0: paris with www.a.test as pay.c.test of *.c.test"])
    }

    @Test("Nothing where the edge was granted the other site as well, by the same grant or another")
    func grantedBoth() throws {
        let sites = try [Self.site(["*.wild.test"]), Self.site(["bank.wild.test"])]
        #expect(Self.findings(sites, [("paris", [0, 1])]) == [])
        #expect(Self.findings(sites, [("paris", [0]), ("paris", [1])]) == [])
        #expect(Self.findings(sites, [("paris", [0]), ("rome", [1])]).count == 1)
        // A grant that only fetches the chain does not count for holding, nor for posing.
        let mixed = Impersonation.all(
            of: [
                .init(edge: "paris", sites: [0], operations: [.handoff]),
                .init(edge: "paris", sites: [1], operations: [.certificate]),
            ], sites: sites)
        #expect(mixed.count == 1)
        #expect(Self.findings(sites, [("paris", [0])], [.certificate, .native]) == [])
        #expect(Self.findings(sites, [("paris", [0])], [.rsaDecrypt]).count == 1)
    }

    @Test("Sites that share a key: what is signed for the one is good for the other")
    func sharedKeys() throws {
        var sites = try [Self.site(["a.test"]), Self.site(["b.test"]), Self.site(["c.test"])]
        sites[1].certificates[0].ski = sites[0].certificates[0].ski
        #expect(Self.findings(sites, [("paris", [0])]) == ["0: paris with a.test as b.test of b.test"])
    }

    @Test("Each name once for an edge and a site; many sites take no time")
    func many() throws {
        let exact = try (0..<5000).map { try Self.site(["n\($0).wild.test"]) }
        let sites = try [Self.site(["*.wild.test"], certified: ["*.wild.test", "*.wild.test"])] + exact
        #expect(Self.findings(sites, [("paris", [0]), ("rome", [0])]).count == 10_000)
    }
}
