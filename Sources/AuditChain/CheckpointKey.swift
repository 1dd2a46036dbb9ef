public import Crypto
import Hexadecimal

/// Who signs checkpoints: the public half, as people compare it.
public struct CheckpointSigner: Hashable, Sendable, CustomStringConvertible {
    /// An Ed25519 public key; 32 bytes.
    public let bytes: [UInt8]

    public init(_ key: Curve25519.Signing.PublicKey) {
        self.bytes = Array(key.rawRepresentation)
    }

    /// What this key signs can be verified with.
    public init(_ key: Curve25519.Signing.PrivateKey) { self.init(key.publicKey) }

    /// nil unless the text is 64 hexadecimal digits.
    public init?(hex: String) {
        guard let bytes = Hex.bytes(hex.lowercased().utf8), bytes.count == 32 else { return nil }
        self.bytes = bytes
    }

    /// 64 hexadecimal digits.
    public var description: String { Hex.text(self.bytes) }

    func isValid(_ signature: [UInt8], over content: [UInt8]) -> Bool {
        guard let key = try? Curve25519.Signing.PublicKey(rawRepresentation: self.bytes) else { return false }
        return key.isValidSignature(signature, for: content)
    }
}

/// What a checkpoint's signature is over: a text of its own, the hash of the line before, and the checkpoint's line up to the signature.
enum CheckpointContent {
    private static let context: [UInt8] = Array("latchstring audit checkpoint 1\n".utf8)

    static func bytes(after position: ChainPosition, line: some Sequence<UInt8>) -> [UInt8] {
        var bytes: [UInt8] = Self.context
        bytes += position.hash
        bytes += line
        return bytes
    }
}
