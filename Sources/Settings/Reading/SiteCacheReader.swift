internal import EdgeModel
internal import HTTPCaching
internal import HTTPFields
internal import NIOCore

/// Reads `cache` of a site.
struct SiteCacheReader {
    static let keys = [
        "enabled", "share", "object", "default", "errors", "rules", "query", "set-cookie", "cookie-requests", "codings",
        "request-directives",
        "bypass-cookies", "bypass-fields", "unkeyed-fields", "stale-while-revalidate",
        "stale-if-error", "status",
    ]

    let report: DiagnosticCollector

    private var values: ValueReaders { ValueReaders(report: self.report) }

    /// Of a site that says nothing. Bodies may be as large as the edge stores them.
    static var defaults: SiteCacheConfiguration {
        var cache = SiteCacheConfiguration()
        cache.policy.defaults.maximumObjectBytes = .max
        return cache
    }

    /// `.some(nil)`: nothing is stored. nil only where errors were reported.
    func read(_ node: ConfigurationNode) -> SiteCacheConfiguration?? {
        if case .scalar(let text, plain: true) = node.kind, text == "true" || text == "false" {
            return .some(text == "true" ? Self.defaults : nil)
        }
        let misplaced: [String: MappingReader.Misplaced] = [
            "add-fields": Self.everyAnswer("add-fields"), "remove-fields": Self.everyAnswer("remove-fields"),
            "memory": Self.edges("memory"), "disk": Self.edges("disk"),
            "ttl": .init(
                message: "unknown key \"ttl\" in a site's cache",
                remedy: "Write \"default\" for responses that say nothing, or \"lifetime\" in a rule to overrule them."),
            "lifetime": .init(
                message: "\"lifetime\" overrules the origin, so it belongs to a rule",
                remedy: "Write rules: [{path: /static/*, lifetime: 1h}], or \"default\"."),
        ]
        guard
            let reader = MappingReader(
                node, noun: "a site's cache", keys: Self.keys, misplaced: misplaced, report: self.report)
        else { return nil }
        let values = self.values
        let isEnabled = reader.optional("enabled") { values.boolean($0) } ?? true
        var cache = Self.defaults
        if let share = reader.optional("share", { values.percentage($0, in: SettingsRanges.cacheShare) }) {
            cache.share = Double(share) / 100
        }
        if let status = reader.optional("status", { values.boolean($0) }) { cache.reportsStatus = status }
        cache.policy.paths = reader.optional("rules") { self.rules($0) } ?? []
        if let query = reader.optional("query", { self.query($0) }) { cache.policy.query = query }
        self.read(reader, into: &cache.policy.defaults)
        return .some(isEnabled ? cache : nil)
    }

    /// What holds for every path. What the site does not say stays as it is.
    private func read(_ reader: MappingReader, into rule: inout CacheRule) {
        let values = self.values
        if let bytes = reader.optional("object", { values.size($0, in: SettingsRanges.cacheObject) }) {
            rule.maximumObjectBytes = Int64(bytes)
        }
        rule.defaultLifetime = reader.optional("default") { self.lifetime($0) }
        if let lifetime = reader.optional("errors", { self.lifetime($0) }) {
            rule.negativeLifetimes = Dictionary(uniqueKeysWithValues: Self.errorStatuses.map { ($0, lifetime) })
        }
        if let value = reader.optional("set-cookie", { values.word($0, as: CacheRule.SetCookiePolicy.self) }) {
            rule.setCookie = value
        }
        if let value = reader.optional("cookie-requests", { values.word($0, as: CacheRule.CookieRequestPolicy.self) }) {
            rule.cookieRequests = value
        }
        if let codings = reader.optional("codings", { self.codings($0) }) { rule.codings = codings }
        if let value = reader.optional("request-directives", { values.word($0, as: CacheRule.RequestDirectives.self) })
        {
            rule.requestDirectives = value
        }
        rule.bypassCookies =
            reader.optional("bypass-cookies") { node in
                values.list(node, of: "cookie's name") { values.text($0, "a cookie's name").map { GlobPattern($0) } }
            } ?? []
        rule.bypassFields =
            reader.optional("bypass-fields") { node in
                values.list(node, of: "field name") {
                    ResponseFieldsReader(report: self.report).anyName($0).flatMap { FieldName($0) }
                }
            } ?? []
        if let names = reader.optional(
            "unkeyed-fields", { node in values.list(node, of: "field name") { self.unkeyedField($0) } })
        {
            rule.unkeyedFields = UnkeyedFields(allowing: names)
        }
        if let value = reader.optional("stale-while-revalidate", { self.lifetime($0) }) {
            rule.staleWhileRevalidate = value
        }
        if let value = reader.optional("stale-if-error", { self.lifetime($0) }) { rule.staleIfError = value }
    }

    /// Errors that `errors` is about: what isn't there, and the server's own. Not 400, 403, 405 or 414: they are often about
    /// something in one request that is no part of the key, and would be served to every client.
    private static let errorStatuses = [404, 410, 500, 501, 502, 503, 504]

    private static func edges(_ key: String) -> MappingReader.Misplaced {
        .init(
            message: "\"\(key)\" is the edge's: all its sites share the stores",
            remedy: "Write it in \"cache\" at the top; a site has a \"share\" of it.")
    }

    private static func everyAnswer(_ key: String) -> MappingReader.Misplaced {
        .init(
            message: "\"\(key)\" is about every answer of the site, stored or not",
            remedy: "Write it in the site itself, beside \"cache\".")
    }

    /// Milliseconds.
    private func lifetime(_ node: ConfigurationNode) -> Int64? {
        self.values.time(node, in: SettingsRanges.cacheLifetime).map { $0.nanoseconds / 1_000_000 }
    }

