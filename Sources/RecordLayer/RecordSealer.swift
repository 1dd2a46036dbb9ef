import NIOCore
import TLSWire

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Protects the records of one direction.
struct RecordSealer: Sendable {
    /// Sequence numbers kept back for alerts: application data stops, or the key is replaced, that much earlier.
    static let reserve: UInt64 = 8

    let suite: RecordSuite
    /// The traffic secret of this generation; TLS 1.3 only.
    private var secret: Secret?
    private var key: AEADKey
    private var nonce: RecordNonce
    /// Of the next record; also the number of records that this key has protected.
    private(set) var sequence: UInt64

    init(suite: RecordSuite, keys: TrafficKeys, sequence: UInt64) {
        self.suite = suite
        secret = nil
        key = AEADKey(suite.cipher, key: keys.key)
        nonce = RecordNonce(suite: suite, iv: keys.iv)
        self.sequence = sequence
    }

    init(suite: RecordSuite, secret: Secret, sequence: UInt64) {
        self.init(
            suite: suite, keys: TLS13KeySchedule(suite).trafficKeys(suite.cipher, secret: secret), sequence: sequence)
        self.secret = secret
    }

    /// Bytes that a record adds to its content.
    var overhead: Int {
        RecordHeader.length + RecordCipher.tagLength + (suite.version == .tls13 ? 1 : nonce.isExplicit ? 8 : 0)
    }

    /// Goes on with the next generation of the secret (RFC 8446 §7.2), from sequence number 0; TLS 1.3 only.
    mutating func update() {
        guard let secret else { return }
        self = RecordSealer(
            suite: suite, secret: TLS13KeySchedule(suite).nextGeneration(of: secret), sequence: 0)
    }

    /// Appends one record.
    ///
    /// - Parameters:
    ///   - content: at most 2^14 bytes.
    ///   - padding: zeros to add, TLS 1.3 only (RFC 8446 §5.4); content and padding together at most 2^14 bytes.
    /// - Throws: if the sequence numbers are used up; nothing is appended then.
    mutating func seal(
        _ type: ContentType, _ content: ByteBuffer, padding: Int = 0, into output: inout ByteBuffer
    ) throws(RecordMisuse) {
        guard sequence < .max else { throw .writeKeyExhausted }
        let start: Int = output.writerIndex
        let isTLS13: Bool = suite.version == .tls13
        let length: Int = content.readableBytes
        output.reserveCapacity(minimumWritableBytes: length + padding + overhead)
        output.writeInteger(isTLS13 ? ContentType.applicationData.rawValue : type.rawValue)
        output.writeInteger(RecordVersion.tls12.rawValue)
        output.writeInteger(UInt16(length + padding + overhead - RecordHeader.length))
        if nonce.isExplicit {
            output.writeInteger(sequence)
        }
        // The plaintext takes the place of the ciphertext, which then goes over it.
        let bodyStart: Int = output.writerIndex
        output.writeImmutableBuffer(content)
        if isTLS13 {
            output.writeInteger(type.rawValue)
            output.writeRepeatingByte(0, count: padding)
        }
        do {
            let sealed = try withUnsafeTemporaryAllocation(byteCount: 32, alignment: 8) { scratch in
                let nonceBytes = UnsafeMutableRawBufferPointer(rebasing: scratch[..<RecordCipher.nonceLength])
                let tls12Data = UnsafeMutableRawBufferPointer(rebasing: scratch[16..<29])
                nonce.write(sequence, to: nonceBytes)
                RecordNonce.writeTLS12Data(sequence: sequence, type: type.rawValue, length: length, to: tls12Data)
                return try output.withUnsafeReadableBytes { readable in
                    let base: Int = readable.count - (output.writerIndex - start)
                    let header = UnsafeRawBufferPointer(rebasing: readable[base..<(base + RecordHeader.length)])
                    let plaintext = UnsafeRawBufferPointer(rebasing: readable[(base + bodyStart - start)...])
                    return try key.seal(
                        plaintext, nonce: UnsafeRawBufferPointer(nonceBytes),
                        authenticating: isTLS13 ? header : UnsafeRawBufferPointer(tls12Data))
                }
            }
            output.moveWriterIndex(to: bodyStart)
            sealed.withUnsafeBytes { bytes in
                _ = output.writeBytes(UnsafeRawBufferPointer(rebasing: bytes[RecordCipher.nonceLength...]))
            }
        } catch {
            output.moveWriterIndex(to: start)
            throw .cipherFailure
        }
        sequence += 1
    }
}
