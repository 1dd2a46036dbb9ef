import Crypto

/// What the contents that an origin signs in native handshakes have in common.
public enum NativeSignature {
    /// 64 blanks, and the beginning of every context string of ours.
    public static let prefix: [UInt8] = [UInt8](repeating: 0x20, count: 64) + Array("Latchstring native 1, ".utf8)
}

/// What the origin's key signs, and what an encrypted secret is bound to.
///
/// 64 blanks, a text of our own, a zero, and the transcript hash. TLS 1.3 signs 64 blanks and a text that begins with
/// "TLS 1.3"; TLS 1.2 signs 64 bytes of randoms and then parameters whose first byte is 1, 2 or 3. So no signature made
/// here is one there, nor the other way round.
enum NativeContext: String {
    case certificateInformation = "Latchstring native 1, certificate information"
    case secondRandom = "Latchstring native 1, second random"

    func signedContent(transcriptHash: [UInt8]) -> [UInt8] {
        [UInt8](repeating: 0x20, count: 64) + Array(self.rawValue.utf8) + [0] + transcriptHash
    }

    /// The HPKE info, and the text in the binding.
    static func secretLabel(_ variant: NativeVariant) -> [UInt8] {
        switch variant {
        case .originDerived: Array("Latchstring native 1, first random".utf8)
        case .clientDerived: Array("Latchstring native 1, symmetric key".utf8)
        }
    }

    /// Ties an encrypted secret to one handshake: SHA-256 over label, a zero, the transcript hash up to the first proof,
    /// and the client's share. Taken to another handshake, the ciphertext does not decrypt there.
    static func binding(_ variant: NativeVariant, transcriptHash: [UInt8], share: [UInt8]?) -> [UInt8] {
        var hash = SHA256()
        hash.update(data: Self.secretLabel(variant))
        hash.update(data: [0])
        hash.update(data: transcriptHash)
        hash.update(data: share ?? [])
        return Array(hash.finalize())
    }
}
