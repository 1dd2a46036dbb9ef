import NIOHTTP1
import RawStructuredFieldValues

/// `CDN-Cache-Control` and its like: cache directives for some caches only, as a Structured Fields dictionary (RFC 9213).
enum TargetedCacheControl {
    /// The directives of the first field in `names` that is present, not empty and valid. It then replaces
    /// `Cache-Control` and `Expires` altogether. A field that is no dictionary, or in which a directive that we know has
    /// a value of the wrong type, is ignored as a whole.
    ///
    /// - Parameter names: in lower case, most specific first.
    static func directives(_ names: [String], in response: HTTPHeaders) -> ResponseDirectives? {
        for target in names {
            var lines: [String] = []
            for (name, value) in response where FieldText.sameName(name, target) { lines.append(value) }
            if lines.isEmpty { continue }
            if let directives = Self.parse(lines.joined(separator: ", ")) { return directives }
        }
        return nil
    }

    static func parse(_ text: String) -> ResponseDirectives? {
        var parser = StructuredFieldValueParser(Array(text.utf8))
        guard let members = try? parser.parseDictionaryFieldValue(), members.count > 0 else { return nil }
        var directives = ResponseDirectives()
        for (name, member) in members {
            guard case .item(let item) = member else {
                // An inner list is no type of any directive.
                if Self.isKnown(name) { return nil }
                continue
            }
            switch (name, item.rfc9651BareItem) {
            case ("max-age", .integer(let seconds)), ("s-maxage", .integer(let seconds)),
                ("stale-while-revalidate", .integer(let seconds)), ("stale-if-error", .integer(let seconds)):
                directives.add(Substring(name), DirectiveArgument(text: String(max(seconds, 0))))
            case ("no-cache", .string(let fields)), ("private", .string(let fields)):
                directives.add(Substring(name), DirectiveArgument(text: fields))
            case (_, .bool(let isSet)) where !Self.takesSeconds(name):
                if isSet { directives.add(Substring(name), DirectiveArgument(text: nil)) }
            default:
                if Self.isKnown(name) { return nil }
            }
        }
        return directives
    }

    private static func takesSeconds(_ name: String) -> Bool {
        name == "max-age" || name == "s-maxage" || name == "stale-while-revalidate" || name == "stale-if-error"
    }

    private static func isKnown(_ name: String) -> Bool {
        switch name {
        case "no-store", "no-cache", "private", "public", "must-revalidate", "proxy-revalidate", "must-understand",
            "immutable":
            true
        default: Self.takesSeconds(name)
        }
    }
}
