import HTTPFields

/// How a line of the access log looks.
public enum AccessFormat: Sendable, Hashable {
    /// One object, with the keys of ``AccessField``. What is not known is not there.
    case json
    /// What web servers write, and goaccess and awstats read.
    case combined
    case template([Part])

    public enum Part: Sendable, Hashable {
        case text(String)
        case field(AccessField)
        /// A field of the request: its place among those that the template asks for.
        case requestField(Int)
    }
}

/// A template that cannot be used.
public struct AccessTemplateError: Error, Equatable, Sendable {
    /// What stands between the braces; nil: a brace has no other half.
    public var name: String?
}

/// A format, the fields of requests that it asks for, and what is hidden: all that there is to say about lines.
public final class AccessLayout: Sendable, Hashable {
    public let format: AccessFormat
    /// In a template's order.
    let requestFields: [FieldName]
    public let mask: AccessMask

    private init(_ format: AccessFormat, requestFields: [FieldName], mask: AccessMask) {
        self.format = format
        self.requestFields = requestFields
        self.mask = mask
    }

    /// - Parameter format: no template.
    public convenience init(_ format: AccessFormat, mask: AccessMask = AccessMask()) {
        self.init(format, requestFields: [], mask: mask)
    }

    /// - Parameter template: text with names of ``AccessField`` in braces, and `{field:NAME}` for a field of the request; `{{` and `}}`
    ///   stand for braces.
    public convenience init(template: String, mask: AccessMask = AccessMask()) throws(AccessTemplateError) {
        var parts: [AccessFormat.Part] = []
        var names: [FieldName] = []
        var text = ""
        var rest = template[...]
        while let character = rest.popFirst() {
            switch character {
            case "{" where rest.first == "{", "}" where rest.first == "}":
                rest.removeFirst()
                text.append(character)
            case "{":
                guard let end = rest.firstIndex(of: "}") else { throw AccessTemplateError(name: nil) }
                let name = String(rest[..<end])
                rest = rest[rest.index(after: end)...]
                if !text.isEmpty { parts.append(.text(text)) }
                text = ""
                if name.hasPrefix("field:") {
                    guard names.count < Self.maximumRequestFields, let field = FieldName(name.dropFirst(6).utf8),
                        !Self.secrets.contains(field.text)
                    else {
                        throw AccessTemplateError(name: name)
                    }
                    if let twin = Self.twins[field.text], mask.fields.contains(twin) {
                        parts.append(.field(twin))
                    } else {
                        parts.append(.requestField(names.count))
                        names.append(field)
                    }
                } else {
                    guard let field = AccessField(rawValue: name) else { throw AccessTemplateError(name: name) }
                    parts.append(.field(field))
                }
            case "}": throw AccessTemplateError(name: nil)
            case "\n", "\r": throw AccessTemplateError(name: nil)
            default: text.append(character)
            }
        }
        if !text.isEmpty { parts.append(.text(text)) }
        self.init(.template(parts), requestFields: names, mask: mask)
    }

    static let maximumRequestFields = 16
    /// No log has them.
    private static let secrets: Set<String> = ["authorization", "proxy-authorization", "cookie"]
    /// Fields of requests that say what a field of a line says, or is made of: hidden where that one is.
    private static let twins: [String: AccessField] = [
        "referer": .referrer, "user-agent": .userAgent, "x-request-id": .requestID, "host": .host,
        "x-forwarded-host": .host, "x-original-host": .host, "forwarded": .client, "x-forwarded-for": .client,
        "x-real-ip": .client, "true-client-ip": .client, "cf-connecting-ip": .client, "x-original-url": .target,
        "x-rewrite-url": .target,
    ]

    public static func == (one: AccessLayout, other: AccessLayout) -> Bool {
        one.format == other.format && one.requestFields == other.requestFields && one.mask == other.mask
    }

    public func hash(into hasher: inout Hasher) {
        hasher.combine(self.format)
        hasher.combine(self.requestFields)
        hasher.combine(self.mask)
    }
}
