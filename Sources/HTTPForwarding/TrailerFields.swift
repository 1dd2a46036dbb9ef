public import HTTPFields

/// Trailer fields on their way through (RFC 9110 §6.5.1).
public enum TrailerFields {
    /// The trailers without those that a recipient could take for framing, routing or another hop's business; `nil` where
    /// nothing is left.
    public static func forwarded(_ trailers: FieldSection?) -> FieldSection? {
        guard let trailers else { return nil }
        var builder = FieldSectionBuilder()
        for field in trailers where Self.passes(field, of: trailers) { builder.add(field, of: trailers) }
        return builder.count == 0 ? nil : builder.section
    }

    private static func passes(_ field: FieldRecord, of trailers: FieldSection) -> Bool {
        guard let known = field.known else { return !ClientClaims.isOne(field, of: trailers) }
        return !Self.control.contains(known)
    }

    private static let control = RequestRules.hop.union(ClientClaims.known).union(
        KnownFieldSet(
            .host, .via, .maxForwards, .expect, .authorization, .cacheControl, .contentEncoding, .contentRange,
            .contentType, .cookie, .setCookie, .range, .wwwAuthenticate))
}
