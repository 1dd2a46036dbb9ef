/// `Accept-Encoding` (RFC 9110 §12.5.3) reduced to the content codings that matter to a site.
///
/// Browsers differ in what they accept, and an origin that compresses says `Vary: Accept-Encoding`: without this each
/// browser would have a copy of its own. The origin gets the reduced field, so that what it sends suits every client whose
/// field is reduced to the same.
enum AcceptedCodings {
    /// - Parameters:
    ///   - lines: of the request.
    ///   - codings: in lower case, preferred first.
    /// - Returns: Those of `codings` that the client accepts, or `identity` if it accepts none of them; nil if there is
    ///   no such field, or the client refuses the plain form, or what it says is not understood: then its own words count.
    static func reduced(_ lines: [String], to codings: [String]) -> String? {
        guard !lines.isEmpty else { return nil }
        // What browsers and common clients send, with the usual codings.
        if lines.count == 1, codings == Self.usual {
            switch lines[0] {
            case "gzip, deflate, br, zstd", "gzip, deflate, br", "br, gzip": return "br, gzip"
            case "gzip, deflate", "gzip": return "gzip"
            default: break
            }
        }
        var accepted: Set<String> = []
        var refused: Set<String> = []
        var isUnderstood = true
        for line in lines {
            FieldText.forEachElement(line) { member in
                if member.isEmpty { return }
                guard let (name, isAccepted) = Self.member(member) else {
                    isUnderstood = false
                    return
                }
                if isAccepted { accepted.insert(name) } else { refused.insert(name) }
            }
        }
        let refusesPlain = refused.contains("identity") || (refused.contains("*") && !accepted.contains("identity"))
        guard isUnderstood, !refusesPlain else { return nil }
        let kept = codings.filter { coding in
            !refused.contains(coding) && (accepted.contains(coding) || accepted.contains("*"))
        }
        return kept.isEmpty ? "identity" : kept.joined(separator: ", ")
    }

    private static let usual = ["br", "gzip"]

    /// A coding in lower case, and whether its weight is more than 0; nil for what the grammar does not have.
    private static func member(_ member: Substring) -> (name: String, isAccepted: Bool)? {
        let parts = member.split(separator: ";", omittingEmptySubsequences: false).map { FieldText.trimmed($0) }
        guard FieldText.isToken(parts[0]), parts.count <= 2 else { return nil }
        var name = FieldText.lowercased(parts[0])
        if name == "x-gzip" { name = "gzip" }
        guard parts.count == 2 else { return (name, true) }
        guard FieldText.equal(parts[1].prefix(2), "q=") else { return nil }
        let weight = parts[1].dropFirst(2)
        let digits = weight.utf8.dropFirst(2)
        guard let first = weight.utf8.first, first == UInt8(ascii: "0") || first == UInt8(ascii: "1"),
            weight.utf8.count == 1 || weight.utf8.dropFirst().first == UInt8(ascii: "."), digits.count <= 3,
            digits.allSatisfy(FieldText.isDigit)
        else { return nil }
        if first == UInt8(ascii: "1") { return digits.allSatisfy { $0 == UInt8(ascii: "0") } ? (name, true) : nil }
        return (name, digits.contains { $0 != UInt8(ascii: "0") })
    }
}
