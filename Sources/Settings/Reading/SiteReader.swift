internal import Admission
internal import EdgeModel
internal import NIOCore
internal import TLSWire

/// Reads one site of an edge.
struct SiteReader {
    private enum ModeWord: String, CaseIterable {
        case handoff, keyless, relay

        static let advice = "Write mode: handoff, mode: keyless or mode: relay."
    }

    private static let webKeys = [
        "url", "name", "roots", "connect", "response", "idle", "lifetime", "share-per-client",
        "rewrite-location",
    ]
    private static let relayKeys = [
        "address", "resolve", "ports", "allow-private", "http", "proxy-protocol", "connect", "idle", "lifetime",
    ]

    let report: DiagnosticCollector
    let files: FileChecks
    let keyHolderNames: [String]
    /// Those of them that take native connections.
    let nativeNames: [String]

    private var values: ValueReaders { ValueReaders(report: self.report) }

    /// nil only where errors were reported.
    func read(
        _ node: ConfigurationNode, domains register: inout DomainRegister
    ) -> (site: Site, place: EdgeSettings.SitePlace)? {
        let keys =
            ["domains", "mode", "keyholder", "origin", "cache", "http2", "tls", "native", "connections"]
            + ResponseFieldsReader.keys
        let misplaced: [String: MappingReader.Misplaced] = [
            "domain": .init(
                message: "unknown key \"domain\" in a site",
                remedy: "Did you mean \"domains\"? It takes one domain or a list."),
            "certificate": Self.noKeyFiles("certificate"),
            "key": Self.noKeyFiles("key"),
        ]
        guard let reader = MappingReader(node, noun: "a site", keys: keys, misplaced: misplaced, report: self.report)
        else { return nil }

        var taken = register
        let domains =
            reader.required("domains", remedy: "Write domains: [www.example.com].") { node in
                self.values.list(node, of: "domain") { item -> ServerNamePattern? in
                    guard let pattern = self.values.pattern(item) else { return nil }
                    taken.take(pattern, at: item.position, report: self.report)
                    return pattern
                }
            } ?? []
        register = taken

        let word = reader.required("mode", remedy: ModeWord.advice) { self.mode($0) }
        let cache = self.cache(reader, isRelay: word == .relay)
        let http2 = self.http2(reader, isRelay: word == .relay)
        let tls = self.tls(reader, mode: word)
        let fields = ResponseFieldsReader(report: self.report).read(reader)
        for key in ResponseFieldsReader.keys where word == .relay && reader.has(key) {
            self.report.error(
                at: reader.position(of: key), "a relay site's answers are unreadable here",
                remedy: "Remove \"\(key)\", or use mode: handoff or mode: keyless.")
        }
        var found: (SiteMode, SourceLocation)?
        switch word {
        case .keyless, .handoff:
            found = self.terminated(reader, word == .keyless ? "keyless" : "handoff").map { termination, place in
                var termination = termination
                termination.cache = cache
                termination.http2 = http2
                termination.responseFields = fields
                if let version = tls.minimumVersion { termination.minimumTLSVersion = version.number }
                if let lifetime = tls.ticketLifetime { termination.ticketLifetime = lifetime }
                if let groups = tls.groups { termination.groups = groups }
                termination.ocspResponses = tls.ocsp
                return (word == .keyless ? SiteMode.keyless(termination) : .handoff(termination), place)
            }
        case .relay: found = self.relay(reader).map { (SiteMode.relay($0), $1) }
        case nil: break
        }
        let native = self.native(reader)
        let connections = reader.optional("connections") { ClientLimitsReader(report: self.report).bound($0) }
        guard let (mode, origin) = found else { return nil }
        var site = Site(domains: domains, mode: mode, native: native)
        site.connections = connections
        return (site, EdgeSettings.SitePlace(site: self.report.location(reader.position), origin: origin))
    }

    /// `native: NAME`, or `false`; by default the site's own key holder, where it takes native connections.
    private func native(_ reader: MappingReader) -> String? {
        guard reader.has("native") else {
            guard case .scalar(let name, _)? = reader.node("keyholder")?.kind else { return nil }
            return self.nativeNames.contains(name) ? name : nil
        }
        return reader.optional("native") { node in
            if case .scalar("false", plain: true) = node.kind { return nil }
            guard let name = self.keyHolderName(node) else { return nil }
            if !self.nativeNames.contains(name) {
                self.report.error(
                    at: node.position, "the key holder \"\(name)\" has no addresses for native connections",
                    remedy: "Add \"native\" with its addresses to the key holder's entry.")
            }
            return name
        }
    }

