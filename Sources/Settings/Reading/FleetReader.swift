internal import FleetBus
internal import TLSWire

/// Reads `fleet`, and files of `role: fleet`.
struct FleetReader {
    static let keys = [
        "name", "redis", "user", "password", "roots", "tls-name", "sentinel", "signers", "signing-key", "edges",
        "stream-length", "catch-up",
    ]
    static let rootKeys = ["role", "fleet", "authority"]

    let report: DiagnosticCollector
    let files: FileChecks

    private var values: ValueReaders { ValueReaders(report: self.report) }

    /// A file of `role: fleet`; nil only where errors were reported.
    func read(_ root: ConfigurationNode) -> FleetCommandSettings? {
        guard
            let reader = MappingReader(root, noun: "a fleet's file", keys: Self.rootKeys, report: self.report)
        else { return nil }
        let fleet = reader.required("fleet", remedy: "Write fleet: {name: …, redis: [rediss://HOST:PORT]}.") {
            self.fleet($0, ofEdge: false)
        }
        let authority = reader.required("authority", remedy: "It is the authority.pem of `latchstring certs`.") {
            self.files.readable($0, self.values)
        }
        guard let fleet, let authority, !self.report.hasErrors else { return nil }
        return FleetCommandSettings(fleet: fleet, authority: authority)
    }

    /// - Parameter isEdge: whether an edge is to follow it, which needs to know whom to believe.
    func fleet(_ node: ConfigurationNode, ofEdge isEdge: Bool) -> FleetSettings? {
        guard let reader = MappingReader(node, noun: "fleet", keys: Self.keys, report: self.report) else { return nil }
        let values = self.values
        let name = reader.required("name", remedy: "Write name: NAME, the same at every edge.") {
            values.identityName($0)
        }
        let redis = reader.required("redis", remedy: "Write redis: [rediss://HOST:6380].") { node in
            values.list(node, of: "URL") { self.address($0) }
        }
        let login = self.login(reader)
        let roots = reader.optional("roots") { self.files.readable($0, values) }
        let tlsName = reader.optional("tls-name") { values.serverName($0)?.rawValue }
        let sentinel = reader.optional("sentinel") { self.sentinel($0) }
        let signers =
            reader.optional("signers") { node -> [FleetSettings.Signer]? in
                guard case .list = node.kind else {
                    values.wrongType(node, wanted: "a list of signers (`- { name: …, key: …, may: … }`)")
                    return nil
                }
                return values.list(node, of: "signer") { self.signer($0) }
            } ?? []
        let signingKey = reader.optional("signing-key") { self.files.secret($0, values) }
        let edges = reader.optional("edges") { node in values.list(node, of: "edge") { values.identityName($0) } } ?? []
        let streamLength = reader.optional("stream-length") { values.integer($0, in: SettingsRanges.fleetStream) }
        let catchUp = reader.optional("catch-up") { values.duration($0, in: SettingsRanges.fleetCatchUp) }

        if isEdge, !reader.has("signers") {
            self.report.error(
                at: reader.position, "this edge is told no \"signers\", and would do no purge",
                remedy:
                    "List the keys whose purges it does: `latchstring fleet key --out FILE` makes one and prints it.")
        }
        self.checkSigners(signers, reader)
        self.checkTransport(redis ?? [], login: login, reader)
        guard let name, let redis, !redis.isEmpty else { return nil }
        var settings = FleetSettings(
            location: self.report.location(reader.position), name: name, redis: redis, login: login, roots: roots,
            tlsName: tlsName, sentinel: sentinel)
        settings.signers = signers
        settings.signingKey = signingKey
        if signingKey != nil {
            settings.signingKeyLocation = self.report.location(reader.valuePosition(of: "signing-key"))
        }
        settings.edges = edges
        settings.streamLength = streamLength ?? settings.streamLength
        settings.catchUp = catchUp ?? settings.catchUp
        return settings
    }

    private func address(_ node: ConfigurationNode) -> FleetSettings.Address? {
        let wanted = "a URL such as rediss://bus.example.net:6380"
        guard let text = self.values.text(node, wanted) else { return nil }
        let usesTLS: Bool
        var rest: Substring
        if text.hasPrefix("rediss://") {
            usesTLS = true
            rest = text.dropFirst(9)
        } else if text.hasPrefix("redis://") {
            usesTLS = false
            rest = text.dropFirst(8)
        } else {
            self.report.error(
                at: node.position, "\"\(text)\" is no rediss:// or redis:// URL", remedy: "Write \(wanted).")
            return nil
        }
        if rest.hasSuffix("/") { rest.removeLast() }
        guard !rest.contains("@") else {
            self.report.error(
                at: node.position, "user and password don't stand in the URL",
                remedy: "Write user: NAME and password: FILE, so that the password is in a file of its own.")
            return nil
        }
        guard !rest.contains(where: { "/?#".contains($0) }) else {
            self.report.error(
                at: node.position, "the URL of a bus has scheme, host and port, and nothing else",
                remedy: "A fleet's keys begin with latchstring:{NAME}, and share a database with others.")
            return nil
        }
        let hasPort = rest.hasPrefix("[") ? !rest.hasSuffix("]") : rest.contains(":")
        do {
            let endpoint = try SocketEndpoint.parse(hasPort ? String(rest) : "\(rest):6379", allowPortZero: false)
            return FleetSettings.Address(
                endpoint: endpoint, usesTLS: usesTLS, location: self.report.location(node.position))
        } catch {
            self.report.error(at: node.position, error.message, remedy: error.remedy)
            return nil
        }
    }

