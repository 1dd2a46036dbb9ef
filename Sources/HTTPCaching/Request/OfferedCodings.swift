import HTTPFields
import NIOCore

/// The content codings that matter to a site, to which `Accept-Encoding` (RFC 9110 §12.5.3) is reduced.
///
/// Browsers differ in what they accept, and an origin that compresses says `Vary: Accept-Encoding`: without this each
/// browser would have a copy of its own. The origin gets the reduced field, so that what it sends suits every client whose
/// field is reduced to the same.
struct OfferedCodings: Hashable, Sendable {
    /// What a field is reduced to.
    struct Reduced: Hashable, Sendable {
        /// As the origin gets it.
        var field: [UInt8]
        /// As `Vary` compares it.
        var selector: [UInt8]
    }

    /// In lower case, preferred first.
    let codings: [[UInt8]]
    /// By which codings are accepted, the first in the lowest bit; only of few codings, since their number doubles with each.
    private let combinations: [Reduced]

    static let usual = OfferedCodings(["br", "gzip"])

    init(_ codings: [String]) {
        let codings = codings.prefix(64).map { $0.utf8.map(ByteClass.lowercased) }
        self.codings = codings
        self.combinations =
            codings.count > 4 ? [] : (0..<(UInt64(1) << codings.count)).map { Self.combination($0, of: codings) }
    }

    /// - Parameter present: names that count.
    /// - Returns: Those of the codings that the client accepts, or `identity` if it accepts none of them; nil if there is
    ///   no such field, or the client refuses the plain form, or what it says is not understood: then its own words count.
    func reduced(_ fields: FieldSection, _ present: KnownFieldSet) -> Reduced? {
        guard present.contains(.acceptEncoding) else { return nil }
        let bytes = fields.bytes.readableBytesUInt8Span
        var accepted: UInt64 = 0
        var refused: UInt64 = 0
        var refusesIdentity = false
        var acceptsIdentity = false
        var others: Bool?
        var isUnderstood = true
        for field in fields where field.known == .acceptEncoding {
            FieldList.forEach(bytes, field.value, .tokens) { member in
                if member.isEmpty || !isUnderstood { return }
                guard let (name, isAccepted) = Self.member(bytes, member) else {
                    isUnderstood = false
                    return
                }
                if bytes.equals(name, "*") {
                    others = isAccepted && others != false
                    return
                }
                if bytes.equals(name, "identity") {
                    if isAccepted { acceptsIdentity = true } else { refusesIdentity = true }
                }
                guard let index = self.index(bytes, name) else { return }
                if isAccepted { accepted |= 1 << UInt64(index) } else { refused |= 1 << UInt64(index) }
            }
        }
        guard isUnderstood, !refusesIdentity, others != false || acceptsIdentity else { return nil }
        if others == true { accepted = .max >> UInt64(64 - max(self.codings.count, 1)) }
        accepted &= ~refused
        return self.combinations.isEmpty
            ? Self.combination(accepted, of: self.codings) : self.combinations[Int(accepted) % self.combinations.count]
    }

    private func index(_ bytes: borrowing Span<UInt8>, _ name: Range<Int>) -> Int? {
        let name = bytes.equals(name, "x-gzip") ? (name.lowerBound + 2)..<name.upperBound : name
        for (index, coding) in self.codings.enumerated() {
            let span = coding.span
            if bytes.equalsFolded(name, span, 0..<span.count) { return index }
        }
        return nil
    }

    private static func combination(_ accepted: UInt64, of codings: [[UInt8]]) -> Reduced {
        let kept = codings.indices.filter { accepted & (1 << UInt64($0)) != 0 }.map { codings[$0] }
        let field = kept.isEmpty ? Array("identity".utf8) : Array(kept.joined(separator: ", ".utf8))
        return Reduced(field: field, selector: VaryNormalisation.value(of: FieldName(.acceptEncoding), [field]))
    }

    /// A coding, and whether its weight is more than 0; nil for what the grammar does not have.
    private static func member(
        _ bytes: borrowing Span<UInt8>, _ member: Range<Int>
    ) -> (name: Range<Int>, isAccepted: Bool)? {
        guard let semicolon = bytes.first(UInt8(ascii: ";"), in: member) else {
            return bytes.isToken(member) ? (member, true) : nil
        }
        let name = bytes.trimmed(member.lowerBound..<semicolon)
        let weight = bytes.trimmed((semicolon + 1)..<member.upperBound)
        guard bytes.isToken(name), bytes.begins(weight, "q="), weight.count >= 3, weight.count <= 7 else { return nil }
        let first = bytes[weight.lowerBound + 2]
        let fraction = (weight.lowerBound + 3)..<weight.upperBound
        guard first == UInt8(ascii: "0") || first == UInt8(ascii: "1"),
            fraction.isEmpty || bytes[fraction.lowerBound] == UInt8(ascii: ".")
        else { return nil }
        var isZero = true
        for position in fraction.dropFirst() {
            guard ByteClass.isDigit(bytes[position]) else { return nil }
            if bytes[position] != UInt8(ascii: "0") { isZero = false }
        }
        if first == UInt8(ascii: "1") { return isZero ? (name, true) : nil }
        return (name, !isZero)
    }
}
