internal import EdgeModel
internal import HTTPCaching
internal import TLSWire

/// Reads `role: edge`.
struct EdgeReader {
    static let keys = [
        "role", "listen", "listen-http", "listen-keyholders", "trusted-proxies", "identity", "keyholders", "sites",
        "default-site", "admin", "monitoring", "cache", "fleet", "log", "access-log", "request-id", "limits", "drain",
        "hand-over", "ready-needs", "threads",
    ]

    private typealias LocatedSite = (site: Site, place: EdgeSettings.SitePlace)

    let report: DiagnosticCollector
    let files: FileChecks

    private var values: ValueReaders { ValueReaders(report: self.report) }
    private var common: CommonReaders { CommonReaders(report: self.report, files: self.files) }
    private var listenerReader: ListenerReader { ListenerReader(report: self.report) }
    private var cacheReader: CacheReader { CacheReader(report: self.report, files: self.files) }

    /// nil only where errors were reported.
    func read(_ root: ConfigurationNode) -> EdgeSettings? {
        let misplaced: [String: MappingReader.Misplaced] = [
            "grants": .init(
                message: "\"grants\" belongs to a key holder's file", remedy: "What an edge may do is decided there."),
            "audit": .init(
                message: "\"audit\" belongs to a key holder's file", remedy: "Every key operation is recorded there."),
            "keyholder": .init(
                message: "unknown key \"keyholder\" in an edge's file",
                remedy: "Key holders are defined under \"keyholders\"; sites name one with \"keyholder\"."),
        ]
        guard
            let reader = MappingReader(
                root, noun: "an edge's file", keys: Self.keys, misplaced: misplaced, report: self.report)
        else { return nil }

        let listen = reader.required("listen", remedy: "Write listen: [0.0.0.0:443].") {
            self.listenerReader.listeners($0)
        }
        let plain = reader.optional("listen-http") { self.listenerReader.plain($0) }
        let keyHolderListen = reader.optional("listen-keyholders") { self.listenerReader.endpoints($0) } ?? []
        let trustedProxies = reader.optional("trusted-proxies") { self.listenerReader.networks($0) } ?? []
        let identity = reader.optional("identity") { self.common.identity($0) }
        let keyHolders = reader.optional("keyholders") { self.keyHolders($0) } ?? []
        let sites =
            reader.required("sites", remedy: "Write at least one site.") { node in
                self.sites(
                    node, keyHolderNames: Self.names(reader.node("keyholders")),
                    nativeNames: keyHolders.filter { !$0.native.isEmpty || $0.takesNativeDialled }.map(\.name)
                )
            } ?? []
        let admin = reader.optional("admin") { self.common.admin($0) }
        let monitoring = reader.optional("monitoring") { node in
            let tls = listen?.map { SocketEndpoint($0) } ?? []
            return self.common.monitoring(
                node, others: tls + (plain?.listen ?? []) + (admin.map { [$0.endpoint] } ?? []))
        }
        let cache = reader.optional("cache") { self.cacheReader.cache($0) }
        let fleet = reader.optional("fleet") {
            FleetReader(report: self.report, files: self.files).fleet($0, ofEdge: true)
        }
        let log = reader.optional("log") { self.common.log($0) }
        let accessLog = reader.optional("access-log") {
            AccessLogReader(report: self.report, files: self.files).read($0)
        }
        let naming = reader.optional("request-id") { self.values.word($0, as: RequestNaming.self) }
        let limits = reader.optional("limits") { self.limits($0) }
        let drain = reader.optional("drain") { self.values.duration($0, in: SettingsRanges.drain) }
        let handOver = reader.optional("hand-over") { self.common.handOver($0) }
        let readyNeeds = reader.optional("ready-needs") { node in
            self.values.list(node, of: "part") { self.values.word($0, as: EdgeSettings.ReadyPart.self) }
        }
        let threads = self.common.threads(reader)

        if reader.has("keyholders"), !reader.has("identity") {
            self.report.error(
                at: reader.position(of: "keyholders"), "key holders are named, and this edge has no identity for them",
                remedy: "Add \"identity\"; `latchstring certs` makes one.")
        }
        if reader.has("fleet"), !reader.has("identity") {
            self.report.error(
                at: reader.position(of: "fleet"), "this edge has no identity to sign its reports to the fleet with",
                remedy: "Add \"identity\"; `latchstring certs` makes one.")
        }
        let defaultSite = reader.optional("default-site") { self.defaultSite($0, sites: sites.map(\.site)) }
        let endpoints = listen?.map { SocketEndpoint($0) } ?? []
        self.checkListeners(endpoints, plain: plain?.listen ?? [], admin: admin?.endpoint, reader: reader)
        self.checkKeyHolderListeners(
            keyHolderListen, keyHolders,
            others: endpoints + (plain?.listen ?? []) + (admin.map { [$0.endpoint] } ?? []),
            reader: reader)
        let bounded = sites.map { self.bounded($0, cache: cache ?? EdgeCacheConfiguration()) }
        self.checkUse(of: keyHolders, sites: bounded)
        self.checkLoops(sites, listen: endpoints + (plain?.listen ?? []) + keyHolderListen)

        guard let listen, !self.report.hasErrors else { return nil }
        return EdgeSettings(
            listen: listen, plain: plain, keyHolderListen: keyHolderListen, trustedProxies: trustedProxies,
            identity: identity, keyHolders: keyHolders,
            sites: bounded,
            places: sites.map(\.place), defaultSite: defaultSite, admin: admin,
            monitoring: monitoring,
            cache: cache ?? EdgeCacheConfiguration(), fleet: fleet, log: log ?? LogSettings(),
            accessLog: accessLog, naming: naming ?? (accessLog == nil ? .off : .origin),
            limits: limits ?? EdgeLimits(), drain: drain ?? .seconds(10),
            handOver: handOver ?? HandOverSettings(), readyNeeds: Set(readyNeeds ?? []),
            threads: threads)
    }

