public import NIOHTTP1

/// Which requests a stored response answers, among those for its key: the fields that `Vary` named, with the values
/// that they had in the request it was an answer to (RFC 9111 §4.1).
public struct VariantKey: Hashable, Sendable {
    public struct Selector: Hashable, Sendable {
        /// In lower case.
        public var name: String
        /// Normalised (`VaryNormalisation`). `nil`: the request had no such field, which is a value of its own.
        public var value: String?

        public init(name: String, value: String?) {
            self.name = name
            self.value = value
        }

        /// Byte by byte, as an origin compares them.
        public static func == (one: Selector, other: Selector) -> Bool {
            TextBytes.same(one.name, other.name) && TextBytes.same(one.value, other.value)
        }

        public func hash(into hasher: inout Hasher) {
            TextBytes.hash(self.name, into: &hasher)
            hasher.combine(self.value == nil)
            TextBytes.hash(self.value ?? "", into: &hasher)
        }
    }

    /// In order of their names, each name once. Empty for a response without `Vary`.
    public let selectors: [Selector]

    /// A response that doesn't vary.
    public static let invariant = VariantKey(selectors: [])

    init(selectors: [Selector]) {
        self.selectors = selectors
    }

    /// The values that `request` has for the fields that the response's `Vary` names. `nil` if `Vary` has the member
    /// `*`: no request matches such a response.
    public init?(response: HTTPHeaders, request: HTTPHeaders) {
        guard let names = VaryField.names(response) else { return nil }
        self.selectors = names.map { name in
            Selector(name: name, value: VaryNormalisation.value(of: name, in: request))
        }
    }

    /// Whether a request with these fields selects the response.
    public func matches(_ request: HTTPHeaders) -> Bool {
        for selector in self.selectors
        where !TextBytes.same(VaryNormalisation.value(of: selector.name, in: request), selector.value) {
            return false
        }
        return true
    }
}

/// The `Vary` field (RFC 9110 §12.5.5).
public enum VaryField {
    /// The names in all its lines, in lower case, sorted and each once; `nil` if one member is `*`. Members that are no
    /// field names make it `nil` too: what they mean is unknown, so nothing may match. So do more than `maximumNames`:
    /// every lookup would have to go through them.
    public static func names(_ response: HTTPHeaders) -> [String]? {
        var names: [String] = []
        var matchesNothing = false
        for (name, value) in response where FieldText.equal(name, "vary") {
            FieldText.forEachElement(value) { member in
                if member.isEmpty { return }
                if member == "*" || !FieldText.isToken(member) {
                    matchesNothing = true
                } else {
                    names.append(FieldText.lowercased(member))
                }
            }
        }
        if matchesNothing { return nil }
        if names.count > 1 { names = Set(names).sorted() }
        return names.count <= Self.maximumNames ? names : nil
    }

    public static let maximumNames = 32
}
