import NIOCore
import TLSWire

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Opens the records of one direction.
struct RecordOpener: Sendable {
    let suite: RecordSuite
    private var secret: Secret?
    private var key: AEADKey
    private var nonce: RecordNonce
    /// Of the next record; also the number of records that were opened with this key.
    private(set) var sequence: UInt64

    /// A record's type and content, without padding.
    struct Opened {
        var type: UInt8
        /// Content, then in TLS 1.3 type and padding.
        var bytes: Data
        /// Bytes of content.
        var length: Int

        func write(to buffer: inout ByteBuffer) {
            bytes.withUnsafeBytes { _ = buffer.writeBytes(UnsafeRawBufferPointer(rebasing: $0[..<length])) }
        }
    }

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

    /// The most bytes that a record may carry after its header: 2^14 + 256 in TLS 1.3 (RFC 8446 §5.2). TLS 1.2 allows
    /// 2^14 + 2048 for any cipher; an AEAD suite adds 24 or 16, so more can never be right.
    var maximumPayloadLength: Int {
        RecordHeader.maximumPlaintextLength + (suite.version == .tls13 ? 256 : tls12Overhead)
    }

    private var tls12Overhead: Int { RecordCipher.tagLength + (nonce.isExplicit ? 8 : 0) }

    /// Goes on with the next generation of the secret (RFC 8446 §7.2), from sequence number 0; TLS 1.3 only.
    mutating func update() {
        guard let secret else { return }
        self = RecordOpener(
            suite: suite, secret: TLS13KeySchedule(suite).nextGeneration(of: secret), sequence: 0)
    }

    /// Opens the record at an index of the buffer, which holds all of it. A record that isn't authentic does not count:
    /// the next one is tried with the same sequence number.
    mutating func open(_ buffer: ByteBuffer, at start: Int, header: RecordHeader) throws(RecordError) -> Opened {
        guard sequence < .max else { throw .sequenceExhausted }
        let isTLS13: Bool = suite.version == .tls13
        let explicit: Int = nonce.isExplicit ? 8 : 0
        guard header.payloadLength >= RecordCipher.tagLength + explicit else { throw .badRecordMAC }
        let number: UInt64 =
            nonce.isExplicit ? buffer.getInteger(at: start + RecordHeader.length) ?? 0 : sequence
        let plaintext: Data? = withUnsafeTemporaryAllocation(byteCount: 32, alignment: 8) { scratch in
            let nonceBytes = UnsafeMutableRawBufferPointer(rebasing: scratch[..<RecordCipher.nonceLength])
            let tls12Data = UnsafeMutableRawBufferPointer(rebasing: scratch[16..<29])
            nonce.write(number, to: nonceBytes)
            RecordNonce.writeTLS12Data(
                sequence: sequence, type: header.contentType, length: header.payloadLength - tls12Overhead,
                to: tls12Data)
            return buffer.withUnsafeReadableBytes { readable in
                let base: Int = start - buffer.readerIndex
                let body: Int = base + RecordHeader.length
                let headerBytes = UnsafeRawBufferPointer(rebasing: readable[base..<body])
                let sealed = UnsafeRawBufferPointer(
                    rebasing: readable[(body + explicit)..<(body + header.payloadLength)])
                return key.open(
                    sealed, nonce: UnsafeRawBufferPointer(nonceBytes),
                    authenticating: isTLS13 ? headerBytes : UnsafeRawBufferPointer(tls12Data))
            }
        }
        guard let plaintext else { throw .badRecordMAC }
        sequence += 1
        guard isTLS13 else {
            return Opened(type: header.contentType, bytes: plaintext, length: plaintext.count)
        }
        guard plaintext.count <= RecordHeader.maximumPlaintextLength + 1 else { throw .recordOverflow }
        return try Self.withoutPadding(plaintext)
    }

    /// The last byte that is not zero is the type (RFC 8446 §5.4).
    private static func withoutPadding(_ plaintext: Data) throws(RecordError) -> Opened {
        let (length, type): (Int, UInt8) = plaintext.withUnsafeBytes { bytes in
            var end: Int = bytes.count
            while end > 0, bytes[end - 1] == 0 { end -= 1 }
            return end > 0 ? (end - 1, bytes[end - 1]) : (0, 0)
        }
        guard type != 0 else { throw .missingContentType }
        return Opened(type: type, bytes: plaintext, length: length)
    }
}
