import NIOCore
import Testing

@testable import RecordLayer

@Suite struct ExportedSessionCodecTests {
    /// One of each shape.
    static func sessions(_ suite: RecordSuite) throws -> [ExportedSession] {
        func filled(_ count: Int, _ byte: UInt8) -> Secret { Secret([UInt8](repeating: byte, count: count)) }
        func keys(_ byte: UInt8) -> TrafficKeys {
            TrafficKeys(key: filled(suite.cipher.keyLength, byte), iv: filled(suite.ivLength, byte + 1))
        }
        guard suite.version == .tls13 else {
            return [
                try ExportedSession(
                    suite: suite, applicationProtocol: Array("http/1.1".utf8),
                    secrets: .tls12(client: keys(1), server: keys(3)), clientSequence: 1, serverSequence: .max)
            ]
        }
        let finished = ExportedSession.ClientFinished(keys: keys(5), verifyData: filled(suite.hash.length, 7))
        return try [finished, nil].map { finished in
            try ExportedSession(
                suite: suite, applicationProtocol: finished == nil ? nil : [UInt8](repeating: 65, count: 255),
                secrets: .tls13(
                    client: filled(suite.hash.length, 8), server: filled(suite.hash.length, 9), finished: finished),
                clientSequence: finished == nil ? 77 : 0, serverSequence: 3)
        }
    }

    static func encoded(_ session: ExportedSession) -> ByteBuffer {
        var buffer = ByteBuffer()
        session.encode(into: &buffer)
        return buffer
    }

    @Test(arguments: RecordSuite.allCases)
    func roundTrip(suite: RecordSuite) throws {
        for session in try Self.sessions(suite) {
            let bytes: ByteBuffer = Self.encoded(session)
            #expect(bytes.readableBytes <= ExportedSession.maximumEncodedLength)
            #expect(try ExportedSession(decoding: bytes) == session)
        }
    }

    /// The layout is a contract between releases.
    @Test func layout() throws {
        let suite = RecordSuite.ecdheRSAAES128GCMSHA256
        let session = try ExportedSession(
            suite: suite, applicationProtocol: Array("h2".utf8),
            secrets: .tls12(
                client: .init(key: secret("000102030405060708090a0b0c0d0e0f"), iv: secret("10111213")),
                server: .init(key: secret("202122232425262728292a2b2c2d2e2f"), iv: secret("30313233"))),
            clientSequence: 1, serverSequence: 2)
        #expect(
            Array(Self.encoded(session).readableBytesView)
                == hex(
                    """
                    01 c02f 02 6832 0000000000000001 0000000000000002
                    10 000102030405060708090a0b0c0d0e0f 04 10111213
                    10 202122232425262728292a2b2c2d2e2f 04 30313233
                    """))
    }

    @Test(arguments: RecordSuite.allCases)
    func everyTruncationAndOneByteMore(suite: RecordSuite) throws {
        for session in try Self.sessions(suite) {
            let bytes: ByteBuffer = Self.encoded(session)
            for length in 0..<bytes.readableBytes {
                #expect(throws: ExportedSessionError.truncated) {
                    try ExportedSession(decoding: try #require(bytes.getSlice(at: 0, length: length)))
                }
            }
            var longer: ByteBuffer = bytes
            longer.writeInteger(0, as: UInt8.self)
            #expect(throws: ExportedSessionError.trailingBytes(1)) { try ExportedSession(decoding: longer) }
        }
    }

    /// A byte of length one up or down never reads as a session.
    @Test(arguments: RecordSuite.allCases)
    func wrongLengths(suite: RecordSuite) throws {
        for session in try Self.sessions(suite) {
            let bytes: ByteBuffer = Self.encoded(session)
            let name: Int = session.applicationProtocol?.count ?? 0
            var position: Int = 1 + 2 + 1 + name + 16
            var lengths: [Int] = [3]
            while position < bytes.readableBytes {
                guard let length: UInt8 = bytes.getInteger(at: position) else { break }
                // The flag before the Finished has no length.
                if suite.version == .tls13, lengths.count == 3, length <= 1 {
                    position += 1
                    lengths.append(position)
                    guard length == 1, let key: UInt8 = bytes.getInteger(at: position) else { break }
                    position += 1 + Int(key)
                    continue
                }
                lengths.append(position)
                position += 1 + Int(length)
            }
            for index in lengths where index < bytes.readableBytes {
                for delta in [UInt8(1), 255] {
                    var altered: ByteBuffer = bytes
                    let value: UInt8 = try #require(bytes.getInteger(at: index))
                    altered.setInteger(value &+ delta, at: index)
                    #expect(throws: ExportedSessionError.self) { try ExportedSession(decoding: altered) }
                }
            }
        }
    }

    @Test func formatSuiteAndFlag() throws {
        let session: ExportedSession = try Self.sessions(.aes128GCMSHA256)[1]
        var bytes: ByteBuffer = Self.encoded(session)
        bytes.setInteger(2, at: 0, as: UInt8.self)
        #expect(throws: ExportedSessionError.unknownFormat(2)) { try ExportedSession(decoding: bytes) }
        bytes = Self.encoded(session)
        bytes.setInteger(0x1304, at: 1, as: UInt16.self)
        #expect(throws: ExportedSessionError.unknownSuite(0x1304)) { try ExportedSession(decoding: bytes) }
        // A suite with the same cipher, but of the other version.
        bytes.setInteger(0x1302, at: 1, as: UInt16.self)
        #expect(throws: ExportedSessionError.secretLength) { try ExportedSession(decoding: bytes) }
        bytes = Self.encoded(session)
        bytes.setInteger(2, at: bytes.writerIndex - 1, as: UInt8.self)
        #expect(throws: ExportedSessionError.finishedFlag(2)) { try ExportedSession(decoding: bytes) }
    }

    /// What is to open the Finished cannot come with application records that were before it.
    @Test func sequenceBeforeFinished() throws {
        var bytes: ByteBuffer = Self.encoded(try Self.sessions(.aes256GCMSHA384)[0])
        bytes.setInteger(1, at: 1 + 2 + 256, as: UInt64.self)
        #expect(throws: ExportedSessionError.sequenceBeforeFinished) { try ExportedSession(decoding: bytes) }
    }
}
