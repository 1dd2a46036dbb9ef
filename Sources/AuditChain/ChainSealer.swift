public import Crypto
import Hexadecimal

/// Makes lines of a chain: each with its number and a hash over the line before and itself. Pure.
///
///     {"seq":7,BODY,"chain":"HASH"}
///
/// HASH is SHA-256 over the hash of the line before (32 bytes) and this line's bytes up to `,"chain"`, in 64 hexadecimal digits. A
/// checkpoint has `,"signature":"…"` before that, Ed25519 over ``CheckpointContent``.
///
/// A body is the members of a JSON object without its braces. That it has no line feed and is less than ``longestLine`` is the caller's
/// duty.
public struct ChainSealer: Sendable {
    /// Of a line with everything; bytes.
    public static let longestLine = 65_536

    public private(set) var position: ChainPosition

    public init(_ position: ChainPosition) {
        self.position = position
    }

    /// Seals bodies, each of which ends with a line feed, behind one another.
    public mutating func seal(_ bodies: [UInt8], into lines: inout [UInt8]) {
        var start = 0
        while let end = bodies[start...].firstIndex(of: 0x0A) {
            self.seal(bodies[start..<end], signingWith: nil, into: &lines)
            start = end + 1
        }
    }

    /// Seals one body, which has no line feed.
    ///
    /// - Parameter key: The line is a checkpoint, signed with it.
    public mutating func seal(
        _ body: ArraySlice<UInt8>, signingWith key: Curve25519.Signing.PrivateKey?, into lines: inout [UInt8]
    ) {
        let start = lines.count
        lines.append(contentsOf: SealedLine.opening)
        lines.append(contentsOf: String(self.position.sequence + 1).utf8)
        lines.append(UInt8(ascii: ","))
        lines.append(contentsOf: body)
        if let key,
            let signature = try? key.signature(
                for: CheckpointContent.bytes(after: self.position, line: lines[start...]))
        {
            lines.append(contentsOf: SealedLine.signature)
            Hex.append(signature, to: &lines)
            lines.append(UInt8(ascii: "\""))
        }
        let hash = self.position.hash(before: lines[start...])
        lines.append(contentsOf: SealedLine.chain)
        Hex.append(hash, to: &lines)
        lines.append(contentsOf: SealedLine.closing)
        lines.append(0x0A)
        self.position = ChainPosition(sequence: self.position.sequence + 1, hash: hash)
    }
}
