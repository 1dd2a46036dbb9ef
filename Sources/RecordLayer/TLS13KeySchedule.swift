import TLSCrypto

/// The parts of the TLS 1.3 key schedule (RFC 8446 §7) that a record layer needs from a traffic secret on.
public struct TLS13KeySchedule: Sendable {
    public var hash: RecordHash

    public init(_ suite: RecordSuite) {
        hash = suite.hash
    }

    /// HKDF-Expand-Label without a context (RFC 8446 §7.1).
    ///
    /// - Parameters:
    ///   - label: without the prefix "tls13 "; at most 249 bytes, and the labels of the RFC are far shorter.
    ///   - length: bytes wanted; at most one digest, which is all that TLS ever takes.
    public func expandLabel(
        _ secret: Secret, _ label: StaticString, length: Int
    ) -> Secret {
        precondition(length <= hash.length, "not a use of TLS")
        return Secret(count: length) { output in
            secret.withUnsafeBytes {
                HKDF.expandLabel(hash.algorithm, secret: $0, label: label, into: output)
            }
        }
    }

    /// The write key and IV of a traffic secret (RFC 8446 §7.3).
    public func trafficKeys(_ cipher: RecordCipher, secret: Secret) -> TrafficKeys {
        TrafficKeys(
            key: expandLabel(secret, "key", length: cipher.keyLength),
            iv: expandLabel(secret, "iv", length: RecordCipher.nonceLength))
    }

    /// The application traffic secret after a KeyUpdate (RFC 8446 §7.2).
    public func nextGeneration(of secret: Secret) -> Secret {
        expandLabel(secret, "traffic upd", length: hash.length)
    }

    /// The verify_data of a Finished (RFC 8446 §4.4.4).
    ///
    /// - Parameters:
    ///   - baseSecret: the handshake traffic secret of the side that sends the Finished.
    ///   - transcriptHash: over all messages before that Finished.
    public func verifyData(baseSecret: Secret, transcriptHash: [UInt8]) -> Secret {
        let finishedKey: Secret = expandLabel(baseSecret, "finished", length: hash.length)
        return transcriptHash.withUnsafeBytes { hash.authenticate($0, key: finishedKey) }
    }
}

/// The key and the implicit part of the nonce with which one side protects its records.
public struct TrafficKeys: Sendable, Equatable {
    public var key: Secret
    public var iv: Secret

    public init(key: Secret, iv: Secret) {
        self.key = key
        self.iv = iv
    }
}
