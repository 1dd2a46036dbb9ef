import NIOCore
import Testing

@testable import RecordLayer

/// Known answers: RFC 8448 §3, "Simple 1-RTT Handshake".
@Suite struct RFC8448Tests {
    static let suite = RecordSuite.aes128GCMSHA256
    static let clientHandshake = secret("b3eddb126e067f35a780b3abf45e2d8f3b1a950738f52e9600746a0e27a55a21")
    static let serverHandshake = secret("b67b7d690cc16c4e75e54213cb2d37b4e9c912bcded9105d42befd59d391ad38")
    static let clientApplication = secret("9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5")
    static let serverApplication = secret("a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643")
    /// Of ClientHello...server Finished.
    static let transcript = hex("9608102a0f1ccc6db6250b7b7e417b1a000eaada3daae4777a7686c9ff83df13")
    static let clientVerifyData = secret("a8ec436d677634ae525ac1fcebe11a039ec17694fac6e98527b642f2edd5ce61")
    /// 00 01 02 ... 31, sent by both sides.
    static let payload: [UInt8] = Array(0x00...0x31)

    static let clientFinishedRecord = hex(
        """
        17 03 03 00 35 75 ec 4d c2 38 cc e6 0b 29 80 44 a7 1e 21 9c 56 cc 77 b0 51 7f e9 b9 3c 7a 4b fc 44 d8 7f 38
        f8 03 38 ac 98 fc 46 de b3 84 bd 1c ae ac ab 68 67 d7 26 c4 05 46
        """)
    static let clientDataRecord = hex(
        """
        17 03 03 00 43 a2 3f 70 54 b6 2c 94 d0 af fa fe 82 28 ba 55 cb ef ac ea 42 f9 14 aa 66 bc ab 3f 2b 98 19 a8
        a5 b4 6b 39 5b d5 4a 9a 20 44 1e 2b 62 97 4e 1f 5a 62 92 a2 97 70 14 bd 1e 3d ea e6 3a ee bb 21 69 49 15 e4
        """)
    static let serverDataRecord = hex(
        """
        17 03 03 00 43 2e 93 7e 11 ef 4a c7 40 e5 38 ad 36 00 5f c4 a4 69 32 fc 32 25 d0 5f 82 aa 1b 36 e3 0e fa f9
        7d 90 e6 df fc 60 2d cb 50 1a 59 a8 fc c4 9c 4b f2 e5 f0 a2 1c 00 47 c2 ab f3 32 54 0d d0 32 e1 67 c2 95 5d
        """)
    static let clientCloseRecord = hex("17 03 03 00 13 c9 87 27 60 65 56 66 b7 4d 7f f1 15 3e fd 6d b6 d0 b0 e3")
    static let serverCloseRecord = hex("17 03 03 00 13 b5 8f d6 71 66 eb f5 99 d2 47 20 cf be 7e fa 7a 88 64 a9")

    @Test func trafficKeysComeFromTrafficSecrets() {
        func keys(_ secret: Secret) -> TrafficKeys {
            TLS13KeySchedule(Self.suite).trafficKeys(Self.suite.cipher, secret: secret)
        }
        #expect(keys(Self.clientHandshake).key == secret("dbfaa693d1762c5b666af5d950258d01"))
        #expect(keys(Self.clientHandshake).iv == secret("5bd3c71b836e0b76bb73265f"))
        #expect(keys(Self.serverHandshake).key == secret("3fce516009c21727d0f2e4e86ee403bc"))
        #expect(keys(Self.serverHandshake).iv == secret("5d313eb2671276ee13000b30"))
        #expect(keys(Self.clientApplication).key == secret("17422dda596ed5d9acd890e3c63f5051"))
        #expect(keys(Self.clientApplication).iv == secret("5b78923dee08579033e523d9"))
        #expect(keys(Self.serverApplication).key == secret("9f02283b6c9c07efc26bb9f2ac92e356"))
        #expect(keys(Self.serverApplication).iv == secret("cf782b88dd83549aadf1e984"))
    }

    @Test func finishedKeyAndVerifyData() {
        let schedule = TLS13KeySchedule(Self.suite)
        #expect(
            schedule.expandLabel(Self.clientHandshake, "finished", length: 32)
                == secret("b80ad01015fb2f0bd65ff7d4da5d6bf83f84821d1f87fdc7d3c75b5a7b42d9c4"))
        #expect(
            schedule.verifyData(baseSecret: Self.clientHandshake, transcriptHash: Self.transcript)
                == Self.clientVerifyData)
    }

    /// The trace from the client's Finished to both close_notify alerts. The server's first application record is its
    /// ticket, so what we send begins at sequence number 1.
    @Test func trace() throws {
        let schedule = TLS13KeySchedule(Self.suite)
        let exported = try ExportedSession(
            suite: Self.suite, applicationProtocol: nil,
            secrets: .tls13(
                client: Self.clientApplication, server: Self.serverApplication,
                finished: .init(
                    keys: schedule.trafficKeys(Self.suite.cipher, secret: Self.clientHandshake),
                    verifyData: Self.clientVerifyData)),
            serverSequence: 1)
        var session = RecordSession(exported)

        let first = session.receive(ByteBuffer(bytes: Self.clientFinishedRecord))
        #expect(first == Reception(handshakeCompleted: true))
        let second = session.receive(ByteBuffer(bytes: Self.clientDataRecord))
        #expect(second == Reception(applicationData: ByteBuffer(bytes: Self.payload)))
        let sent = try session.send(ByteBuffer(bytes: Self.payload))
        #expect(sent == ByteBuffer(bytes: Self.serverDataRecord))
        let third = session.receive(ByteBuffer(bytes: Self.clientCloseRecord))
        #expect(third == Reception(end: .closed))
        let close = session.close()
        #expect(close == ByteBuffer(bytes: Self.serverCloseRecord))
    }

    /// The same bytes, cut at every place.
    @Test func traceInEverySplit() throws {
        let bytes: [UInt8] = Self.clientFinishedRecord + Self.clientDataRecord + Self.clientCloseRecord
        let schedule = TLS13KeySchedule(Self.suite)
        for split in 0...bytes.count {
            var session = RecordSession(
                try ExportedSession(
                    suite: Self.suite, applicationProtocol: nil,
                    secrets: .tls13(
                        client: Self.clientApplication, server: Self.serverApplication,
                        finished: .init(
                            keys: schedule.trafficKeys(Self.suite.cipher, secret: Self.clientHandshake),
                            verifyData: Self.clientVerifyData))))
            let parts: [Reception] = [
                session.receive(ByteBuffer(bytes: bytes[..<split])),
                session.receive(ByteBuffer(bytes: bytes[split...])),
            ]
            #expect(parts.filter(\.handshakeCompleted).count == 1)
            #expect(parts.compactMap(\.applicationData) == [ByteBuffer(bytes: Self.payload)])
            #expect(parts.compactMap(\.end) == [.closed])
            #expect(parts.allSatisfy { $0.reply == nil })
        }
    }
}