    /// nil: nothing is stored.
    private func cache(_ reader: MappingReader, isRelay: Bool) -> SiteCacheConfiguration? {
        let cache = reader.optional("cache") { SiteCacheReader(report: self.report).read($0) }
        guard isRelay else { return cache ?? SiteCacheReader.defaults }
        let isOff = cache.map { $0 == nil } ?? false
        if reader.has("cache"), !isOff {
            self.report.error(
                at: reader.position(of: "cache"), "a relay site's traffic is unreadable here, so nothing can be stored",
                remedy: "Remove \"cache\", or use mode: handoff or mode: keyless.")
        }
        return nil
    }

    private func http2(_ reader: MappingReader, isRelay: Bool) -> Bool {
        let http2 = reader.optional("http2") { self.values.boolean($0) }
        if isRelay, reader.has("http2") {
            self.report.error(
                at: reader.position(of: "http2"), "a relay site's protocols are between the client and the origin",
                remedy: "Remove \"http2\", or use mode: handoff or mode: keyless.")
        }
        return http2 ?? true
    }

    /// What a site says of the TLS that its clients get.
    private struct TLS {
        var minimumVersion: MinimumTLSVersion?
        var ticketLifetime: TimeAmount?
        var groups: [UInt16]?
        var ocsp: [String] = []
    }

    private func tls(_ reader: MappingReader, mode: ModeWord?) -> TLS {
        if mode == .relay, reader.has("tls") {
            self.report.error(
                at: reader.position(of: "tls"), "a relay site's TLS is between the client and the origin",
                remedy: "Remove \"tls\", or use mode: handoff or mode: keyless.")
        }
        return reader.optional("tls") { self.tls($0, mode: mode) } ?? TLS()
    }

    private func tls(_ node: ConfigurationNode, mode: ModeWord?) -> TLS? {
        let misplaced: [String: MappingReader.Misplaced] = [
            "rsa-key-exchange": .init(
                message: "\"rsa-key-exchange\" belongs to the sites of a key holder's file",
                remedy: "The key holder decides how it shakes hands."),
            "maximum-version": .init(
                message:
                    "\"maximum-version\" is nothing that an edge chooses: it speaks TLS 1.3, and the key holder all else",
                remedy: "Remove it."),
            "cipher-suites": .init(
                message: "\"cipher-suites\" is nothing that an edge chooses: TLS 1.3 has three, all of them strong, "
                    + "and those of TLS 1.2 are the key holder's",
                remedy: "Remove it."),
        ]
        guard
            let reader = MappingReader(
                node, noun: "tls", keys: ["minimum-version", "groups", "session-tickets", "ticket-lifetime", "ocsp"],
                misplaced: misplaced,
                report: self.report)
        else { return nil }
        let version = reader.optional("minimum-version") { self.values.word($0, as: MinimumTLSVersion.self) }
        let lifetime = reader.optional("ticket-lifetime") { self.values.time($0, in: SettingsRanges.ticketLifetime) }
        for key in ["ticket-lifetime", "session-tickets"] where mode == .handoff && reader.has(key) {
            self.report.error(
                at: reader.position(of: key), "a handoff site's tickets are the key holder's",
                remedy: "Remove \"\(key)\": each resumption asks the key holder.")
        }
        let tickets = reader.optional("session-tickets") { self.values.boolean($0) } ?? true
        if !tickets, let lifetime, lifetime > .zero {
            self.report.error(
                at: reader.position(of: "ticket-lifetime"), "without session tickets none has a lifetime",
                remedy: "Remove \"ticket-lifetime\", or write session-tickets: true.")
        }
        return TLS(
            minimumVersion: version, ticketLifetime: tickets ? lifetime : .zero,
            groups: self.groups(reader, mode: mode), ocsp: self.ocsp(reader, mode: mode))
    }

    private func ocsp(_ reader: MappingReader, mode: ModeWord?) -> [String] {
        if mode == .handoff, reader.has("ocsp") {
            self.report.error(
                at: reader.position(of: "ocsp"), "a handoff site's certificate is shown by the key holder",
                remedy: "Write \"ocsp\" in the key holder's file.")
        }
        return reader.optional("ocsp") { OCSPFileReader(values: self.values, files: self.files).read($0) } ?? []
    }

