/// What reading a chain found, at a line of a file.
public struct ChainFinding: Equatable, Sendable, CustomStringConvertible {
    public enum Kind: String, Sendable, CaseIterable {
        /// The line, or the one before it, is not as it was written.
        case changed
        /// Lines before this one are not there.
        case missing
        /// A line that was put there.
        case inserted
        /// A line that was written elsewhere, or is there twice.
        case misplaced
        /// A line that is broken off, and no line after it says so.
        case brokenOff = "broken-off"
        /// A chain that is another one begins.
        case newChain = "new-chain"
        /// A checkpoint that its signer did not make, or without a signature, or by a signer that was not named.
        case forged
        /// Lines that must be there, after the last one.
        case cut
        /// Nothing is wrong; what a reader should know.
        case note

        public var isFault: Bool { self != .note }
    }

    public var kind: Kind
    /// As it was named.
    public var file: String
    /// Counted from 1.
    public var line: Int
    public var message: String

    /// `audit.jsonl:7: changed: …`.
    public var description: String { "\(self.file):\(self.line): \(self.kind.rawValue): \(self.message)" }
}

/// What a chain was as a whole.
public struct ChainSummary: Equatable, Sendable {
    /// Lines of the chain.
    public var lines = 0
    public var checkpoints = 0
    public var faults = 0
    public var first: UInt64?
    public var last: UInt64?
    /// Of the last line, as it says.
    public var lastTime: String?
    /// The last line that a good checkpoint covers, and when that was made.
    public var signed: UInt64?
    public var signedTime: String?
    /// Who made the good checkpoints.
    public var signers: Set<CheckpointSigner> = []
    /// The key holder ended in order.
    public var hasEnded = false
}
