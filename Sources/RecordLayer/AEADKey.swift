import Crypto

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// A key of one of the bulk ciphers.
///
/// swift-crypto sets the cipher up anew for each record and hands results over in `Data` of its own, so each record is
/// copied once more on its way out and in. `docs/record-layer.md` says what that costs. Another implementation of AEAD
/// would have to replace this file only.
struct AEADKey: Sendable {
    private let key: SymmetricKey
    private let isGCM: Bool

    init(_ cipher: RecordCipher, key: Secret) {
        self.key = key.withUnsafeBytes { SymmetricKey(data: $0) }
        isGCM = cipher != .chaCha20Poly1305
    }

    /// - Returns: the nonce, the ciphertext and the tag, one after another.
    /// - Throws: `CryptoKitError`, for a key or nonce of the wrong length only; both were checked before.
    func seal(
        _ plaintext: UnsafeRawBufferPointer, nonce: UnsafeRawBufferPointer, authenticating data: UnsafeRawBufferPointer
    ) throws -> Data {
        if isGCM {
            let box: AES.GCM.SealedBox = try AES.GCM.seal(
                plaintext, using: key, nonce: AES.GCM.Nonce(data: nonce), authenticating: data)
            // Only nonces of another length than 12 bytes have no combined form.
            guard let combined: Data = box.combined else { throw CryptoKitError.incorrectParameterSize }
            return combined
        }
        return try ChaChaPoly.seal(
            plaintext, using: key, nonce: ChaChaPoly.Nonce(data: nonce), authenticating: data
        ).combined
    }

    /// - Parameter sealed: the ciphertext and its tag; at least a tag's length.
    /// - Returns: the plaintext, or nil if it isn't authentic.
    func open(
        _ sealed: UnsafeRawBufferPointer, nonce: UnsafeRawBufferPointer, authenticating data: UnsafeRawBufferPointer
    ) -> Data? {
        let tagStart: Int = sealed.count - RecordCipher.tagLength
        guard tagStart >= 0 else { return nil }
        let ciphertext = UnsafeRawBufferPointer(rebasing: sealed[..<tagStart])
        let tag = UnsafeRawBufferPointer(rebasing: sealed[tagStart...])
        if isGCM {
            guard let nonce = try? AES.GCM.Nonce(data: nonce),
                let box = try? AES.GCM.SealedBox(nonce: nonce, ciphertext: ciphertext, tag: tag)
            else { return nil }
            return try? AES.GCM.open(box, using: key, authenticating: data)
        }
        guard let nonce = try? ChaChaPoly.Nonce(data: nonce),
            let box = try? ChaChaPoly.SealedBox(nonce: nonce, ciphertext: ciphertext, tag: tag)
        else { return nil }
        return try? ChaChaPoly.open(box, using: key, authenticating: data)
    }
}