    private func groups(_ reader: MappingReader, mode: ModeWord?) -> [UInt16]? {
        guard reader.has("groups") else { return nil }
        if mode == .handoff {
            self.report.error(
                at: reader.position(of: "groups"), "a handoff site's key exchange is the key holder's",
                remedy: "Remove \"groups\".")
        }
        return reader.optional("groups") { node in
            var seen: Set<UInt16> = []
            return self.values.list(node, of: "group") { item -> UInt16? in
                guard let group = self.values.word(item, as: KeyExchangeGroup.self) else { return nil }
                guard seen.insert(group.number).inserted else {
                    self.report.error(
                        at: item.position, "\(group.rawValue) is there twice", remedy: "Write each group once.")
                    return nil
                }
                return group.number
            }
        }
    }

    private static func noKeyFiles(_ key: String) -> MappingReader.Misplaced {
        .init(
            message: "unknown key \"\(key)\" in a site: an edge has no site's certificate or key",
            remedy: "They belong to the key holder's file.")
    }

    private func mode(_ node: ConfigurationNode) -> ModeWord? {
        guard let text = self.values.text(node, "handoff, keyless or relay") else { return nil }
        guard let word = ModeWord(rawValue: text) else {
            self.report.error(
                at: node.position, "\"\(text)\" is not a mode",
                remedy: NearestName.advice(text, among: ModeWord.allCases.map(\.rawValue), noun: "Modes"))
            return nil
        }
        return word
    }

    /// What keyless and handoff sites have in common: all but the word.
    private func terminated(_ reader: MappingReader, _ word: String) -> (TerminationConfiguration, SourceLocation)? {
        let keyHolder = reader.required("keyholder", remedy: "A \(word) site names one of \"keyholders\".") { node in
            self.keyHolderName(node)
        }
        let origin = reader.required("origin", remedy: "Write origin: with url: http://HOST:PORT below it.") { node in
            self.webOrigin(node, word)
        }
        guard let keyHolder, let (configuration, place) = origin else { return nil }
        return (TerminationConfiguration(keyHolder: keyHolder, origin: configuration), place)
    }

    private func keyHolderName(_ node: ConfigurationNode) -> String? {
        guard let name = self.values.text(node, "a key holder's name") else { return nil }
        guard self.keyHolderNames.contains(name) else {
            let remedy =
                self.keyHolderNames.isEmpty
                ? "Define it under \"keyholders\"."
                : NearestName.advice(name, among: self.keyHolderNames, noun: "Key holders here")
            self.report.error(at: node.position, "no key holder \"\(name)\" is defined in this file", remedy: remedy)
            return nil
        }
        return name
    }

    private func webOrigin(_ node: ConfigurationNode, _ word: String) -> (OriginConfiguration, SourceLocation)? {
        var misplaced: [String: MappingReader.Misplaced] = [:]
        for key in Self.relayKeys where !Self.webKeys.contains(key) {
            let remedy =
                key == "address"
                ? "Write url: http://HOST:PORT, or use mode: relay." : "Remove it, or use mode: relay."
            misplaced[key] = .init(
                message: "\"\(key)\" belongs to relay sites, and this site is \(word)", remedy: remedy)
        }
        let values = self.values
        guard
            let reader = MappingReader(
                node, noun: "a \(word) site's origin", keys: Self.webKeys, misplaced: misplaced, report: self.report)
        else { return nil }
        let url = reader.required("url", remedy: "Write url: http://HOST:PORT or https://HOST.") {
            values.originURL($0)
        }
        let name = reader.optional("name") { values.serverName($0) }
        let roots = reader.optional("roots") { self.files.readable($0, values) }
        let connect = reader.optional("connect") { values.time($0, in: SettingsRanges.connect) }
        let response = reader.optional("response") { values.time($0, in: SettingsRanges.response) }
        let idle = reader.optional("idle") { values.time($0, in: SettingsRanges.originIdle) }
        let lifetime = reader.optional("lifetime") { values.time($0, in: SettingsRanges.lifetime) }
        let share = reader.optional("share-per-client") { values.percentage($0, in: SettingsRanges.sharePerClient) }
        let rewritesLocation = reader.optional("rewrite-location") { values.boolean($0) }
        guard var origin = url else { return nil }
        if origin.scheme == .http {
            for key in ["name", "roots"] where reader.has(key) {
                self.report.error(
                    at: reader.position(of: key), "\"\(key)\" is about TLS, and the origin's URL is http://",
                    remedy: "Use https://, or remove it.")
            }
        }
        origin.tlsName = name?.rawValue
        if let roots { origin.trustRoots = .file(roots) }
        if let connect { origin.connectTimeout = connect }
        if let response { origin.responseTimeout = response }
        if let idle { origin.idleTimeout = idle }
        if let lifetime { origin.maximumConnectionAge = lifetime }
        if let share { origin.clientShare = share }
        if let rewritesLocation { origin.rewritesLocation = rewritesLocation }
        return (origin, self.report.location(reader.position))
    }

