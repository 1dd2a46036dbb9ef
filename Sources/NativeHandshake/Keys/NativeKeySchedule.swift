import Crypto

/// From the two randoms to keys: HKDF (RFC 5869) with the suite's hash.
///
///     randoms   = Extract(salt: second random, secret: first random)
///     symmetric = Expand-Label(randoms, "symmetric key", transcript hash up to the first proof, 32)
///     master    = Extract(salt: symmetric, secret: X25519 shared secret, or nothing)
///
/// In the client-derived variant `symmetric` is what the client encrypts to the origin.
struct NativeKeySchedule: Sendable {
    var suite: NativeSuite

    init(_ suite: NativeSuite) { self.suite = suite }

    func symmetricKey(firstRandom: [UInt8], secondRandom: [UInt8], transcriptHash: [UInt8]) -> SymmetricKey {
        let randoms: SymmetricKey = self.extract(salt: secondRandom, secret: SymmetricKey(data: firstRandom))
        return self.expand(randoms, "symmetric key", context: transcriptHash, length: NativeNumbers.randomLength)
    }

    /// - Parameter shared: The X25519 shared secret; nil in the client-derived variant.
    func master(symmetricKey: SymmetricKey, shared: SymmetricKey?) -> SymmetricKey {
        let salt: [UInt8] = symmetricKey.withUnsafeBytes { Array($0) }
        return self.extract(salt: salt, secret: shared ?? SymmetricKey(data: [UInt8]()))
    }

    /// The key of one side's Finished.
    ///
    /// - Parameter transcriptHash: over everything before the first Finished.
    func finishedKey(_ master: SymmetricKey, _ role: NativeRole, transcriptHash: [UInt8]) -> SymmetricKey {
        let label: StaticString = role == .client ? "client finished" : "origin finished"
        return self.expand(master, label, context: transcriptHash, length: self.suite.hashLength)
    }

    /// One side's first traffic secret.
    func trafficSecret(_ master: SymmetricKey, _ role: NativeRole, transcriptHash: [UInt8]) -> SymmetricKey {
        let label: StaticString = role == .client ? "client data" : "origin data"
        return self.expand(master, label, context: transcriptHash, length: self.suite.hashLength)
    }

    /// The key and IV under a traffic secret.
    func trafficKeys(_ secret: SymmetricKey) -> (key: SymmetricKey, iv: SymmetricKey) {
        (
            self.expand(secret, "key", context: [], length: self.suite.keyLength),
            self.expand(secret, "iv", context: [], length: 12)
        )
    }

    /// The traffic secret of the next generation.
    func next(_ secret: SymmetricKey) -> SymmetricKey {
        self.expand(secret, "update", context: [], length: self.suite.hashLength)
    }

    func mac(_ key: SymmetricKey, transcriptHash: [UInt8]) -> [UInt8] {
        self.suite.usesSHA384
            ? Array(HMAC<SHA384>.authenticationCode(for: transcriptHash, using: key))
            : Array(HMAC<SHA256>.authenticationCode(for: transcriptHash, using: key))
    }

    /// Compares in constant time.
    func isValid(_ mac: [UInt8], _ key: SymmetricKey, transcriptHash: [UInt8]) -> Bool {
        self.suite.usesSHA384
            ? HMAC<SHA384>.isValidAuthenticationCode(mac, authenticating: transcriptHash, using: key)
            : HMAC<SHA256>.isValidAuthenticationCode(mac, authenticating: transcriptHash, using: key)
    }

    private func extract(salt: [UInt8], secret: SymmetricKey) -> SymmetricKey {
        self.suite.usesSHA384
            ? SymmetricKey(data: HKDF<SHA384>.extract(inputKeyMaterial: secret, salt: salt))
            : SymmetricKey(data: HKDF<SHA256>.extract(inputKeyMaterial: secret, salt: salt))
    }

    /// HKDF-Expand; info is the length (2 bytes), the label behind its length (1 byte) with the prefix
    /// "latchstring native 1 ", and the context behind its length (1 byte).
    private func expand(_ secret: SymmetricKey, _ label: StaticString, context: [UInt8], length: Int) -> SymmetricKey {
        let name: String = "latchstring native 1 \(label)"
        var info: [UInt8] = [UInt8(length >> 8), UInt8(length & 0xFF), UInt8(name.utf8.count)]
        info += name.utf8
        info.append(UInt8(context.count))
        info += context
        return self.suite.usesSHA384
            ? HKDF<SHA384>.expand(pseudoRandomKey: secret, info: info, outputByteCount: length)
            : HKDF<SHA256>.expand(pseudoRandomKey: secret, info: info, outputByteCount: length)
    }
}
