import Crypto
import NIOCore

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// One direction's key, IV and sequence number, and when they change.
///
/// A nonce is the IV XOR the sequence number. After ``recordsPerKey`` records both sides go on with the next generation of
/// the secret and begin to count anew, without a message: far below the 2^24.5 full records that AES-GCM allows.
struct NativeCipher: Sendable {
    private let schedule: NativeKeySchedule
    private let recordsPerKey: UInt64
    private var secret: SymmetricKey
    private var key: SymmetricKey
    private var iv: [UInt8]
    private var sequence: UInt64 = 0

    /// 2^20: 16 GiB of full records.
    static let recordsPerKey: UInt64 = 1 << 20

    init(_ schedule: NativeKeySchedule, secret: SymmetricKey, recordsPerKey: UInt64 = Self.recordsPerKey) {
        self.schedule = schedule
        self.recordsPerKey = recordsPerKey
        self.secret = secret
        let keys = schedule.trafficKeys(secret)
        self.key = keys.key
        self.iv = keys.iv.withUnsafeBytes { Array($0) }
    }

    /// - Returns: ciphertext and tag.
    mutating func seal(
        _ plaintext: UnsafeRawBufferPointer, authenticating header: [UInt8]
    ) throws(NativeError) -> Data {
        let nonce: [UInt8] = self.takeNonce()
        do {
            switch self.schedule.suite {
            case .aes128GCMSHA256, .aes256GCMSHA384:
                let box = try AES.GCM.seal(
                    plaintext, using: self.key, nonce: AES.GCM.Nonce(data: nonce), authenticating: header)
                guard let combined = box.combined else { throw NativeError.internalFailure("seal") }
                return combined.dropFirst(nonce.count)
            case .chaCha20Poly1305SHA256:
                return try ChaChaPoly.seal(
                    plaintext, using: self.key, nonce: ChaChaPoly.Nonce(data: nonce), authenticating: header
                ).combined.dropFirst(nonce.count)
            }
        } catch {
            throw .internalFailure("seal")
        }
    }

    /// - Parameter sealed: ciphertext and tag; at least a tag.
    /// - Throws: ``NativeError/badRecord``; the cipher must not be used any more then.
    mutating func open(
        _ sealed: UnsafeRawBufferPointer, authenticating header: [UInt8]
    ) throws(NativeError) -> Data {
        let nonce: [UInt8] = self.takeNonce()
        let split: Int = sealed.count - NativeNumbers.tagLength
        guard split >= 0 else { throw .badRecord }
        let ciphertext = UnsafeRawBufferPointer(rebasing: sealed[..<split])
        let tag = UnsafeRawBufferPointer(rebasing: sealed[split...])
        do {
            switch self.schedule.suite {
            case .aes128GCMSHA256, .aes256GCMSHA384:
                let box = try AES.GCM.SealedBox(nonce: AES.GCM.Nonce(data: nonce), ciphertext: ciphertext, tag: tag)
                return try AES.GCM.open(box, using: self.key, authenticating: header)
            case .chaCha20Poly1305SHA256:
                let box = try ChaChaPoly.SealedBox(
                    nonce: ChaChaPoly.Nonce(data: nonce), ciphertext: ciphertext, tag: tag)
                return try ChaChaPoly.open(box, using: self.key, authenticating: header)
            }
        } catch {
            throw .badRecord
        }
    }

    private mutating func takeNonce() -> [UInt8] {
        if self.sequence == self.recordsPerKey {
            self.secret = self.schedule.next(self.secret)
            let keys = self.schedule.trafficKeys(self.secret)
            self.key = keys.key
            self.iv = keys.iv.withUnsafeBytes { Array($0) }
            self.sequence = 0
        }
        var nonce: [UInt8] = self.iv
        for index in 0..<8 {
            nonce[4 + index] ^= UInt8(truncatingIfNeeded: self.sequence >> UInt64(8 * (7 - index)))
        }
        self.sequence += 1
        return nonce
    }
}
