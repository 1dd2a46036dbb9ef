import HTTPFields
import NIOCore
import RawStructuredFieldValues

/// `CDN-Cache-Control` and its like: cache directives for some caches only, as a Structured Fields dictionary (RFC 9213).
enum TargetedCacheControl {
    /// The directives of the first field in `names` that is present, not empty and valid. It then replaces
    /// `Cache-Control` and `Expires` altogether. A field that is no dictionary, or in which a directive that we know has
    /// a value of the wrong type, is ignored as a whole.
    ///
    /// - Parameter names: most specific first.
    static func directives(_ names: [FieldName], in response: FieldSection) -> ResponseDirectives? {
        for target in names where response.contains(target) {
            var value: [UInt8] = []
            var lines = 0
            for field in response where response.isNamed(field, target) {
                if lines > 0 { value.append(contentsOf: ", ".utf8) }
                response.withBytes(field.value) { value.append(contentsOf: $0) }
                lines += 1
            }
            if let directives = Self.parse(value) { return directives }
        }
        return nil
    }

    static func parse(_ value: [UInt8]) -> ResponseDirectives? {
        var parser = StructuredFieldValueParser(value)
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
                Self.add(name, String(max(seconds, 0)), to: &directives)
            case ("no-cache", .string(let fields)), ("private", .string(let fields)):
                Self.add(name, fields, to: &directives)
            case (_, .bool(let isSet)) where !Self.takesSeconds(name):
                if isSet { Self.add(name, nil, to: &directives) }
            default:
                if Self.isKnown(name) { return nil }
            }
        }
        return directives
    }

    private static func add(_ name: String, _ argument: String?, to directives: inout ResponseDirectives) {
        let bytes = Array(name.utf8)
        directives.add(bytes.span, 0..<bytes.count, argument.map { .unescaped(Array($0.utf8)) } ?? .none)
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
