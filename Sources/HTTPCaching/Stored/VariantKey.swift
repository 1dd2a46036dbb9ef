public import HTTPFields
import NIOCore

/// Which requests a stored response answers, among those for its key: the fields that `Vary` named, with the values
/// that they had in the request it was an answer to (RFC 9111 §4.1). Compared byte by byte, as an origin compares them.
public struct VariantKey: Hashable, Sendable {
    public struct Selector: Hashable, Sendable {
        public var name: FieldName
        /// Normalised (``VaryNormalisation``). `nil`: the request had no such field, which is a value of its own.
        public var value: [UInt8]?

        public init(name: FieldName, value: [UInt8]?) {
            self.name = name
            self.value = value
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
    public init?(response: FieldSection, request: CacheRequest) {
        guard let names = VaryField.names(response) else { return nil }
        self.selectors = names.map { Selector(name: $0, value: request.selectorValue($0)) }
    }

    /// The same names with the values that another request has: requests with the same may share a response.
    public func key(of request: CacheRequest) -> VariantKey {
        if self.selectors.isEmpty { return self }
        return VariantKey(
            selectors: self.selectors.map { Selector(name: $0.name, value: request.selectorValue($0.name)) })
    }

    /// Whether a request selects the response.
    public func matches(_ request: CacheRequest) -> Bool {
        var values = SelectorValues()
        return self.matches(request, &values)
    }

    /// The same where one request is compared with several variants.
    func matches(_ request: CacheRequest, _ values: inout SelectorValues) -> Bool {
        for selector in self.selectors where !request.hasSelectorValue(selector.value, for: selector.name, &values) {
            return false
        }
        return true
    }
}

/// The `Vary` field (RFC 9110 §12.5.5).
public enum VaryField {
    /// The names in all its lines, sorted and each once; `nil` if one member is `*`. Members that are no
    /// field names make it `nil` too: what they mean is unknown, so nothing may match. So do more than `maximumNames`:
    /// every lookup would have to go through them.
    public static func names(_ response: FieldSection) -> [FieldName]? {
        guard response.contains(.vary) else { return [] }
        var names: [FieldName] = []
        var matchesNothing = false
        let bytes = response.bytes.readableBytesUInt8Span
        for field in response where field.known == .vary {
            FieldList.forEach(bytes, field.value, .quoted) { member in
                if member.isEmpty { return }
                if bytes.equals(member, "*") || !bytes.isToken(member) {
                    matchesNothing = true
                } else {
                    names.append(FieldName(bytes, member))
                }
            }
        }
        if matchesNothing { return nil }
        if names.count > 1 { names = Set(names).sorted() }
        return names.count <= Self.maximumNames ? names : nil
    }

    public static let maximumNames = 32
}
