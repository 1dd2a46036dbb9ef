import NIOHTTP1

/// The tags by which a site purges groups of responses: `Surrogate-Key`, separated by spaces, and `Cache-Tag`, separated
/// by commas.
enum TagFields {
    /// Each once, in order; longer or more than the stored form allows are left out.
    static func tags(_ fields: HTTPHeaders) -> [String] {
        var tags: [String] = []
        var seen: Set<String> = []
        func add(_ tag: Substring) {
            guard !tag.isEmpty, tag.utf8.count <= StoredResponse.maximumTagBytes,
                tags.count < StoredResponse.maximumTags
            else { return }
            let tag = String(tag)
            if seen.insert(tag).inserted { tags.append(tag) }
        }
        for (name, value) in fields {
            if FieldText.equal(name, "surrogate-key") {
                for tag in value.split(whereSeparator: { $0 == " " || $0 == "\t" }) { add(tag) }
            } else if FieldText.equal(name, "cache-tag") {
                for tag in value.split(separator: ",") { add(FieldText.trimmed(tag)) }
            }
        }
        return tags
    }
}
