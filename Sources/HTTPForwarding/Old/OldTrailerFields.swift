public import NIOHTTP1

extension TrailerFields {
    /// The trailers without those that a recipient could take for framing, routing or another hop's business, and without
    /// malformed ones; `nil` where nothing is left.
    @_disfavoredOverload
    public static func forwarded(_ trailers: HTTPHeaders?) -> HTTPHeaders? {
        guard let trailers else { return nil }
        var out: [(String, String)] = []
        for (name, value) in trailers
        where SpecialField(name) == nil && FieldText.isToken(name) && FieldText.isValue(value) && !isControl(name) {
            out.append((name, value))
        }
        return out.isEmpty ? nil : HTTPHeaders(out)
    }

    private static func isControl(_ name: String) -> Bool {
        for control: StaticString in [
            "authorization", "cache-control", "content-encoding", "content-range", "content-type", "cookie",
            "set-cookie",
            "range", "www-authenticate",
        ] where FieldText.equal(name, control) {
            return true
        }
        return false
    }
}
