import Admission
import EdgeModel
import Foundation
import KeyProtocol
import NIOCore
import Settings
import TLSWire
import Telemetry
import Testing

@Suite("Good configuration files")
struct GoodFileTests {
    private static let examples = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent("Examples")

    private static func edge(_ text: String) throws -> EdgeSettings {
        let loaded = try Settings.parse(text, file: "/etc/l/edge.yaml", checkingFiles: false)
        guard case .edge(let settings) = loaded.party else { throw NotAnEdge() }
        return settings
    }

    private static func keyHolder(_ text: String) throws -> KeyHolderSettings {
        let loaded = try Settings.parse(text, file: "kh.yaml", checkingFiles: false)
        guard case .keyHolder(let settings) = loaded.party else { throw NotAnEdge() }
        return settings
    }

    private struct NotAnEdge: Error {}

    /// Removes the `# ` before everything that looks like a setting.
    private static func uncommented(_ text: String) -> String {
        text.split(separator: "\n", omittingEmptySubsequences: false).map { line -> String in
            let blanks = line.prefix { $0 == " " }
            let rest = line.dropFirst(blanks.count)
            guard rest.hasPrefix("# ") else { return String(line) }
            let body = rest.dropFirst(2)
            let word = body.drop { $0 == " " || $0 == "-" }.prefix { $0.isLowercase || $0 == "-" }
            let after = body.drop { $0 == " " || $0 == "-" }.dropFirst(word.count)
            let prose = ["keyless", "relay", "operations", "rate"]
            let isSetting = !word.isEmpty && after.hasPrefix(":") && !prose.contains(String(word))
            return isSetting ? String(blanks) + String(body) : String(line)
        }.joined(separator: "\n")
    }

    @Test("The edge's example file")
    func edgeExample() throws {
        let path = Self.examples.appendingPathComponent("edge.yaml").path
        let loaded = try Settings.load(path: path, role: .edge, checkingFiles: false)
        #expect(loaded.warnings == [])
        guard case .edge(let settings) = loaded.party else { throw NotAnEdge() }
        #expect(settings.listen == [.init(host: "127.0.0.1", port: 8443)])
        #expect(settings.identity?.key.hasSuffix("/Examples/certs/edge-paris.key") == true)
        #expect(settings.keyHolders.map(\.name) == ["home"])
        #expect(settings.keyHolders.first?.deadline == .seconds(2))
        #expect(settings.sites.count == 2)
        #expect(settings.limits == EdgeLimits())
    }

    @Test("The key holder's example file")
    func keyHolderExample() throws {
        let path = Self.examples.appendingPathComponent("keyholder.yaml").path
        let loaded = try Settings.load(path: path, role: .keyHolder, checkingFiles: false)
        #expect(loaded.warnings == [])
        guard case .keyHolder(let settings) = loaded.party else { throw NotAnEdge() }
        #expect(settings.listen == SocketEndpoint(host: "127.0.0.1", port: 4433))
        #expect(settings.grants.first?.operations == [.certificate, .handoff, .signTLS13, .handshakeTLS12])
        #expect(settings.grants.first?.rate == 2000)
        #expect(settings.limits == KeyHolderSettings.Limits())
    }

