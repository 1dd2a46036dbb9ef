import NIOCore
import TLSCrypto
import TLSWire

/// Protects the records of one direction.
struct RecordSealer: ~Copyable, Sendable {
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
    ///   - content: at most 2^14 bytes, and not in the output's storage. What follows it in the same record stands in `second` and `third`.
    ///   - padding: zeros to add, TLS 1.3 only (RFC 8446 §5.4); content and padding together at most 2^14 bytes.
    /// - Throws: if the sequence numbers are used up, or the cipher fails; nothing is appended then.
    mutating func seal(
        _ type: ContentType, _ content: UnsafeRawBufferPointer,
        _ second: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: nil, count: 0),
        _ third: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: nil, count: 0), padding: Int = 0,
        into output: inout ByteBuffer
    ) throws(RecordMisuse) {
        guard sequence < .max else { throw .writeKeyExhausted }
        let length: Int = content.count + second.count + third.count
        let total: Int = length + padding + overhead
        let written: Int = output.writeWithUnsafeMutableBytes(minimumWritableBytes: total) { writable in
            let record = UnsafeMutableRawBufferPointer(rebasing: writable[..<total])
            return write(type, content, second, third, padding: padding, to: record) ? total : 0
        }
        guard written == total else { throw .cipherFailure }
        sequence += 1
    }

    /// - Parameter record: as long as the record.
    private mutating func write(
        _ type: ContentType, _ content: UnsafeRawBufferPointer, _ second: UnsafeRawBufferPointer,
        _ third: UnsafeRawBufferPointer, padding: Int, to record: UnsafeMutableRawBufferPointer
    ) -> Bool {
        let length: Int = content.count + second.count + third.count
        let isTLS13: Bool = suite.version == .tls13
        let outerType: ContentType = isTLS13 ? .applicationData : type
        let payloadLength = UInt16(truncatingIfNeeded: record.count - RecordHeader.length)
        record.storeBytes(of: outerType.rawValue, as: UInt8.self)
        record.storeBytes(of: RecordVersion.tls12.rawValue.bigEndian, toByteOffset: 1, as: UInt16.self)
        record.storeBytes(of: payloadLength.bigEndian, toByteOffset: 3, as: UInt16.self)
        var bodyStart: Int = RecordHeader.length
        if nonce.isExplicit {
            record.storeBytes(of: sequence.bigEndian, toByteOffset: bodyStart, as: UInt64.self)
            bodyStart += 8
        }
        let body = UnsafeMutableRawBufferPointer(rebasing: record[bodyStart...])
        return withUnsafeTemporaryAllocation(byteCount: 32, alignment: 8) { scratch in
            let nonceBytes = UnsafeMutableRawBufferPointer(rebasing: scratch[..<RecordCipher.nonceLength])
            nonce.write(sequence, to: nonceBytes)
            var data = UnsafeRawBufferPointer(rebasing: record[..<RecordHeader.length])
            var source: UnsafeRawBufferPointer = content
            var trailer = UnsafeRawBufferPointer(start: nil, count: 0)
            var (second, third): (UnsafeRawBufferPointer, UnsafeRawBufferPointer) = (second, third)
            if isTLS13, padding == 0 {
                // The inner content type.
                scratch[31] = type.rawValue
                trailer = UnsafeRawBufferPointer(rebasing: scratch[31...])
            } else if isTLS13 {
                var end = 0
                for part in [content, second, third] {
                    UnsafeMutableRawBufferPointer(rebasing: body[end...]).copyMemory(from: part)
                    end += part.count
                }
                body[end] = type.rawValue
                for index in 0..<padding { body[end + 1 + index] = 0 }
                source = UnsafeRawBufferPointer(rebasing: body[..<(end + 1 + padding)])
                second = UnsafeRawBufferPointer(start: nil, count: 0)
                third = second
            } else {
                let tls12Data = UnsafeMutableRawBufferPointer(rebasing: scratch[16..<29])
                RecordNonce.writeTLS12Data(
                    sequence: sequence, type: type.rawValue, length: length, to: tls12Data)
                data = UnsafeRawBufferPointer(tls12Data)
            }
            return key.seal(
                source, second, third, trailer: trailer, into: body, nonce: UnsafeRawBufferPointer(nonceBytes),
                authenticating: data)
        }
    }
}