    private func login(_ reader: MappingReader) -> FleetSettings.Login? {
        let user = reader.optional("user") { self.values.text($0, "a user's name") }
        let password = reader.optional("password") { self.files.secret($0, self.values) }
        if reader.has("user"), !reader.has("password") {
            self.report.error(
                at: reader.position(of: "user"), "a user needs a password", remedy: "Write password: FILE.")
        }
        return password.map {
            FleetSettings.Login(
                user: user ?? "default", password: $0,
                location: self.report.location(reader.valuePosition(of: "password")))
        }
    }

    private func sentinel(_ node: ConfigurationNode) -> FleetSettings.Sentinel? {
        guard
            let reader = MappingReader(
                node, noun: "sentinel", keys: ["primary", "user", "password"], report: self.report)
        else { return nil }
        let primary = reader.required("primary", remedy: "Write primary: NAME, as in `sentinel monitor NAME`.") {
            self.values.text($0, "a name")
        }
        let login = self.login(reader)
        return primary.map { FleetSettings.Sentinel(primary: $0, login: login) }
    }

    private func signer(_ node: ConfigurationNode) -> FleetSettings.Signer? {
        guard
            let reader = MappingReader(node, noun: "a signer", keys: ["name", "key", "may"], report: self.report)
        else { return nil }
        let name = reader.required("name") { self.values.identityName($0) }
        let key = reader.required("key", remedy: "`latchstring fleet key --out FILE` prints it.") {
            node -> SignerKey? in
            guard let text = self.values.text(node, "a public key: 64 hexadecimal digits") else { return nil }
            guard let key = SignerKey(hex: text) else {
                self.report.error(
                    at: node.position, "this is no public key",
                    remedy: "Write the 64 hexadecimal digits that `latchstring fleet key` prints.")
                return nil
            }
            return key
        }
        guard reader.has("may") else {
            self.report.error(
                at: reader.position, "a signer needs the key \"may\"",
                remedy: "Write may: everything, or may: {hosts: [www.example.test], tags: [\"product-*\"]}.")
            return nil
        }
        let may: FleetSettings.Rights?? = reader.optional("may") { self.rights($0) }
        guard let name, let key, let may else { return nil }
        return FleetSettings.Signer(name: name, key: key, may: may)
    }

    /// nil: an error was reported.
    private func rights(_ node: ConfigurationNode) -> FleetSettings.Rights?? {
        if case .scalar(let text, _) = node.kind {
            if text == "everything" { return .some(nil) }
            self.report.error(
                at: node.position, "\"\(text)\" is not known here",
                remedy: "Write everything, or {hosts: [www.example.test], tags: [\"product-*\"]}.")
            return nil
        }
        guard let reader = MappingReader(node, noun: "may", keys: ["hosts", "tags"], report: self.report) else {
            return nil
        }
        let hosts =
            reader.optional("hosts") { node in
                self.values.list(node, of: "host") { self.values.pattern($0)?.description.lowercased() }
            } ?? []
        let tags = reader.optional("tags") { node in self.values.list(node, of: "tag") { self.values.text($0) } } ?? []
        guard reader.has("hosts") || reader.has("tags") else {
            self.report.error(
                at: reader.position, "this signer may purge nothing", remedy: "Write hosts: […] or tags: […].")
            return nil
        }
        return .some(FleetSettings.Rights(hosts: hosts, tags: tags))
    }

    private func checkSigners(_ signers: [FleetSettings.Signer], _ reader: MappingReader) {
        for (index, signer) in signers.enumerated() {
            let before = signers[..<index]
            if before.contains(where: { $0.name == signer.name || $0.key == signer.key }) {
                self.report.error(
                    at: reader.valuePosition(of: "signers"),
                    "the signer \"\(signer.name)\" or its key stands there twice",
                    remedy: "Each signer has a name and a key of its own.")
            }
        }
    }

    private func checkTransport(
        _ redis: [FleetSettings.Address], login: FleetSettings.Login?, _ reader: MappingReader
    ) {
        guard let open = redis.first(where: { !$0.usesTLS && !$0.endpoint.isLoopback }) else { return }
        self.report.warning(
            at: reader.valuePosition(of: "redis"),
            "the way to \(open.endpoint) is not encrypted\(login == nil ? "" : ", and the password is sent in the clear")",
            remedy: "Use rediss://, or a tunnel on this machine. Purges are signed all the same.")
    }
}
