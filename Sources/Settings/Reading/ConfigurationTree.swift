/// A YAML value with its place, free of the parser that made it.
struct ConfigurationNode {
    enum Kind {
        /// `plain` is false for quoted text, which is never taken for a number or an absent value.
        case scalar(String, plain: Bool)
        case list([ConfigurationNode])
        case mapping([ConfigurationEntry])
    }

    var position: SourcePosition
    var kind: Kind

    /// `key:` with nothing behind it, `~` or `null`.
    var isAbsent: Bool {
        guard case .scalar(let text, plain: true) = self.kind else { return false }
        return text.isEmpty || text == "~" || text == "null"
    }

    /// What the value is, for messages about wrong types.
    var typeName: String {
        if self.isAbsent { return "nothing" }
        switch self.kind {
        case .scalar(let text, _): return "\"\(text)\""
        case .list: return "a list"
        case .mapping: return "a mapping"
        }
    }
}

struct ConfigurationEntry {
    var key: String
    var keyPosition: SourcePosition
    var value: ConfigurationNode
}
