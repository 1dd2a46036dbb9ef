import NIOCore
import TLSCrypto
import TLSWire

/// Opens the records of one direction.
struct RecordOpener: ~Copyable, Sendable {
    let suite: RecordSuite
    private var secret: Secret?
    private var key: AEADKey
    private var nonce: RecordNonce
    /// Of the next record; also the number of records that were opened with this key.
    private(set) var sequence: UInt64

    /// A record's type and the length of its content, without padding.
    struct Opened: Equatable {
        var type: UInt8
        var length: Int
    }

    init(suite: RecordSuite, keys: TrafficKeys, sequence: UInt64) {
        self.suite = suite
        key = AEADKey(suite.cipher, key: keys.key)
        nonce = RecordNonce(suite: suite, iv: keys.iv)
        self.sequence = sequence
    }

    init(suite: RecordSuite, secret: Secret, sequence: UInt64) {
        self.suite = suite
        self.secret = secret
        key = AEADKey(suite, trafficSecret: secret)
        nonce = RecordNonce(suite: suite, trafficSecret: secret)
        self.sequence = sequence
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

    /// Opens the record at an index of the buffer, which holds all of it.
    ///
    /// A record that isn't authentic does not count: the next one is tried with the same sequence number. Nothing of it is
    /// left in the output's storage.
    ///
    /// - Parameter plaintext: gets the content behind its writer index, which stays: what it is for must be decided first.
    mutating func open(
        _ buffer: ByteBuffer, at start: Int, header: RecordHeader, into plaintext: inout ByteBuffer
    ) throws(RecordError) -> Opened {
        guard sequence < .max else { throw .sequenceExhausted }
        let explicit: Int = nonce.isExplicit ? 8 : 0
        let length: Int = header.payloadLength - RecordCipher.tagLength - explicit
        guard length >= 0 else { throw .badRecordMAC }
        // One byte at least: there is no pointer into nothing.
        plaintext.reserveCapacity(minimumWritableBytes: max(length, 1))
        let opened: Opened? = buffer.withUnsafeReadableBytes { readable in
            plaintext.withUnsafeMutableWritableBytes { writable in
                let base: Int = start - buffer.readerIndex
                return read(
                    UnsafeRawBufferPointer(
                        rebasing: readable[base..<(base + RecordHeader.length + header.payloadLength)]),
                    type: header.contentType, explicit: explicit,
                    into: UnsafeMutableRawBufferPointer(rebasing: writable[..<length]))
            }
        }
        guard let opened else { throw .badRecordMAC }
        sequence += 1
        guard suite.version == .tls13 else { return opened }
        guard length <= RecordHeader.maximumPlaintextLength + 1 else { throw .recordOverflow }
        guard opened.type != 0 else { throw .missingContentType }
        return opened
    }

    /// - Returns: nil if the record is not authentic; type 0 if it is nothing but padding.
    private mutating func read(
        _ record: UnsafeRawBufferPointer, type: UInt8, explicit: Int, into output: UnsafeMutableRawBufferPointer
    ) -> Opened? {
        let isTLS13: Bool = suite.version == .tls13
        let bodyStart: Int = RecordHeader.length + explicit
        let number: UInt64 =
            explicit > 0
            ? UInt64(bigEndian: record.loadUnaligned(fromByteOffset: RecordHeader.length, as: UInt64.self)) : sequence
        let isAuthentic: Bool = withUnsafeTemporaryAllocation(byteCount: 32, alignment: 8) { scratch in
            let nonceBytes = UnsafeMutableRawBufferPointer(rebasing: scratch[..<RecordCipher.nonceLength])
            nonce.write(number, to: nonceBytes)
            var data = UnsafeRawBufferPointer(rebasing: record[..<RecordHeader.length])
            if !isTLS13 {
                let tls12Data = UnsafeMutableRawBufferPointer(rebasing: scratch[16..<29])
                RecordNonce.writeTLS12Data(sequence: sequence, type: type, length: output.count, to: tls12Data)
                data = UnsafeRawBufferPointer(tls12Data)
            }
            return key.open(
                UnsafeRawBufferPointer(rebasing: record[bodyStart...]), into: output,
                nonce: UnsafeRawBufferPointer(nonceBytes),
                authenticating: data)
        }
        guard isAuthentic else { return nil }
        guard isTLS13 else { return Opened(type: type, length: output.count) }
        // The last byte that is not zero is the type (RFC 8446 §5.4).
        var end: Int = output.count
        while end > 0, output[end - 1] == 0 { end -= 1 }
        return end > 0 ? Opened(type: output[end - 1], length: end - 1) : Opened(type: 0, length: 0)
    }
}
