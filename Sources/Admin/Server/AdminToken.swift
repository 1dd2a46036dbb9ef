/// What requests to an admin port must bear, if it has one. Never logged, never printed.
public struct AdminToken: Sendable {
    public enum Invalid: Error, Equatable, CustomStringConvertible {
        case length(Int)
        case character

        public var description: String {
            switch self {
            case .length(let count): "an admin token has 16 to 256 characters, and this one has \(count)"
            case .character: "an admin token has visible ASCII characters only, on one line"
            }
        }
    }

    private let bytes: [UInt8]

    /// - Parameter text: the token, or a file's content: white space around it does not count.
    public init(_ text: String) throws(Invalid) {
        let bytes = Array(text.utf8)
        let isSpace: (UInt8) -> Bool = { $0 == 0x20 || (0x09...0x0D).contains($0) }
        let start = bytes.firstIndex { !isSpace($0) } ?? bytes.endIndex
        let end = bytes.lastIndex { !isSpace($0) }.map { $0 + 1 } ?? start
        let token = Array(bytes[start..<end])
        guard (16...256).contains(token.count) else { throw .length(token.count) }
        guard token.allSatisfy({ (0x21...0x7E).contains($0) }) else { throw .character }
        self.bytes = token
    }

    /// What a client sends as `Authorization`.
    public var authorization: String { "Bearer " + String(decoding: self.bytes, as: UTF8.self) }

    /// Whether these `Authorization` fields are one, and bear this token. Takes as long whichever byte is wrong.
    func isBorne(by fields: [String]) -> Bool {
        guard fields.count == 1 else { return false }
        let given = Array(fields[0].utf8)
        let scheme = Array("bearer ".utf8)
        guard given.count > scheme.count, zip(given, scheme).allSatisfy({ $0 | 0x20 == $1 | 0x20 }) else {
            return false
        }
        return self.isToken(given[scheme.count...])
    }

    /// The same for what a browser sends when it was asked for a user and a password (RFC 7617): the password is the token, the user
    /// may be any.
    func isPassword(in fields: [String]) -> Bool {
        guard fields.count == 1 else { return false }
        let given = Array(fields[0].utf8)
        let scheme = Array("basic ".utf8)
        guard given.count > scheme.count, given.count < 2048, zip(given, scheme).allSatisfy({ $0 | 0x20 == $1 | 0x20 }),
            let pair = Self.decoded(given[scheme.count...]), let colon = pair.firstIndex(of: UInt8(ascii: ":"))
        else { return false }
        return self.isToken(pair[(colon + 1)...])
    }

    private func isToken(_ candidate: ArraySlice<UInt8>) -> Bool {
        var difference: UInt8 = candidate.count == self.bytes.count ? 0 : 1
        for (index, byte) in candidate.enumerated() { difference |= byte ^ self.bytes[index % self.bytes.count] }
        return difference == 0
    }

    /// Base64 (RFC 4648 §4), with its padding; nil for anything else.
    private static func decoded(_ text: ArraySlice<UInt8>) -> [UInt8]? {
        guard text.count.isMultiple(of: 4), !text.isEmpty else { return nil }
        var bytes: [UInt8] = []
        var bits: UInt32 = 0
        var count = 0
        let padding = text.suffix(2).count { $0 == UInt8(ascii: "=") }
        for byte in text.dropLast(padding) {
            let value: UInt8
            switch byte {
            case UInt8(ascii: "A")...UInt8(ascii: "Z"): value = byte - UInt8(ascii: "A")
            case UInt8(ascii: "a")...UInt8(ascii: "z"): value = byte - UInt8(ascii: "a") + 26
            case UInt8(ascii: "0")...UInt8(ascii: "9"): value = byte - UInt8(ascii: "0") + 52
            case UInt8(ascii: "+"): value = 62
            case UInt8(ascii: "/"): value = 63
            default: return nil
            }
            bits = bits << 6 | UInt32(value)
            count += 6
            if count >= 8 {
                count -= 8
                bytes.append(UInt8(truncatingIfNeeded: bits >> UInt32(count)))
            }
        }
        return bytes
    }
}
