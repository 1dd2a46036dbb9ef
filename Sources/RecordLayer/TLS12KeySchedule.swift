/// The part of the TLS 1.2 key schedule (RFC 5246 §5, §6.3) that leads from a master secret to record keys.
///
/// For a key holder, which knows the master secret and lends no more than the keys.
public enum TLS12KeySchedule {
    /// The write keys and IVs of both sides (RFC 5246 §6.3; AEAD suites have no MAC keys, RFC 5288 §3, RFC 7905 §2).
    ///
    /// - Parameters:
    ///   - masterSecret: 48 bytes.
    ///   - clientRandom: 32 bytes, as in the ClientHello.
    ///   - serverRandom: 32 bytes, as in the ServerHello.
    /// - Throws: ``ExportedSessionError/wrongVersion`` for a suite of TLS 1.3, ``ExportedSessionError/secretLength`` for a
    ///   master secret of another length, ``ExportedSessionError/randomLength``.
    public static func keys(
        suite: RecordSuite, masterSecret: Secret, clientRandom: [UInt8], serverRandom: [UInt8]
    ) throws(ExportedSessionError) -> (client: TrafficKeys, server: TrafficKeys) {
        guard suite.version == .tls12 else { throw .wrongVersion }
        guard masterSecret.count == 48 else { throw .secretLength }
        guard clientRandom.count == 32, serverRandom.count == 32 else { throw .randomLength }
        let keyLength: Int = suite.cipher.keyLength
        let ivLength: Int = suite.ivLength
        let block: Secret = expand(
            masterSecret, "key expansion", seed: serverRandom + clientRandom, hash: suite.hash,
            length: 2 * (keyLength + ivLength))
        // Client key, server key, client IV, server IV.
        return block.withUnsafeBytes { bytes in
            func part(_ start: Int, _ length: Int) -> Secret { Secret(bytes[start..<(start + length)]) }
            let ivs: Int = 2 * keyLength
            return (
                TrafficKeys(key: part(0, keyLength), iv: part(ivs, ivLength)),
                TrafficKeys(key: part(keyLength, keyLength), iv: part(ivs + ivLength, ivLength))
            )
        }
    }

    /// The pseudorandom function (RFC 5246 §5): P_hash over label and seed.
    static func expand(
        _ secret: Secret, _ label: StaticString, seed: [UInt8], hash: RecordHash, length: Int
    ) -> Secret {
        let labelAndSeed: [UInt8] = label.withUTF8Buffer { Array($0) } + seed
        return Secret(count: length) { output in
            var a: Secret = labelAndSeed.withUnsafeBytes { hash.authenticate($0, key: secret) }
            var filled = 0
            while filled < length {
                // A(i) || label || seed; A(i) is as secret as what comes of it.
                let input = Secret(count: a.count + labelAndSeed.count) { input in
                    a.withUnsafeBytes { input.copyMemory(from: $0) }
                    labelAndSeed.withUnsafeBytes {
                        UnsafeMutableRawBufferPointer(rebasing: input[hash.length...]).copyMemory(from: $0)
                    }
                }
                let part: Secret = input.withUnsafeBytes { hash.authenticate($0, key: secret) }
                part.withUnsafeBytes { part in
                    let count: Int = min(part.count, length - filled)
                    UnsafeMutableRawBufferPointer(rebasing: output[filled...])
                        .copyMemory(from: UnsafeRawBufferPointer(rebasing: part[..<count]))
                    filled += count
                }
                a = a.withUnsafeBytes { hash.authenticate($0, key: secret) }
            }
        }
    }
}
