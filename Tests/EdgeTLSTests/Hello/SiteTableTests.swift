import EdgeModel
import EdgeTLS
import TLSWire
import Testing

@Suite struct SiteTableTests {
    static func relay(_ domains: String...) throws -> Site {
        Site(
            domains: try domains.map { try ServerNamePattern($0) },
            mode: .relay(RelayConfiguration(origin: .fixed(host: "127.0.0.1", port: 1))))
    }

    static func keyless(_ domains: String...) throws -> Site {
        Site(domains: try domains.map { try ServerNamePattern($0) }, mode: .keyless(Self.termination()))
    }

    static func termination(
        _ adjust: (inout TerminationConfiguration) -> Void = { _ in }
    ) -> TerminationConfiguration {
        var termination = TerminationConfiguration(
            keyHolder: "home", origin: OriginConfiguration(scheme: .http, host: "127.0.0.1"))
        adjust(&termination)
        return termination
    }

    private static let modern: [UInt16] = [0x0304, 0x0303]

    private func name(_ route: Route) -> String? {
        if case .site(let site) = route { site.name } else { nil }
    }

    private struct Rejection: Equatable {
        var alert: Alert.Description
        var reason: RouteRejection

        init(_ alert: Alert.Description, _ reason: RouteRejection) {
            self.alert = alert
            self.reason = reason
        }
    }

    private func rejection(_ route: Route) -> Rejection? {
        if case .reject(let alert, let reason) = route { Rejection(alert, reason) } else { nil }
    }

    @Test func exactDomainBeatsWildcard() throws {
        let table = try SiteTable(sites: [try Self.relay("*.example.test"), try Self.relay("www.example.test")])
        let exact = table.route(serverName: try ServerName("www.example.test"), supportedVersions: Self.modern)
        let wildcard = table.route(serverName: try ServerName("shop.example.test"), supportedVersions: Self.modern)
        #expect(self.name(exact) == "www.example.test")
        #expect(self.name(wildcard) == "*.example.test")
    }

    @Test(arguments: ["example.test", "a.b.example.test", "other.test"])
    func wildcardStandsForOneLabel(unknown: String) throws {
        let table = try SiteTable(sites: [try Self.relay("*.example.test")])
        let route = table.route(serverName: try ServerName(unknown), supportedVersions: Self.modern)
        #expect(self.rejection(route) == Rejection(.unrecognizedName, .unknownServerName))
    }

    @Test func defaultSiteServesClientsWithoutNameOnly() throws {
        let table = try SiteTable(
            sites: [try Self.relay("a.test"), try Self.relay("b.test")], defaultSite: try ServerName("b.test"))
        #expect(self.name(table.route(serverName: nil, supportedVersions: Self.modern)) == "b.test")
        #expect(self.name(table.route(serverName: try ServerName("c.test"), supportedVersions: Self.modern)) == nil)
    }

    @Test func missingNameIsAnsweredAsTheClientsVersionKnows() throws {
        let table = try SiteTable(sites: [try Self.relay("a.test")])
        let modern = table.route(serverName: nil, supportedVersions: [0x7a7a, 0x0304])
        #expect(self.rejection(modern) == Rejection(.missingExtension, .noServerName))
        let old = table.route(serverName: nil, supportedVersions: [0x0303, 0x0302])
        #expect(self.rejection(old) == Rejection(.unrecognizedName, .noServerName))
    }

    @Test func oldVersionsAreRefusedWhereTheEdgeTerminates() throws {
        let table = try SiteTable(sites: [try Self.keyless("k.test"), try Self.relay("r.test")])
        let keyless = table.route(serverName: try ServerName("k.test"), supportedVersions: [0x0302, 0x0301])
        #expect(self.rejection(keyless) == Rejection(.protocolVersion, .versionTooOld))
        let relay = table.route(serverName: try ServerName("r.test"), supportedVersions: [0x0301])
        #expect(self.name(relay) == "r.test")
        let tls12 = table.route(serverName: try ServerName("k.test"), supportedVersions: [0x0303])
        #expect(self.name(tls12) == "k.test")
    }

    @Test func aSiteMayRefuseTLS12() throws {
        let termination = Self.termination { $0.minimumTLSVersion = TLSVersion.tls13 }
        for mode in [SiteMode.keyless(termination), .handoff(termination)] {
            let table = try SiteTable(sites: [Site(domains: [try ServerNamePattern("a.test")], mode: mode)])
            let name = try ServerName("a.test")
            let tls12 = table.route(serverName: name, supportedVersions: [0x0303])
            #expect(self.rejection(tls12) == Rejection(.protocolVersion, .versionTooOld))
            #expect(self.name(table.route(serverName: name, supportedVersions: Self.modern)) == "a.test")
            #expect(self.name(table.route(serverName: name, supportedVersions: [0x0304])) == "a.test")
        }
    }

    @Test func refusesSitesThatCannotWork() throws {
        #expect(throws: SiteTableError.duplicateDomain(try ServerNamePattern("a.test"))) {
            try SiteTable(sites: [try Self.relay("a.test"), try Self.relay("b.test", "A.test")])
        }
        #expect(throws: SiteTableError.siteWithoutDomains) { try SiteTable(sites: [try Self.relay()]) }
        #expect(throws: SiteTableError.unknownDefaultSite(try ServerName("c.test"))) {
            try SiteTable(sites: [try Self.relay("a.test")], defaultSite: try ServerName("c.test"))
        }
    }
}