    private func relay(_ reader: MappingReader) -> (RelayConfiguration, SourceLocation)? {
        if reader.has("keyholder") {
            self.report.error(
                at: reader.position(of: "keyholder"), "a relay site uses no key holder",
                remedy: "Remove \"keyholder\", or use mode: handoff or mode: keyless.")
        }
        return reader.required("origin", remedy: "Write origin: with address: HOST:PORT below it.") { node in
            self.relayOrigin(node)
        }
    }

    private func relayOrigin(_ node: ConfigurationNode) -> (RelayConfiguration, SourceLocation)? {
        // `origin: resolve` is short for a mapping with `resolve: true`.
        if case .scalar("resolve", _) = node.kind {
            let relay = RelayConfiguration(origin: .resolve(ports: [443], allowPrivate: false))
            return (relay, self.report.location(node.position))
        }
        var misplaced: [String: MappingReader.Misplaced] = [:]
        for key in Self.webKeys where !Self.relayKeys.contains(key) {
            let remedy =
                key == "url"
                ? "Write address: HOST:PORT, or use mode: handoff or mode: keyless."
                : "Remove it, or use mode: handoff or mode: keyless."
            misplaced[key] = .init(
                message: "\"\(key)\" belongs to handoff and keyless sites, and this site is a relay", remedy: remedy)
        }
        guard
            let reader = MappingReader(
                node, noun: "a relay site's origin", keys: Self.relayKeys, misplaced: misplaced, report: self.report)
        else { return nil }
        let values = self.values
        let destination = self.destination(reader)
        let http = reader.optional("http") { values.endpoint($0, allowPortZero: false) }
        let proxy = reader.optional("proxy-protocol") { values.word($0, as: ProxyProtocolVersion.self) }
        let connect = reader.optional("connect") { values.time($0, in: SettingsRanges.connect) }
        let idle = reader.optional("idle") { values.time($0, in: SettingsRanges.relayIdle) }
        let lifetime = reader.optional("lifetime") { values.time($0, in: SettingsRanges.lifetime) }
        guard let destination else { return nil }
        var relay = RelayConfiguration(origin: destination)
        relay.http = http.map { PlainOrigin(host: $0.host, port: $0.port) }
        if let proxy { relay.proxyProtocol = proxy }
        if let connect { relay.connectTimeout = connect }
        if let idle { relay.idleTimeout = idle }
        if let lifetime { relay.lifetime = lifetime }
        return (relay, self.report.location(reader.position))
    }

    private func destination(_ reader: MappingReader) -> RelayOrigin? {
        let values = self.values
        let address = reader.optional("address") { values.endpoint($0, allowPortZero: false) }
        let resolve = reader.optional("resolve") { values.boolean($0) }
        let ports = reader.optional("ports") { node in
            values.list(node, of: "port") { values.integer($0, in: 1...65535) }
        }
        let allowPrivate = reader.optional("allow-private") { values.boolean($0) }
        if resolve == true {
            if reader.has("address") {
                self.report.error(
                    at: reader.position(of: "resolve"), "\"address\" and \"resolve: true\" exclude each other",
                    remedy: "Keep one of them.")
            }
            return .resolve(ports: (ports ?? [443]).map { UInt16($0) }, allowPrivate: allowPrivate ?? false)
        }
        for key in ["ports", "allow-private"] where reader.has(key) && (reader.has("address") || resolve == false) {
            self.report.error(
                at: reader.position(of: key), "\"\(key)\" has no meaning without \"resolve: true\"",
                remedy: "Remove it, or let the origin be resolved.")
        }
        if !reader.has("address"), resolve == false || !reader.has("resolve") {
            self.report.error(
                at: reader.position, "a relay site's origin needs \"address\" or \"resolve: true\"",
                remedy: "Write address: HOST:PORT.")
        }
        return address.map { .fixed(host: $0.host, port: UInt16($0.port)) }
    }
}