    @Test("Every setting that the examples show as a comment exists, with the default they state")
    func commentedSettings() throws {
        let edgeText = try String(contentsOf: Self.examples.appendingPathComponent("edge.yaml"), encoding: .utf8)
        let plain = try Self.edge(edgeText)
        var full = try Self.edge(
            Self.uncommented(edgeText).replacingOccurrences(
                of: "url: http://127.0.0.1:8080", with: "url: https://o.test"))
        #expect(full.sites.count == 3)
        #expect(full.defaultSite?.rawValue == "www.example.test")
        #expect(full.threads == 2)
        #expect(full.sites.map { $0.mode.termination?.http2 } == [true, nil, nil])
        var limits = plain.limits
        limits.connectionsPerClient = limits.connections / 8
        limits.exempt = [try IPNetwork(parsing: "192.0.2.0/24")]
        #expect(full.limits == limits)
        #expect(full.trustedProxies == [try IPNetwork(parsing: "10.0.0.0/8")])
        #expect(full.sites.first?.connections == .percent(75))
        #expect(full.log == plain.log)
        #expect(full.keyHolders.first?.inFlight == plain.keyHolders.first?.inFlight)
        #expect(full.keyHolders.first?.identityName == "home")
        guard case .keyless(let termination) = full.sites.removeFirst().mode,
            case .keyless(let plainTermination) = plain.sites[0].mode,
            case .relay(let relay) = full.sites.removeFirst().mode, case .relay(let plainRelay) = plain.sites[1].mode,
            case .relay(let resolved) = full.sites.removeFirst().mode
        else { throw NotAnEdge() }
        var origin = plainTermination.origin
        origin.scheme = .https
        origin.host = "o.test"
        origin.port = 443
        origin.tlsName = "www.example.test"
        origin.trustRoots = .file("/etc/l/origin-ca.pem")
        #expect(termination.origin == origin)
        #expect(origin.idleTimeout == .seconds(30) && origin.maximumConnectionAge == .seconds(60))
        #expect(origin.clientShare == 25)
        #expect(origin.rewritesLocation)
        #expect(termination.minimumTLSVersion == plainTermination.minimumTLSVersion)
        #expect(termination.ticketLifetime == plainTermination.ticketLifetime)
        #expect(relay.proxyProtocol == .v2)
        #expect(plainRelay.proxyProtocol == .none)
        #expect(relay.idleTimeout == plainRelay.idleTimeout)
        #expect(relay.lifetime == plainRelay.lifetime)
        #expect(relay.connectTimeout == plainRelay.connectTimeout)
        #expect(resolved.origin == .resolve(ports: [443], allowPrivate: false))

        let holderText = try String(contentsOf: Self.examples.appendingPathComponent("keyholder.yaml"), encoding: .utf8)
        let plainHolder = try Self.keyHolder(holderText)
        let fullHolder = try Self.keyHolder(Self.uncommented(holderText))
        #expect(fullHolder.threads == 2)
        #expect(plainHolder.lease == .seconds(600))
        #expect(fullHolder.lease == plainHolder.lease)
        #expect(fullHolder.limits == plainHolder.limits)
        #expect(fullHolder.log == plainHolder.log)
    }

    @Test("What a key holder's site allows in its handshakes")
    func handshakes() throws {
        let settings = try Self.keyHolder(
            """
            role: keyholder
            listen: 127.0.0.1:4433
            identity: {certificate: e.pem, key: e.key, authority: a.pem}
            sites:
              - certificate: s.pem
                key: s.key
                tls:
                  maximum-version: 1.2
                  cipher-suites: [TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256]
                  groups: P-384
                  ticket-lifetime: 30m
                  ticket-keys: /run/t.key
              - {certificate: t.pem, key: t.key}
            grants:
              - {edge: paris, sites: [a.test], operations: [handoff]}
            """)
        let tls = settings.sites[0].tls
        #expect(tls.minimumVersion == .tls12 && tls.maximumVersion == .tls12)
        #expect(tls.suites?.map(\.number) == [0xC030, 0xCCA9])
        #expect(tls.groups?.map(\.number) == [TLSGroup.secp384r1])
        #expect(tls.ticketLifetime == .seconds(1800) && tls.ticketKeys == "/run/t.key")
        #expect(settings.sites[1].tls == KeyHolderSettings.TLS())
    }

