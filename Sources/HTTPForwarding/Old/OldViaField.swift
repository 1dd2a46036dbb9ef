/// The `Via` field (RFC 9110 §7.6.3).
enum OldViaField {
    /// Whether one of the hops listed is called `pseudonym`. Comments and protocol names don't count.
    static func mentions(_ pseudonym: String, in value: String) -> Bool {
        var found = false
        FieldText.forEachElement(value) { element in
            // received-protocol RWS received-by [ RWS comment ]
            let view = element.utf8
            guard let space = view.firstIndex(where: isSpace) else { return }
            let rest = view[space...].drop(while: isSpace)
            let receivedBy = rest.prefix { !isSpace($0) && $0 != UInt8(ascii: "(") }
            if receivedBy.count == pseudonym.utf8.count,
                zip(receivedBy, pseudonym.utf8).allSatisfy({ FieldText.lowercase($0) == FieldText.lowercase($1) })
            {
                found = true
            }
        }
        return found
    }

    private static func isSpace(_ byte: UInt8) -> Bool { byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") }
}
