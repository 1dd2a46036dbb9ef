internal import ACME
internal import HSMWire
internal import KeyProtocol
internal import TLSWire

/// Reads `role: keyholder`.
struct KeyHolderReader {
    static let keys = [
        "role", "listen", "dial", "native", "identity", "sites", "hsm", "grants", "lease", "grace", "state", "audit",
        "admin", "monitoring", "log", "limits", "hand-over", "threads",
    ]

    let report: DiagnosticCollector
    let files: FileChecks

    private var values: ValueReaders { ValueReaders(report: self.report) }
    private var common: CommonReaders { CommonReaders(report: self.report, files: self.files) }

    /// nil only where errors were reported.
    func read(_ root: ConfigurationNode) -> KeyHolderSettings? {
        let misplaced: [String: MappingReader.Misplaced] = [
            "keyholders": .init(
                message: "\"keyholders\" belongs to an edge's file", remedy: "Edges connect to this key holder."),
            "default-site": .init(
                message: "\"default-site\" belongs to an edge's file", remedy: "Clients connect to the edge."),
        ]
        guard
            let reader = MappingReader(
                root, noun: "a key holder's file", keys: Self.keys, misplaced: misplaced, report: self.report)
        else { return nil }

        let dial = reader.optional("dial") { self.dial($0) } ?? []
        let listen =
            reader.has("dial")
            ? reader.optional("listen") { self.values.listener($0) }
            : reader.required(
                "listen", remedy: "Write listen: 0.0.0.0:4433, or dial: [EDGE:4435] to connect to edges instead."
            ) { self.values.listener($0) }
        let native = reader.optional("native") { self.values.listener($0) }
        let identity = reader.required("identity", remedy: "`latchstring certs` makes one.") {
            self.common.identity($0)
        }
        let state = reader.optional("state") { self.files.folder($0, self.values) }
        let sites = reader.required("sites", remedy: "Write at least one site.") { self.sites($0, state: state) } ?? []
        if state == nil, !reader.has("state"), let site = sites.first(where: { $0.acme != nil }) {
            self.report.error(
                at: SourcePosition(line: site.location.line, column: site.location.column),
                "a site gets its certificate by ACME, and there is no folder to keep keys and certificates in",
                remedy: "Write state: /var/lib/latchstring, or another folder of this key holder's own.")
        }
        let hsm = reader.optional("hsm") { HSMReader(report: self.report, files: self.files).read($0) }
        if !reader.has("hsm"), let site = sites.first(where: { $0.certificates.contains(where: \.isOnToken) }) {
            self.report.error(
                at: SourcePosition(line: site.location.line, column: site.location.column),
                "a site's key is on a token, and there is no module that reaches it",
                remedy: "Write hsm: {module: /usr/lib/softhsm/libsofthsm2.so}, or the module of your HSM.")
        }
        let grants = reader.optional("grants") { self.grants($0) } ?? []
        let lease = reader.optional("lease") { self.values.duration($0, in: SettingsRanges.lease) }
        let grace = reader.optional("grace") { self.values.duration($0, in: SettingsRanges.grace) }
        let audit = AuditReader(report: self.report, files: self.files).read(reader, state: state)
        let admin = reader.optional("admin") { self.common.admin($0) }
        let monitoring = reader.optional("monitoring") {
            self.common.monitoring($0, others: [listen, native, admin?.endpoint].compactMap { $0 })
        }
        let log = reader.optional("log") { self.common.log($0) }
        let limits = reader.optional("limits") { self.limits($0) }
        let handOver = reader.optional("hand-over") { self.common.handOver($0) }
        let threads = self.common.threads(reader)

        if grants.isEmpty, !self.report.hasErrors {
            self.report.warning(
                at: reader.position(of: "grants"), "there are no grants, so no edge gets a signature",
                remedy: "Add \"grants\" with an edge's name, its sites and operations.")
        }
        if let admin = admin?.endpoint, admin.port != 0, admin == listen {
            self.report.error(
                at: reader.valuePosition(of: "admin"), "\(admin) is also where edges connect",
                remedy: "Use another port.")
        }
        if let native, native.port != 0, native == listen || native == admin?.endpoint {
            self.report.error(
                at: reader.valuePosition(of: "native"), "\(native) is another listener of this key holder",
                remedy: "Native connections need a port of their own.")
        }
        if reader.has("native"), !reader.has("listen") {
            self.report.error(
                at: reader.position(of: "native"),
                "native connections need a port of this key holder's, and it has none for edges",
                remedy: "Write listen: 0.0.0.0:4433 too, or remove \"native\" and the applications of sites.")
        }
        if native == nil, dial.isEmpty, !reader.has("native"),
            let site = sites.first(where: { $0.application != nil })
        {
            self.report.error(
                at: SourcePosition(line: site.location.line, column: site.location.column),
                "a site has an application for native clients, and there is no listener for them",
                remedy: "Write native: 0.0.0.0:4434.")
        }
        guard let identity, !self.report.hasErrors else { return nil }
        return KeyHolderSettings(
            listen: listen, dial: dial, native: native, identity: identity, sites: sites, grants: grants,
            lease: lease ?? SettingsRanges.defaultLease, grace: grace ?? SettingsRanges.defaultGrace, state: state,
            hsm: hsm,
            audit: audit,
            admin: admin, monitoring: monitoring, log: log ?? LogSettings(),
            limits: limits ?? KeyHolderSettings.Limits(),
            handOver: handOver ?? HandOverSettings(), threads: threads)
    }

