import HTTPFields
import NIOCore

/// The tags by which a site purges groups of responses: `Surrogate-Key`, separated by spaces, and `Cache-Tag`, separated
/// by commas.
enum TagFields {
    /// Each once, in order. Left out: what is longer or more than the stored form allows, and what is not UTF-8, since no
    /// purge can name it.
    static func tags(_ fields: FieldSection) -> [String] {
        guard fields.contains(.surrogateKey) || fields.contains(.cacheTag) else { return [] }
        var tags: [String] = []
        var seen: Set<String> = []
        let bytes = fields.bytes.readableBytesUInt8Span
        func add(_ range: Range<Int>) {
            guard !range.isEmpty, range.count <= StoredResponse.maximumTagBytes,
                tags.count < StoredResponse.maximumTags,
                let tag = String(validating: fields.copy(range), as: UTF8.self)
            else { return }
            if seen.insert(tag).inserted { tags.append(tag) }
        }
        for field in fields {
            if field.known == .surrogateKey {
                var start = field.value.lowerBound
                for position in field.value where ByteClass.isWhitespace(bytes[position]) {
                    add(start..<position)
                    start = position + 1
                }
                add(start..<field.value.upperBound)
            } else if field.known == .cacheTag {
                FieldList.forEach(bytes, field.value, .tokens) { add($0) }
            }
        }
        return tags
    }
}