    private func keyHolders(_ node: ConfigurationNode) -> [EdgeSettings.KeyHolderEntry] {
        guard case .mapping(let entries) = node.kind else {
            self.values.wrongType(node, wanted: "a mapping from names to key holders (`home: …`)")
            return []
        }
        var dialling: Set<String> = []
        return entries.compactMap { entry in
            let nameNode = ConfigurationNode(position: entry.keyPosition, kind: .scalar(entry.key, plain: false))
            let name = self.values.identityName(nameNode)
            guard
                let reader = MappingReader(
                    entry.value, noun: "a key holder",
                    keys: ["addresses", "dialled-by", "deadline", "name", "in-flight", "native", "hedge"],
                    misplaced: [
                        "address": .init(
                            message: "unknown key \"address\" in a key holder",
                            remedy: "Did you mean \"addresses\"? It takes one address or a list.")
                    ], report: self.report)
            else { return nil }
            var seen: Set<SocketEndpoint> = []
            let endpoints: (ConfigurationNode) -> [SocketEndpoint] = { node in
                self.values.list(node, of: "address") { item -> SocketEndpoint? in
                    guard let endpoint = self.values.endpoint(item, allowPortZero: false) else { return nil }
                    if !seen.insert(endpoint).inserted {
                        self.report.error(
                            at: item.position, "\(endpoint) stands twice in a key holder",
                            remedy: "Keep one of them; native connections have a port of their own.")
                    }
                    return endpoint
                }
            }
            let dialledBy = reader.optional("dialled-by") { self.diallers($0, taken: &dialling) }
            let addresses =
                reader.has("dialled-by")
                ? reader.optional("addresses", endpoints)
                : reader.required(
                    "addresses",
                    remedy: "Write addresses: [HOST:PORT], or dialled-by: [NAME] if it connects to this edge.",
                    endpoints)
            if reader.has("name"), !reader.has("addresses") {
                self.report.error(
                    at: reader.position(of: "name"), "\"name\" is for key holders at \"addresses\", and there are none",
                    remedy: "\"dialled-by\" has the names of those that connect to this edge.")
            }
            var takesNativeDialled = false
            let native = reader.optional("native") { node in
                self.values.list(node, of: "address") { item -> SocketEndpoint? in
                    guard case .scalar("dialled", _) = item.kind else { return endpoints(item).first }
                    takesNativeDialled = true
                    if !reader.has("dialled-by") {
                        self.report.error(
                            at: item.position, "no key holder connects to this edge here",
                            remedy:
                                "Name those that do in \"dialled-by\", or write the address of its native listener."
                        )
                    }
                    return nil
                }
            }
            if let native, !native.isEmpty, !reader.has("addresses") {
                self.report.error(
                    at: reader.position(of: "native"), "this key holder has no port: it connects to the edge",
                    remedy: "Write native: dialled.")
            }
            let deadline = reader.optional("deadline") {
                self.values.duration($0, in: SettingsRanges.deadline)
            }
            let identityName = reader.optional("name") { self.values.identityName($0) }
            let inFlight = reader.optional("in-flight") { self.values.integer($0, in: SettingsRanges.inFlight) }
            let hedge = reader.optional("hedge") { self.values.percentage($0, in: SettingsRanges.hedge) }
            if hedge ?? 0 > 0, (addresses?.count ?? 0) + (dialledBy?.count ?? 0) == 1 {
                self.report.warning(
                    at: reader.position(of: "hedge"), "\"hedge\" is for several addresses, and there is one",
                    remedy: "Remove it, or name another address.")
            }
            var settings = EdgeSettings.KeyHolderEntry(
                name: name ?? entry.key, location: self.report.location(entry.keyPosition),
                addresses: addresses ?? [],
                dialledBy: dialledBy ?? [],
                deadline: deadline ?? .seconds(2), identityName: identityName ?? entry.key, inFlight: inFlight ?? 4096,
                native: native ?? [], hedge: hedge ?? 5)
            settings.takesNativeDialled = takesNativeDialled
            return settings
        }
    }

