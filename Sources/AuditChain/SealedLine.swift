import Hexadecimal

/// A line of a chain, taken apart. Whether it is the right one is not said by that.
public struct SealedLine: Sendable {
    static let opening: [UInt8] = Array("{\"seq\":".utf8)
    static let signature: [UInt8] = Array(",\"signature\":\"".utf8)
    static let chain: [UInt8] = Array(",\"chain\":\"".utf8)
    static let closing: [UInt8] = Array("\"}".utf8)
    private static let hashDigits = 64
    private static let signatureDigits = 128

    /// Number and hash that the line says it has.
    public let position: ChainPosition
    /// What the hash is over, beside the hash before.
    let content: ArraySlice<UInt8>

    /// - Parameter bytes: without the line feed.
    /// - Returns: nil where it is none.
    public init?(_ bytes: ArraySlice<UInt8>) {
        let tail = Self.chain.count + Self.hashDigits + Self.closing.count
        guard bytes.count > tail + Self.opening.count, bytes.count < ChainSealer.longestLine,
            bytes.starts(with: Self.opening), bytes.suffix(Self.closing.count).elementsEqual(Self.closing)
        else { return nil }
        let content = bytes.dropLast(tail)
        let digits = bytes.dropLast(Self.closing.count).suffix(Self.hashDigits)
        guard bytes[content.endIndex...].starts(with: Self.chain), let hash = Hex.bytes(digits) else {
            return nil
        }
        let number = content.dropFirst(Self.opening.count).prefix { $0 != UInt8(ascii: ",") }
        guard let text = String(validating: number, as: UTF8.self), let sequence = UInt64(text), sequence > 0,
            sequence < ChainPosition.end, String(sequence) == text
        else { return nil }
        self.position = ChainPosition(sequence: sequence, hash: hash)
        self.content = content
    }

    /// Whether it is the line after this one, unchanged.
    public func follows(_ position: ChainPosition) -> Bool {
        self.position.sequence == position.sequence + 1
            && position.hash(before: self.content) == self.position.hash
    }

    /// A member with a text that has no escapes; nil: there is none. What peers bring about has its quotes escaped, so it is never
    /// taken for a member.
    public func text(_ member: String) -> String? {
        let key = Array(",\"\(member)\":\"".utf8)
        guard let start = self.content.firstRange(of: key)?.upperBound else { return nil }
        return String(decoding: self.content[start...].prefix { $0 != UInt8(ascii: "\"") }, as: UTF8.self)
    }

    func number(_ member: String) -> Int? {
        let key = Array(",\"\(member)\":".utf8)
        guard let start = self.content.firstRange(of: key)?.upperBound else { return nil }
        return Int(String(decoding: self.content[start...].prefix { (0x30...0x39).contains($0) }, as: UTF8.self))
    }

    var isCheckpoint: Bool { self.text("operation") == ChainOperation.checkpoint }

    /// What a checkpoint's signature is over, and the signature.
    var signed: (line: ArraySlice<UInt8>, signature: [UInt8])? {
        let length = Self.signature.count + Self.signatureDigits + 1
        guard self.content.count > length, self.content.last == UInt8(ascii: "\"") else { return nil }
        let line = self.content.dropLast(length)
        guard self.content[line.endIndex...].starts(with: Self.signature),
            let signature = Hex.bytes(self.content.dropLast().suffix(Self.signatureDigits))
        else { return nil }
        return (line, signature)
    }
}

/// What lines of the chain's own are called in their `operation`.
public enum ChainOperation {
    /// The signature of all lines before it. Members: `key`, the signer.
    public static let checkpoint = "checkpoint"
    /// Behind a line that is broken off. Members: `broken_bytes` and `broken_sha256` of what is left of that.
    public static let continued = "audit-continued"
    /// The key holder began. Members: `after`, the hash of the line before.
    public static let start = "start"
    /// The first line of a file that was opened while the chain went on. Members: `after`.
    public static let file = "audit-file"
}
