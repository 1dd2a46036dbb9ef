/// Byte-level helpers for field names and values (RFC 9110 §5).
enum FieldText {
    /// Whether `text` is `lowered` apart from ASCII case. `lowered` is given in lower case.
    @inline(__always)
    static func equal(_ text: some StringProtocol, _ lowered: StaticString) -> Bool {
        let view = text.utf8
        guard view.count == lowered.utf8CodeUnitCount else { return false }
        var expected = lowered.utf8Start
        for byte in view {
            if Self.lowercase(byte) != expected.pointee { return false }
            expected += 1
        }
        return true
    }

    /// The same, with underscores in place of dashes too: servers that pass fields on as environment variables (CGI,
    /// WSGI, Rack, FastCGI) don't tell them apart.
    static func equalFolded(_ text: some StringProtocol, _ lowered: StaticString) -> Bool {
        let view = text.utf8
        guard view.count == lowered.utf8CodeUnitCount else { return false }
        var expected = lowered.utf8Start
        for byte in view {
            let folded = byte == UInt8(ascii: "_") ? UInt8(ascii: "-") : Self.lowercase(byte)
            if folded != expected.pointee { return false }
            expected += 1
        }
        return true
    }

    /// Whether two names are the same apart from ASCII case.
    static func sameName(_ one: some StringProtocol, _ other: some StringProtocol) -> Bool {
        guard one.utf8.count == other.utf8.count else { return false }
        return one.utf8.elementsEqual(other.utf8) { Self.lowercase($0) == Self.lowercase($1) }
    }

    @inline(__always)
    static func lowercase(_ byte: UInt8) -> UInt8 {
        byte &- UInt8(ascii: "A") < 26 ? byte | 0x20 : byte
    }

    static func lowercased(_ text: some StringProtocol) -> String {
        if !text.utf8.contains(where: { $0 &- UInt8(ascii: "A") < 26 }) { return String(text) }
        return String(decoding: text.utf8.map(Self.lowercase), as: UTF8.self)
    }

    @inline(__always)
    static func isSpace(_ byte: UInt8) -> Bool {
        byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t")
    }

    @inline(__always)
    static func isDigit(_ byte: UInt8) -> Bool {
        byte &- UInt8(ascii: "0") < 10
    }

    /// A byte of a token (RFC 9110 §5.6.2).
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

    static func isToken(_ text: some StringProtocol) -> Bool {
        !text.utf8.isEmpty && text.utf8.allSatisfy(Self.isTokenByte)
    }

    /// The text without spaces and tabs at either end.
    static func trimmed(_ text: Substring) -> Substring {
        var view = text.utf8
        while let first = view.first, Self.isSpace(first) { view.removeFirst() }
        while let last = view.last, Self.isSpace(last) { view.removeLast() }
        return Substring(view)
    }

    /// Calls `body` for each element of a comma-separated list (RFC 9110 §5.6.1), trimmed, empty ones included. Commas
    /// inside quoted strings don't separate; a quoted string that never ends takes the rest of the text.
    static func forEachElement(_ list: some StringProtocol, _ body: (Substring) -> Void) {
        let view = Substring(list).utf8
        var start = view.startIndex
        var index = start
        var quoted = false
        while index < view.endIndex {
            let byte = view[index]
            if byte == UInt8(ascii: "\\"), quoted {
                index = view.index(after: index)
                if index == view.endIndex { break }
            } else if byte == UInt8(ascii: "\"") {
                quoted.toggle()
            } else if byte == UInt8(ascii: ","), !quoted {
                body(Self.trimmed(Substring(view[start..<index])))
                start = view.index(after: index)
            }
            index = view.index(after: index)
        }
        body(Self.trimmed(Substring(view[start...])))
    }

    /// A decimal number of one or more digits and nothing else. More than `Int64` can hold becomes `Int64.max`.
    static func number(_ text: some StringProtocol) -> Int64? {
        guard !text.utf8.isEmpty else { return nil }
        var value: Int64 = 0
        for byte in text.utf8 {
            guard Self.isDigit(byte) else { return nil }
            let (product, tooLarge) = value.multipliedReportingOverflow(by: 10)
            let (sum, tooLargeToo) = product.addingReportingOverflow(Int64(byte &- UInt8(ascii: "0")))
            if tooLarge || tooLargeToo {
                value = .max
            } else if value != .max {
                value = sum
            }
        }
        return value
    }
}

extension Int64 {
    /// The sum, or the nearest number that fits.
    func saturatingAdd(_ other: Int64) -> Int64 {
        let (sum, overflow) = self.addingReportingOverflow(other)
        return overflow ? (other > 0 ? .max : .min) : sum
    }

    /// The difference, or the nearest number that fits.
    func saturatingSubtract(_ other: Int64) -> Int64 {
        let (difference, overflow) = self.subtractingReportingOverflow(other)
        return overflow ? (other < 0 ? .max : .min) : difference
    }

    /// The product, or the nearest number that fits.
    func saturatingMultiply(_ other: Int64) -> Int64 {
        let (product, overflow) = self.multipliedReportingOverflow(by: other)
        return overflow ? ((self < 0) == (other < 0) ? .max : .min) : product
    }
}