    /// - Parameter taken: the names that stand in entries before.
    private func diallers(_ node: ConfigurationNode, taken: inout Set<String>) -> [String] {
        self.values.list(node, of: "name") { item -> String? in
            guard let name = self.values.identityName(item) else { return nil }
            guard taken.insert(name).inserted else {
                self.report.error(
                    at: item.position,
                    "the key holder \"\(name)\" stands twice: its connections can belong to one entry",
                    remedy: "Keep one of them, or give the key holders identities of their own.")
                return nil
            }
            return name
        }
    }

    /// The names of key holders, also of those that are wrong otherwise: sites that name them are right.
    private static func names(_ node: ConfigurationNode?) -> [String] {
        guard case .mapping(let entries)? = node?.kind else { return [] }
        return entries.map(\.key)
    }

    private func sites(
        _ node: ConfigurationNode, keyHolderNames: [String], nativeNames: [String]
    ) -> [LocatedSite] {
        guard case .list = node.kind else {
            self.values.wrongType(node, wanted: "a list of sites (`- domains: …`)")
            return []
        }
        let reader = SiteReader(
            report: self.report, files: self.files, keyHolderNames: keyHolderNames, nativeNames: nativeNames)
        var domains = DomainRegister()
        return self.values.list(node, of: "site") { reader.read($0, domains: &domains) }
    }

    private func defaultSite(_ node: ConfigurationNode, sites: [Site]) -> ServerName? {
        guard let name = self.values.serverName(node) else { return nil }
        let domains = sites.flatMap(\.domains)
        guard domains.contains(where: { $0.matches(name) }) else {
            self.report.error(
                at: node.position, "no site has the domain \"\(name)\"",
                remedy: NearestName.advice(
                    name.rawValue, among: domains.prefix(10).map(\.description), noun: "Domains here"))
            return nil
        }
        return name
    }

    private func limits(_ node: ConfigurationNode) -> EdgeLimits? {
        let keys =
            [
                "connections", "hello-bytes", "hello-timeout", "handshake-timeout", "idle", "request-head-bytes",
                "minimum-rate", "minimum-rate-window",
            ] + ClientLimitsReader.keys
        guard let reader = MappingReader(node, noun: "limits", keys: keys, report: self.report) else { return nil }
        let values = self.values
        var limits = EdgeLimits()
        if let value = reader.optional("connections", { values.integer($0, in: SettingsRanges.edgeConnections) }) {
            limits.connections = value
        }
        if let value = reader.optional("hello-bytes", { values.size($0, in: SettingsRanges.helloBytes) }) {
            limits.helloBytes = value
        }
        if let value = reader.optional("hello-timeout", { values.time($0, in: SettingsRanges.helloTimeout) }) {
            limits.helloTimeout = value
        }
        if let value = reader.optional(
            "handshake-timeout", { values.time($0, in: SettingsRanges.handshakeTimeout) })
        {
            limits.handshakeTimeout = value
        }
        if let value = reader.optional("idle", { values.time($0, in: SettingsRanges.keepAliveIdle) }) {
            limits.idle = value
        }
        if let value = reader.optional("request-head-bytes", { values.size($0, in: SettingsRanges.requestHeadBytes) }) {
            limits.requestHeadBytes = value
        }
        if let value = reader.optional("minimum-rate", { values.size($0, in: SettingsRanges.minimumRate) }) {
            limits.minimumRate = value
        }
        if let value = reader.optional(
            "minimum-rate-window", { values.time($0, in: SettingsRanges.minimumRateWindow) })
        {
            limits.minimumRateWindow = value
        }
        ClientLimitsReader(report: self.report).read(reader, into: &limits)
        return limits
    }