    private func dial(_ node: ConfigurationNode) -> [SocketEndpoint] {
        var seen: Set<SocketEndpoint> = []
        return self.values.list(node, of: "address") { item -> SocketEndpoint? in
            guard let endpoint = self.values.endpoint(item, allowPortZero: false) else { return nil }
            guard seen.insert(endpoint).inserted else {
                self.report.error(
                    at: item.position, "\(endpoint) stands twice in the list", remedy: "Keep one of them.")
                return nil
            }
            return endpoint
        }
    }

    private func sites(_ node: ConfigurationNode, state: String?) -> [KeyHolderSettings.Site] {
        guard case .list = node.kind else {
            self.values.wrongType(node, wanted: "a list of sites (`- certificate: …`)")
            return []
        }
        var register = DomainRegister()
        let misplaced: [String: MappingReader.Misplaced] = [
            "mode": Self.edgeKey("mode"), "origin": Self.edgeKey("origin"), "keyholder": Self.edgeKey("keyholder"),
        ]
        return self.values.list(node, of: "site") { item in
            guard
                let reader = MappingReader(
                    item, noun: "a site",
                    keys: [
                        "certificate", "key", "passphrase-file", "certificates", "acme", "domains", "tls",
                        "application",
                    ],
                    misplaced: misplaced, report: self.report)
            else { return nil }
            let values = self.values
            let acme = reader.optional("acme") { ACMEReader(report: self.report, files: self.files).read($0) }
            let certificateReader = SiteCertificatesReader(report: self.report, files: self.files)
            var certificates = certificateReader.read(reader)
            let domains = reader.optional("domains") { node in
                values.list(node, of: "domain") { item -> ServerNamePattern? in
                    guard let pattern = values.pattern(item) else { return nil }
                    register.take(pattern, at: item.position, report: self.report)
                    return pattern
                }
            }
            let tls = reader.optional("tls") { KeyHolderTLSReader(report: self.report, files: self.files).read($0) }
            let application = reader.optional("application") {
                ApplicationReader(report: self.report).read($0)
            }
            if let certificates { self.checkTokens(certificates, reader, tls?.allowsRSAKeyExchange ?? false) }
            if let acme { self.checkNames(domains, acme, at: reader) }
            if let acme, let name = domains?.first?.description {
                certificates = acme.keys.map { key in
                    .init(
                        location: self.report.location(item.position),
                        chain: StateLayout.chain(of: name, key, in: state ?? ""),
                        key: .file(StateLayout.key(of: name, key, in: state ?? ""), passphraseFile: nil))
                }
            }
            guard let certificates else { return nil }
            return KeyHolderSettings.Site(
                location: self.report.location(item.position), certificates: certificates, domains: domains,
                tls: tls ?? KeyHolderSettings.TLS(), application: application, acme: acme)
        }
    }

    /// A key on a token signs handshakes, and decrypts nothing. Where there are several keys, another one may.
    private func checkTokens(
        _ certificates: [KeyHolderSettings.Certificate], _ reader: MappingReader, _ rsaKeyExchange: Bool
    ) {
        guard certificates.allSatisfy(\.isOnToken) else { return }
        if rsaKeyExchange {
            self.report.error(
                at: reader.position(of: "tls"),
                "\"rsa-key-exchange\" has the key decrypt, and a key on a token does not",
                remedy: "Remove it.")
        }
        if reader.has("application") {
            self.report.error(
                at: reader.position(of: "application"),
                "native handshakes have the key decrypt, and a key on a token does not",
                remedy: "Remove application, or have the site use a key in a file.")
        }
    }

    /// There is no certificate to take names from, and a wildcard is proved by DNS alone.
    private func checkNames(_ domains: [ServerNamePattern]?, _ acme: KeyHolderSettings.ACME, at reader: MappingReader) {
        guard let domains else {
            if !reader.has("domains") {
                self.report.error(
                    at: reader.position, "a site with acme needs the key \"domains\"",
                    remedy: "Write the names that the certificate is to have.")
            }
            return
        }
        if acme.challenge != .dns01, let wildcard = domains.first(where: \.isWildcard) {
            self.report.error(
                at: reader.position(of: "domains"), "no authority checks \(wildcard) by \(acme.challenge.rawValue)",
                remedy: "Write challenge: dns-01 and a hook, or name the hosts.")
        }
        if domains.count > 100 {
            self.report.error(
                at: reader.position(of: "domains"), "authorities issue certificates for 100 names at the most",
                remedy: "Divide them among several sites.")
        }
    }

