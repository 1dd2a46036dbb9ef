import EdgeHTTP
import EdgeModel
import HTTPForwarding
import HTTPWire
import Logging
import NIOCore
import NIOPosix
import PeerLink
import PrivateAuthority
import TLSWire
import Testing

@testable import Edge
@testable import EdgeTLS

/// Sites whose exact names lie under another site's wildcard.
@Suite struct NameOwnershipTests {
    private static func site(_ domains: String..., relay: Bool = false) throws -> Site {
        let patterns = try domains.map { try ServerNamePattern($0) }
        if relay {
            return Site(domains: patterns, mode: .relay(RelayConfiguration(origin: .fixed(host: "127.0.0.1", port: 1))))
        }
        let origin = OriginConfiguration(scheme: .http, host: "127.0.0.1", port: 1)
        return Site(domains: patterns, mode: .keyless(TerminationConfiguration(keyHolder: "home", origin: origin)))
    }

    private static func credentials() throws -> PeerCredentials {
        let authority = try FleetAuthority(name: "test fleet")
        let issued = try authority.issueIdentity(role: .edge, name: "paris")
        return try PeerCredentials(
            chainPEM: issued.chainPEM, keyPEM: issued.keyPEM, authorityPEM: authority.certificatePEM)
    }

    @Test func ownExactNamesAreOnesOwn() throws {
        let sites = [
            try Self.site("*.wild.test", "own.wild.test"),
            try Self.site("secret.wild.test", "a.b.wild.test", "wild.test"),
        ]
        let ownership = NameOwnership(sites)
        #expect(ownership.namesOfOthers(underSite: 0) == [try ServerName("secret.wild.test")])
        #expect(ownership.namesOfOthers(underSite: 1).isEmpty)
    }

    @Test func edgeRefusesNamesOfOtherSites() throws {
        var configuration = EdgeConfiguration(
            listen: [],
            sites: [
                try Self.site("*.wild.test"), try Self.site("secret.wild.test"),
                try Self.site("relayed.wild.test", relay: true),
            ])
        configuration.credentials = try Self.credentials()
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let resources = try EdgeResources(
            configuration: configuration,
            shared: EdgeShared(configuration, group: MultiThreadedEventLoopGroup.singleton, logger: logger),
            group: MultiThreadedEventLoopGroup.singleton)
        defer { resources.shutdown() }
        for (site, serverName, host, isServed) in [
            ("*.wild.test", "a.wild.test", "b.wild.test", true),
            ("*.wild.test", "a.wild.test", "secret.wild.test", false),
            ("*.wild.test", "a.wild.test", "relayed.wild.test", false),
            ("secret.wild.test", "secret.wild.test", "secret.wild.test", true),
            ("secret.wild.test", "secret.wild.test", "a.wild.test", false),
        ] {
            let proxy = try #require(resources.proxies[site])
            resources.leases[site]?.update(try ServerNamePattern(site), isLeased: true)
            let policy = proxy.policy
            let rules = RequestRules(policy: policy, serverName: try ServerName(serverName), client: .unknown)
            for (uri, field) in [("/", host), ("https://\(host)/", serverName)] {
                var bytes = ByteBuffer(string: "GET \(uri) HTTP/1.1\r\nHost: \(field)\r\n\r\n")
                var parser = RequestHeadParser()
                switch rules.judge(try #require(try parser.parse(&bytes))) {
                case .accept: #expect(isServed, "\(site) \(uri) \(field)")
                case .refuse(let refusal): #expect(!isServed && refusal == .hostNotServed, "\(site) \(uri) \(field)")
                case .answerOptions: Issue.record("not OPTIONS")
                }
            }
        }
    }
}
