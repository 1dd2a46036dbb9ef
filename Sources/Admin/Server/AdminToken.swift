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
        let candidate = given[scheme.count...]
        var difference: UInt8 = candidate.count == self.bytes.count ? 0 : 1
        for (index, byte) in candidate.enumerated() { difference |= byte ^ self.bytes[index % self.bytes.count] }
        return difference == 0
    }
}
