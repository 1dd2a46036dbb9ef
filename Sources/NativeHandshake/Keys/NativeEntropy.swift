import Crypto

/// Where randoms come from. Tests put in what they want to see again.
struct NativeEntropy: Sendable {
    /// 32 bytes.
    var random: @Sendable () -> [UInt8]
    var share: @Sendable () -> Curve25519.KeyAgreement.PrivateKey
    /// Encrypts a secret to the origin's key.
    var seal:
        @Sendable (OriginPublicKey, SymmetricKey, _ info: [UInt8], _ binding: [UInt8]) throws(NativeError) -> [UInt8]

    static let system = NativeEntropy(
        random: { SymmetricKey(size: .bits256).withUnsafeBytes { Array($0) } },
        share: { Curve25519.KeyAgreement.PrivateKey() },
        seal: { (key, secret, info, binding) throws(NativeError) in
            try key.seal(secret: secret, info: info, binding: binding)
        })
}

extension Curve25519.KeyAgreement.PrivateKey {
    /// - Throws: ``NativeError/weakShare`` if the other share has a small order (RFC 7748 section 6.1).
    func shared(with share: [UInt8]) throws(NativeError) -> SymmetricKey {
        guard let key = try? Curve25519.KeyAgreement.PublicKey(rawRepresentation: share),
            let shared = try? self.sharedSecretFromKeyAgreement(with: key).withUnsafeBytes({ SymmetricKey(data: $0) })
        else { throw .weakShare }
        // The library leaves this to its caller.
        let bits: UInt8 = shared.withUnsafeBytes { bytes in bytes.reduce(0) { $0 | $1 } }
        guard bits != 0 else { throw .weakShare }
        return shared
    }
}