    // MARK: Rules

    private func rules(_ node: ConfigurationNode) -> [CachePolicy.PathRule] {
        guard case .list(let nodes) = node.kind else {
            self.values.wrongType(node, wanted: "a list of rules (`- path: …`)")
            return []
        }
        if nodes.count > SettingsRanges.cacheRules {
            self.report.error(
                at: node.position, "there are more than \(SettingsRanges.cacheRules) rules",
                remedy: "Every request goes through them; use wider patterns.")
        }
        var seen: Set<String> = []
        return self.values.list(node, of: "rule") { self.rule($0, seen: &seen) }
    }

    private func rule(_ node: ConfigurationNode, seen: inout Set<String>) -> CachePolicy.PathRule? {
        guard
            let reader = MappingReader(
                node, noun: "a rule", keys: ["path", "bypass", "lifetime", "default"], report: self.report)
        else { return nil }
        let path = reader.required("path", remedy: "Write path: /static/*.") { self.path($0) }
        let bypass = reader.optional("bypass") { self.values.boolean($0) }
        let lifetime = reader.optional("lifetime") { self.lifetime($0) }
        let fallback = reader.optional("default") { self.lifetime($0) }
        if !reader.has("bypass"), !reader.has("lifetime"), !reader.has("default") {
            self.report.error(
                at: reader.position, "the rule says nothing but a path",
                remedy: "Add \"bypass\", \"lifetime\" or \"default\".")
        }
        if bypass == true {
            for key in ["lifetime", "default"] where reader.has(key) {
                self.report.error(
                    at: reader.position(of: key), "\"\(key)\" has no meaning where nothing is stored",
                    remedy: "Remove it, or \"bypass\".")
            }
        }
        guard let path else { return nil }
        if !seen.insert(path).inserted {
            self.report.warning(
                at: reader.valuePosition(of: "path"), "another rule above has this path, and decides first",
                remedy: "Put what both say into one rule.")
        }
        return CachePolicy.PathRule(
            pattern: GlobPattern(path), bypass: bypass == true ? true : nil, defaultLifetime: fallback,
            overrideLifetime: lifetime)
    }

    private func path(_ node: ConfigurationNode) -> String? {
        guard let text = self.values.text(node, "a path such as /static/*") else { return nil }
        guard text.hasPrefix("/") || text.hasPrefix("*") else {
            self.report.error(
                at: node.position, "\"\(text)\" matches no path", remedy: "A pattern begins with / or *.")
            return nil
        }
        guard !text.contains("?") else {
            self.report.error(
                at: node.position, "a pattern is compared with the path, which ends before the \"?\"",
                remedy: "Leave the query out; \"*\" stands for any run of characters.")
            return nil
        }
        guard text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }), text.utf8.count <= 1024 else {
            self.report.error(
                at: node.position, "a path has visible ASCII characters only, at most 1024",
                remedy: "Write others percent-encoded, as requests do.")
            return nil
        }
        return text
    }

    // MARK: Query and fields

    /// `as-sent` (nil), or content codings (RFC 9110 §8.4.1).
    private func codings(_ node: ConfigurationNode) -> [String]?? {
        if case .scalar("as-sent", _) = node.kind { return .some(nil) }
        let names = self.values.list(node, of: "content coding") { node -> String? in
            guard let text = self.values.text(node, "a content coding such as gzip, or as-sent") else { return nil }
            let name = text.lowercased()
            guard name != "identity", !name.isEmpty, name.utf8.allSatisfy(Self.isCodingByte), name.utf8.count <= 32
            else {
                self.report.error(
                    at: node.position, "\"\(text)\" is no content coding that an origin could be offered",
                    remedy: "Name codings such as br, gzip and zstd, or write as-sent.")
                return nil
            }
            return name
        }
        if names.count > 8 {
            self.report.error(at: node.position, "there are more than 8 codings", remedy: "Name those that matter.")
        }
        return names
    }

    private static func isCodingByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"): true
        default: false
        }
    }

    private func query(_ node: ConfigurationNode) -> QueryRules? {
        var query = QueryRules()
        if case .scalar("ignore", _) = node.kind {
            query.parameters = .only([])
            return query
        }
        guard
            let reader = MappingReader(node, noun: "query", keys: ["ignore", "only", "sort"], report: self.report)
        else { return nil }
        let ignored = reader.optional("ignore") { node in
            self.values.list(node, of: "parameter") {
                self.values.text($0, "a parameter's name").map { GlobPattern($0) }
            }
        }
        let only = reader.optional("only") { node in
            self.values.list(node, of: "parameter") {
                self.values.text($0, "a parameter's name").map { GlobPattern($0) }
            }
        }
        if let sorts = reader.optional("sort", { self.values.boolean($0) }) { query.sorts = sorts }
        if reader.has("ignore"), reader.has("only") {
            self.report.error(
                at: reader.position(of: "only"), "\"ignore\" and \"only\" exclude each other",
                remedy: "Keep one of them.")
        }
        if let ignored { query.parameters = .except(ignored) }
        if let only { query.parameters = .only(only) }
        return query
    }

    /// One of the fields that keep requests out of the store.
    private func unkeyedField(_ node: ConfigurationNode) -> FieldName? {
        guard let name = ResponseFieldsReader(report: self.report).anyName(node)?.lowercased() else { return nil }
        guard let field = FieldName(name), UnkeyedFields.lists(field) else {
            self.report.error(
                at: node.position,
                "\"\(name)\" does not keep requests out of the store, so that nothing has to allow it",
                remedy: "Remove it. The page \"caching\" of the documentation lists the fields that do.")
            return nil
        }
        return field
    }
}