    @Test("Values in all their spellings")
    func spellings() throws {
        let settings = try Self.edge(
            """
            role: edge
            listen: "[::1]:0"
            sites:
              - domains: ["*.A.test", b.test]
                mode: relay
                origin: resolve
              - domains: c.test
                mode: relay
                origin: {address: "[2001:DB8::1]:443", connect: 250ms, idle: 5m, lifetime: 24h}
            default-site: x.a.test
            admin: localhost:0
            limits: {hello-bytes: 64KiB}
            """)
        #expect(settings.listen == [.init(host: "::1", port: 0)])
        #expect(settings.identity == nil)
        #expect(settings.sites[0].domains.map(\.description) == ["*.a.test", "b.test"])
        #expect(settings.places[0].site == SourceLocation(file: "/etc/l/edge.yaml", line: 4, column: 5))
        guard case .relay(let relay) = settings.sites[1].mode else { throw NotAnEdge() }
        #expect(relay.origin == .fixed(host: "2001:DB8::1", port: 443))
        #expect(relay.connectTimeout == .milliseconds(250))
        #expect(settings.limits.helloBytes == 65536)
        #expect(settings.admin?.endpoint.description == "localhost:0")
    }

    @Test("Listeners for balancers, and trusted proxies")
    func balancers() throws {
        let settings = try Self.edge(
            """
            role: edge
            listen:
              - 127.0.0.1:8443
              - {address: "[::1]:8444", proxy-protocol-from: [10.0.0.0/8, "2001:db8::1"]}
              - {address: 127.0.0.1:8445, proxy-protocol-from: 192.0.2.0/24, others: serve}
            trusted-proxies: [192.0.2.7]
            limits: {connections-per-client: 7, handshakes-per-client: 3, exempt: ["2001:db8::/48"], ipv6-prefix: 56}
            sites:
              - {domains: a.test, mode: relay, origin: resolve, connections: 25%}
              - {domains: b.test, mode: relay, origin: resolve, connections: 300}
            """)
        #expect(
            settings.listen == [
                .init(host: "127.0.0.1", port: 8443),
                .init(
                    host: "::1", port: 8444,
                    policy: .proxies(
                        [try IPNetwork(parsing: "10.0.0.0/8"), try IPNetwork(parsing: "2001:db8::1")],
                        servesOthers: false)),
                .init(
                    host: "127.0.0.1", port: 8445,
                    policy: .proxies([try IPNetwork(parsing: "192.0.2.0/24")], servesOthers: true)),
            ])
        #expect(settings.limits.connectionsPerClient == 7 && settings.limits.handshakesPerClient == 3)
        #expect(settings.limits.exempt == [try IPNetwork(parsing: "2001:db8::/48")])
        #expect(settings.limits.ipv6PrefixLength == 56)
        #expect(settings.sites.map(\.connections) == [.percent(25), .number(300)])
        #expect(settings.trustedProxies == [try IPNetwork(parsing: "192.0.2.7/32")])
    }

    @Test("A key holder without grants works, with a warning; an audit dash is standard output")
    func noGrants() throws {
        let loaded = try Settings.parse(
            """
            role: keyholder
            listen: 0.0.0.0:4433
            identity: {certificate: e.pem, key: e.key, authority: a.pem}
            sites: [{certificate: s.pem, key: s.key, domains: [a.test]}]
            audit: "-"
            """, file: "kh.yaml", checkingFiles: false)
        #expect(loaded.warnings.map(\.message) == ["there are no grants, so no edge gets a signature"])
        guard case .keyHolder(let settings) = loaded.party else { throw NotAnEdge() }
        #expect(settings.audit.target == .standardOutput && settings.audit.key == nil)
    }

    @Test(
        "Loopback addresses",
        arguments: [
            ("127.0.0.1", true), ("127.9.9.9", true), ("::1", true), ("localhost", true), ("0.0.0.0", false),
            ("::", false),
            ("10.0.0.1", false), ("::2", false), ("127.example.com", false),
        ])
    func loopback(host: String, expected: Bool) {
        #expect(SocketEndpoint(host: host, port: 1).isLoopback == expected)
    }
}
