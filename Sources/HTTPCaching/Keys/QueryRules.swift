/// What a site does to the query before it becomes part of the key. The request that goes to the origin is never
/// changed by it: two requests with one key may therefore reach the origin with different queries, and the site says by
/// these rules that it answers both alike.
public struct QueryRules: Hashable, Sendable {
    /// Which parameters are part of the key.
    public enum Parameters: Hashable, Sendable {
        case all
        /// All but those whose name matches one of the patterns (`utm_*`).
        case except([GlobPattern])
        /// Only those whose name matches one of the patterns. An empty list ignores the query.
        case only([GlobPattern])
    }

    public var parameters: Parameters
    /// Parameters are put in order of their names, so that `?a=1&b=2` and `?b=2&a=1` share a key. Parameters
    /// of one name keep their order. More than ``maximumSorted`` stay as they came, and so are another key.
    public var sorts: Bool
    /// Percent-encoded letters, digits, `-`, `_` and `~` count as themselves in path and query (RFC 3986 §6.2.2.2).
    /// Only for origins that decode before they choose what to answer: at another, `/%61` may get a 404 that would then
    /// be served for `/a`.
    public var decodesUnreserved: Bool

    /// Parameters.
    public static let maximumSorted = 64

    /// By default the query is taken as it is.
    public init(parameters: Parameters = .all, sorts: Bool = false, decodesUnreserved: Bool = false) {
        self.parameters = parameters
        self.sorts = sorts
        self.decodesUnreserved = decodesUnreserved
    }

    /// Whether any rule needs the query taken apart.
    var takesApart: Bool { self.sorts || self.parameters != .all }

    /// The query as part of the key, without `?`; nil if there is none left.
    func normalised(_ query: Substring) -> String? {
        guard self.takesApart else { return String(query) }
        var parts: [(name: Substring, text: Substring)] = []
        for bytes in query.utf8.split(separator: UInt8(ascii: "&"), omittingEmptySubsequences: true) {
            let text = Substring(bytes)
            let name = Substring(bytes.prefix { $0 != UInt8(ascii: "=") })
            switch self.parameters {
            case .all: parts.append((name, text))
            case .except(let patterns):
                if Self.mayHoldOthers(bytes) || !patterns.contains(where: { $0.matches(name) }) {
                    parts.append((name, text))
                }
            case .only(let patterns):
                if Self.mayHoldOthers(bytes) || patterns.contains(where: { $0.matches(name) }) {
                    parts.append((name, text))
                }
            }
        }
        if parts.isEmpty { return nil }
        if self.sorts, parts.count <= Self.maximumSorted {
            // By name only, and stably: the order among parameters of one name often has a meaning.
            let order = parts.indices.sorted { one, other in
                let names = (parts[one].name, parts[other].name)
                if names.0.utf8.elementsEqual(names.1.utf8) { return one < other }
                return names.0.utf8.lexicographicallyPrecedes(names.1.utf8)
            }
            parts = order.map { parts[$0] }
        }
        return parts.map(\.text).joined(separator: "&")
    }

    /// Whether an origin may see more parameters in it than the one that it is called by: some take `;` for a separator too, or look for the
    /// query behind the last `?`. Then it is never dropped, since what it holds would be past the key.
    private static func mayHoldOthers(_ part: Substring.UTF8View.SubSequence) -> Bool {
        part.contains { $0 == UInt8(ascii: ";") || $0 == UInt8(ascii: "?") }
    }
}