    private static func edgeKey(
        _ key: String, _ remedy: String = "Here a site is its certificate and key."
    ) -> MappingReader.Misplaced {
        .init(message: "\"\(key)\" belongs to the sites of an edge's file", remedy: remedy)
    }

    private func grants(_ node: ConfigurationNode) -> [KeyHolderSettings.Grant] {
        guard case .list(let items) = node.kind else {
            self.values.wrongType(node, wanted: "a list of grants (`- edge: …`)")
            return []
        }
        return items.compactMap { self.grant($0) }
    }

    private func grant(_ node: ConfigurationNode) -> KeyHolderSettings.Grant? {
        guard
            let reader = MappingReader(
                node, noun: "a grant",
                keys: ["edge", "sites", "operations", "rate", "rates", "until", "hours", "days"],
                misplaced: [
                    "site": .init(message: "unknown key \"site\" in a grant", remedy: "Did you mean \"sites\"?"),
                    "domains": .init(message: "unknown key \"domains\" in a grant", remedy: "Did you mean \"sites\"?"),
                ], report: self.report)
        else { return nil }
        let values = self.values
        let edge = reader.required("edge", remedy: "Write the name in the edge's identity.") { node in
            values.identityName(node)
        }
        let sites = reader.required("sites", remedy: "Write sites: [www.example.com].") { node in
            values.list(node, of: "domain") { values.pattern($0) }
        }
        let operations = reader.required("operations", remedy: "Write operations: [handoff].") { node in
            values.list(node, of: "operation") { self.operations($0) }.reduce(into: Set()) { $0.formUnion($1) }
        }
        let rate = reader.optional("rate") { values.integer($0, in: SettingsRanges.rate) }
        let limits = GrantLimitsReader(report: self.report)
        let rates = reader.optional("rates") { limits.rates($0, of: operations ?? []) } ?? [:]
        let until = reader.optional("until") { limits.until($0) }
        let hours = reader.optional("hours") { limits.hours($0) }
        let days = reader.optional("days") { limits.days($0) }
        guard let edge, let sites, let operations else { return nil }
        return KeyHolderSettings.Grant(
            location: self.report.location(node.position), edge: edge, sites: sites, operations: operations,
            rate: rate ?? SettingsRanges.defaultRate, rates: rates,
            times: GrantTimes(until: until, hours: hours, days: days))
    }

    /// One operation's name, or a mode's name for those that an edge needs for it.
    private func operations(_ node: ConfigurationNode) -> Set<KeyProtocol.Operation>? {
        let names = ["keyless"] + KeyProtocol.Operation.allCases.map(\.rawValue)
        guard let text = self.values.text(node, "an operation") else { return nil }
        if text == "keyless" { return KeyProtocol.Operation.keyless }
        if text == "handoff" { return KeyProtocol.Operation.handingOff }
        if text == "sign-tls12" {
            self.report.error(
                at: node.position,
                "\"sign-tls12\" is gone: an edge could have a document of its choice signed with it",
                remedy: "Write keyless, which serves TLS 1.2 clients through the handshake functions, "
                    + "or handshake-tls12, its part for them.")
            return nil
        }
        guard let operation = KeyProtocol.Operation(rawValue: text) else {
            self.report.error(
                at: node.position, "\"\(text)\" is not an operation",
                remedy: NearestName.advice(text, among: names, noun: "Operations"))
            return nil
        }
        return [operation]
    }

    private func limits(_ node: ConfigurationNode) -> KeyHolderSettings.Limits? {
        guard
            let reader = MappingReader(
                node, noun: "limits",
                keys: ["connections", "in-flight", "packets", "client-handshakes", "client-handshake-timeout"],
                report: self.report)
        else { return nil }
        var limits = KeyHolderSettings.Limits()
        if let value = reader.optional(
            "connections", { self.values.integer($0, in: SettingsRanges.keyHolderConnections) })
        {
            limits.connections = value
        }
        if let value = reader.optional("in-flight", { self.values.integer($0, in: SettingsRanges.inFlight) }) {
            limits.inFlight = value
        }
        if let value = reader.optional("packets", { self.values.integer($0, in: SettingsRanges.packets) }) {
            limits.packets = value
        }
        if let value = reader.optional(
            "client-handshakes", { self.values.integer($0, in: SettingsRanges.clientHandshakes) })
        {
            limits.clientHandshakes = value
        }
        if let value = reader.optional(
            "client-handshake-timeout", { self.values.duration($0, in: SettingsRanges.handshakeTimeout) })
        {
            limits.clientHandshakeTimeout = value
        }
        return limits
    }
}
