/// What of a request the access log does not show.
public struct AccessMask: Sendable, Hashable {
    /// Names of query parameters whose values are hidden, in lower case; `*` stands for all.
    public var parameters: Set<String>
    /// Fields of a line that are hidden whole.
    public var fields: Set<AccessField>

    public init(parameters: Set<String> = [], fields: Set<AccessField> = []) {
        self.parameters = parameters
        self.fields = fields
    }

    /// What stands in the place of what is hidden.
    static let text = "***"

    /// A target, or a referrer, with the values of hidden parameters replaced. Names are compared as servers read them: percent-decoded,
    /// and in any letter case. A query without `=` is a value, and hidden where all are.
    func hidingParameters(_ target: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        guard !self.parameters.isEmpty, let mark = target.firstIndex(of: UInt8(ascii: "?")) else { return target }
        var result = Array(target[...mark])
        var rest = target[(mark + 1)...]
        while !rest.isEmpty {
            let end = rest.firstIndex { $0 == UInt8(ascii: "&") || $0 == UInt8(ascii: ";") } ?? rest.endIndex
            self.append(rest[..<end], to: &result)
            if end < rest.endIndex { result.append(rest[end]) }
            rest = end < rest.endIndex ? rest[(end + 1)...] : rest[rest.endIndex...]
        }
        return result[...]
    }

    private func append(_ parameter: ArraySlice<UInt8>, to result: inout [UInt8]) {
        let equals = parameter.firstIndex(of: UInt8(ascii: "="))
        guard self.hides(parameter[..<(equals ?? parameter.endIndex)]) else {
            return result.append(contentsOf: parameter)
        }
        if let equals {
            result.append(contentsOf: parameter[...equals])
        } else if !self.parameters.contains("*") || parameter.isEmpty {
            return result.append(contentsOf: parameter)
        }
        result.append(contentsOf: Self.text.utf8)
    }

    private func hides(_ name: ArraySlice<UInt8>) -> Bool {
        self.parameters.contains("*")
            || self.parameters.contains(String(decoding: Self.decoded(name), as: UTF8.self).lowercased())
    }

    private static func decoded(_ name: ArraySlice<UInt8>) -> [UInt8] {
        var result: [UInt8] = []
        var position = name.startIndex
        while position < name.endIndex {
            let byte = name[position]
            if byte == UInt8(ascii: "%"), position + 2 < name.endIndex,
                let high = Self.digit(name[position + 1]), let low = Self.digit(name[position + 2])
            {
                result.append(high << 4 | low)
                position += 3
            } else {
                result.append(byte == UInt8(ascii: "+") ? UInt8(ascii: " ") : byte)
                position += 1
            }
        }
        return result
    }

    private static func digit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}
