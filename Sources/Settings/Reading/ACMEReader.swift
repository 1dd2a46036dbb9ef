internal import ACME

/// Reads a site's `acme`.
struct ACMEReader {
    static let keys = [
        "directory", "keys", "email", "eab", "challenge", "hook", "hook-timeout", "roots", "renew-after",
    ]

    let report: DiagnosticCollector
    let files: FileChecks

    private var values: ValueReaders { ValueReaders(report: self.report) }

    func read(_ node: ConfigurationNode) -> KeyHolderSettings.ACME? {
        guard let reader = MappingReader(node, noun: "acme", keys: Self.keys, report: self.report) else { return nil }
        let values = self.values
        let directory = reader.required(
            "directory", remedy: "Write directory: https://acme-v02.api.letsencrypt.org/directory."
        ) { self.directory($0) }
        let keys = reader.optional("keys") { self.kinds($0) }
        let email = reader.optional("email") { self.email($0) }
        let binding = reader.optional("eab") { self.binding($0) }
        let challenge = reader.optional("challenge") { values.word($0, as: ChallengeKind.self) } ?? .tlsALPN01
        let hook = reader.optional("hook") { self.hook($0) }
        let timeout = reader.optional("hook-timeout") { values.duration($0, in: SettingsRanges.hookTimeout) }
        let roots = reader.optional("roots") { self.files.readable($0, values) }
        let renewAfter = reader.optional("renew-after") { values.percentage($0, in: SettingsRanges.renewAfter) }
        if challenge == .dns01, !reader.has("hook") {
            self.report.error(
                at: reader.position(of: "challenge"), "dns-01 needs a program that changes the zone",
                remedy: "Write hook: [/PATH/TO/PROGRAM]; docs/acme.md says what it gets.")
        }
        if challenge != .dns01, reader.has("hook") {
            self.report.error(
                at: reader.position(of: "hook"), "\"hook\" is for dns-01",
                remedy: "Write challenge: dns-01, or remove it.")
        }
        if reader.has("hook-timeout"), !reader.has("hook") {
            self.report.error(
                at: reader.position(of: "hook-timeout"), "\"hook-timeout\" is for a hook", remedy: "Remove it.")
        }
        guard let directory else { return nil }
        return KeyHolderSettings.ACME(
            directory: directory, keys: keys ?? [.ecdsa], email: email, externalAccount: binding, challenge: challenge,
            hook: hook ?? [],
            hookTimeout: timeout ?? SettingsRanges.defaultHookTimeout, roots: roots,
            renewAfter: renewAfter ?? SettingsRanges.defaultRenewAfter)
    }

    private func directory(_ node: ConfigurationNode) -> String? {
        guard let text = self.values.text(node, "a URL") else { return nil }
        guard HTTPSURL(text) != nil else {
            self.report.error(
                at: node.position, "\"\(text)\" is not the URL of an ACME directory",
                remedy: "It begins with https://, as in https://acme-v02.api.letsencrypt.org/directory.")
            return nil
        }
        return text
    }

    /// At least one, each once.
    private func kinds(_ node: ConfigurationNode) -> [SiteKeyKind]? {
        var seen: Set<SiteKeyKind> = []
        let kinds = self.values.list(node, of: "kind of key") { item -> SiteKeyKind? in
            guard let kind = self.values.word(item, as: SiteKeyKind.self) else { return nil }
            guard seen.insert(kind).inserted else {
                self.report.error(
                    at: item.position, "\(kind.rawValue) stands twice in the list", remedy: "Keep one of them.")
                return nil
            }
            return kind
        }
        return kinds.isEmpty ? nil : kinds
    }

    private func email(_ node: ConfigurationNode) -> String? {
        guard let text = self.values.text(node, "an e-mail address") else { return nil }
        let parts = text.split(separator: "@", omittingEmptySubsequences: false)
        guard parts.count == 2, parts.allSatisfy({ !$0.isEmpty }), text.utf8.count <= 254,
            text.utf8.allSatisfy({ (0x21...0x7E).contains($0) && !"?,;<>\"".utf8.contains($0) })
        else {
            self.report.error(
                at: node.position, "\"\(text)\" is not an e-mail address",
                remedy: "Write one, without mailto: before it.")
            return nil
        }
        return text
    }

    private func binding(_ node: ConfigurationNode) -> KeyHolderSettings.ACME.ExternalAccount? {
        guard let reader = MappingReader(node, noun: "eab", keys: ["kid", "key"], report: self.report) else {
            return nil
        }
        let values = self.values
        let kid = reader.required("kid", remedy: "Write the key identifier that the authority gave you.") {
            values.text($0)
        }
        let key = reader.required("key", remedy: "Write the path of a file with the MAC key in it.") {
            self.files.secret($0, values)
        }
        guard let kid, let key else { return nil }
        return KeyHolderSettings.ACME.ExternalAccount(kid: kid, key: key)
    }

    /// A program's path, or that and arguments.
    private func hook(_ node: ConfigurationNode) -> [String]? {
        let values = self.values
        var words = values.list(node, of: "word") { values.text($0) }
        guard let program = words.first else { return nil }
        words[0] = self.files.resolve(program)
        if let problem = self.files.problemRunning(words[0]) {
            self.report.error(
                at: node.position, "cannot run \"\(words[0])\": \(problem)",
                remedy: "Paths are relative to the configuration file; the program must be executable.")
            return nil
        }
        return words
    }
}