    private func checkListeners(
        _ listen: [SocketEndpoint], plain: [SocketEndpoint], admin: SocketEndpoint?, reader: MappingReader
    ) {
        for endpoint in plain where endpoint.port != 0 && (listen.contains(endpoint) || endpoint == admin) {
            self.report.error(
                at: reader.valuePosition(of: "listen-http"),
                "\(endpoint) is also \(endpoint == admin ? "the admin port" : "a TLS listener")",
                remedy: "Use another port; HTTP's own is 80.")
        }
        guard let admin, admin.port != 0, listen.contains(admin) else { return }
        self.report.error(
            at: reader.valuePosition(of: "admin"), "\(admin) is also a TLS listener", remedy: "Use another port.")
    }

    private func checkKeyHolderListeners(
        _ listen: [SocketEndpoint], _ keyHolders: [EdgeSettings.KeyHolderEntry], others: [SocketEndpoint],
        reader: MappingReader
    ) {
        for endpoint in listen where endpoint.port != 0 && others.contains(endpoint) {
            self.report.error(
                at: reader.valuePosition(of: "listen-keyholders"), "\(endpoint) is another listener of this edge",
                remedy: "Use another port; key holders connect to one of their own.")
        }
        let expected = keyHolders.first { !$0.dialledBy.isEmpty }
        if !listen.isEmpty, expected == nil, !self.report.hasErrors {
            self.report.error(
                at: reader.position(of: "listen-keyholders"), "no key holder is expected there",
                remedy: "Write dialled-by: [NAME] in an entry of keyholders, or remove it.")
        }
        if !reader.has("listen-keyholders"), let expected {
            self.report.error(
                at: SourcePosition(line: expected.location.line, column: expected.location.column),
                "the key holder \"\(expected.name)\" connects to this edge, which has no listener for that",
                remedy: "Write listen-keyholders: [0.0.0.0:4435].")
        }
    }

    /// The site, with the edge's bound on bodies where it has none of its own.
    private func bounded(_ located: LocatedSite, cache: EdgeCacheConfiguration) -> Site {
        var site = located.site
        let bound = Int64(cache.maximumObjectBytes)
        site.mode.changeTermination { termination in
            guard let own = termination.cache?.policy.defaults.maximumObjectBytes else { return }
            if own > bound, own != .max {
                self.report.error(
                    at: SourcePosition(line: located.place.site.line, column: located.place.site.column),
                    "this site's \"object\" is larger than the edge's, which is \(bound) bytes",
                    remedy: "Make \"object\" in \"cache\" at the top larger.")
            }
            termination.cache?.policy.defaults.maximumObjectBytes = min(own, bound)
        }
        return site
    }

    private func checkUse(of keyHolders: [EdgeSettings.KeyHolderEntry], sites: [Site]) {
        let used = Set(sites.compactMap { $0.mode.termination?.keyHolder })
        for entry in keyHolders where !used.contains(entry.name) && !self.report.hasErrors {
            self.report.warning(
                at: SourcePosition(line: entry.location.line, column: entry.location.column),
                "no site uses the key holder \"\(entry.name)\"", remedy: "Name it in a site, or remove it.")
        }
    }

    private func checkLoops(_ sites: [LocatedSite], listen: [SocketEndpoint]) {
        for (site, place) in sites {
            let target: SocketEndpoint? =
                switch site.mode {
                case .keyless(let termination), .handoff(let termination): SocketEndpoint(termination.origin)
                case .relay(let relay): SocketEndpoint(relay.origin)
                }
            guard let target, listen.contains(target) else { continue }
            self.report.error(
                at: SourcePosition(line: place.origin.line, column: place.origin.column),
                "the origin \(target) is this edge's own listener", remedy: "Name the address of the origin server.")
        }
    }
}
