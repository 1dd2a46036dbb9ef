/// Byte-level helpers for field names and values (RFC 9110 §5).
enum FieldText {
    /// Whether `text` is `lowered` apart from ASCII case. `lowered` is given in lower case.
    @inline(__always)
    static func equal(_ text: some StringProtocol, _ lowered: StaticString) -> Bool {
        let view = text.utf8
        guard view.count == lowered.utf8CodeUnitCount else { return false }
        var expected = lowered.utf8Start
        for byte in view {
            if lowercase(byte) != expected.pointee { return false }
            expected += 1
        }
        return true
    }

    /// Whether `text` begins with `lowered` apart from ASCII case, with `_` read as `-`: gateways to application
    /// servers fold both to the same variable, so a field spelled with underscores can stand in for the real one.
    static func beginsFolded(_ text: String, _ lowered: StaticString) -> Bool {
        let view = text.utf8
        guard view.count >= lowered.utf8CodeUnitCount else { return false }
        var expected = lowered.utf8Start
        let end = expected + lowered.utf8CodeUnitCount
        for byte in view {
            if expected == end { return true }
            let folded = byte == UInt8(ascii: "_") ? UInt8(ascii: "-") : lowercase(byte)
            if folded != expected.pointee { return false }
            expected += 1
        }
        return expected == end
    }

    @inline(__always)
    static func lowercase(_ byte: UInt8) -> UInt8 {
        byte &- UInt8(ascii: "A") < 26 ? byte | 0x20 : byte
    }

    static func lowercased(_ text: some StringProtocol) -> String {
        String(decoding: text.utf8.map(lowercase), as: UTF8.self)
    }

    /// A token of RFC 9110 §5.6.2: one or more tchar.
    static func isToken(_ text: some StringProtocol) -> Bool {
        var empty = true
        for byte in text.utf8 {
            guard isTokenByte(byte) else { return false }
            empty = false
        }
        return !empty
    }

    @inline(__always)
    static func isTokenByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."),
            UInt8(ascii: "!"), UInt8(ascii: "#"), UInt8(ascii: "$"), UInt8(ascii: "%"), UInt8(ascii: "&"),
            UInt8(ascii: "'"), UInt8(ascii: "*"), UInt8(ascii: "+"), UInt8(ascii: "^"), UInt8(ascii: "`"),
            UInt8(ascii: "|"), UInt8(ascii: "~"):
            true
        default:
            false
        }
    }

    /// A field value without control characters other than HTAB (RFC 9110 §5.5): bare CR, LF and NUL above all.
    static func isValue(_ text: String) -> Bool {
        for byte in text.utf8 where byte < 0x20 || byte == 0x7F {
            if byte != UInt8(ascii: "\t") { return false }
        }
        return true
    }

    /// The text without spaces and tabs at either end.
    static func trimmed(_ text: Substring) -> Substring {
        var view = text.utf8
        while let first = view.first, first == UInt8(ascii: " ") || first == UInt8(ascii: "\t") { view.removeFirst() }
        while let last = view.last, last == UInt8(ascii: " ") || last == UInt8(ascii: "\t") { view.removeLast() }
        return Substring(view)
    }

    /// Calls `body` for each non-empty element of a comma-separated list (RFC 9110 §5.6.1), trimmed. Commas inside
    /// quoted strings and comments don't separate.
    static func forEachElement(_ list: String, _ body: (Substring) -> Void) {
        let view = list.utf8
        var start = view.startIndex
        var index = start
        var quoted = false
        var commentDepth = 0
        func emit(_ end: String.Index) {
            let element = trimmed(Substring(view[start..<end]))
            if !element.isEmpty { body(element) }
        }
        while index < view.endIndex {
            let byte = view[index]
            if byte == UInt8(ascii: "\\"), quoted || commentDepth > 0 {
                index = view.index(after: index)
                if index == view.endIndex { break }
            } else if byte == UInt8(ascii: "\""), commentDepth == 0 {
                quoted.toggle()
            } else if byte == UInt8(ascii: "("), !quoted {
                commentDepth += 1
            } else if byte == UInt8(ascii: ")"), !quoted, commentDepth > 0 {
                commentDepth -= 1
            } else if byte == UInt8(ascii: ","), !quoted, commentDepth == 0 {
                emit(index)
                start = view.index(after: index)
            }
            index = view.index(after: index)
        }
        emit(view.endIndex)
    }
}
