import NIOHTTP1

/// `Age` of a response (RFC 9111 §5.1).
enum AgeField {
    /// Seconds, at most 2^31: the first member of the first line. `nil` if that is no whole number: the field is ignored
    /// then. Later members come from broken caches and say nothing.
    static func seconds(_ fields: HTTPHeaders) -> Int64? {
        guard let line = fields.first(name: "Age") else { return nil }
        let first = FieldText.trimmed(line.prefix { $0 != "," })
        return FieldText.number(first).map { min($0, 1 << 31) }
    }
}
