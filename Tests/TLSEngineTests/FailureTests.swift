import NIOCore
import TLSWire
import Testing

@testable import RecordLayer
@testable import TLSEngine

/// Handshakes that come to no good end: who is told what, and that nothing leaves once a session is lent.
@Suite struct FailureTests {
    let site: TestSite

    init() throws { self.site = try #require(TestSite.shared) }

    static let versions: [UInt16] = [TLSVersion.tls12, TLSVersion.tls13]

    // MARK: The signer

    /// The ServerHello that was held back comes first, or the client would not understand the alert.
    @Test(arguments: versions)
    func aRefusedSignatureIsAnInternalErrorBehindTheServerHello(version: UInt16) throws {
        let client = BoringClient(.init(versions: version...version))
        let server = try ServerSide(self.site.context()) { _ in nil }
        #expect(try server.receive(client.advance()).readableBytes == 0)
        let output: ByteBuffer = server.refuseSignature()
        #expect(output.getInteger(at: output.readerIndex) == ContentType.handshake.rawValue)
        #expect(output.getInteger(at: output.readerIndex + 5) == HandshakeType.serverHello.rawValue)
        _ = client.advance(output)
        #expect(client.alert == Alert.Description.internalError.rawValue)
        #expect(client.failure?.contains("INTERNAL_ERROR") == true)
    }

    /// The server does not check it; the client does.
    @Test(arguments: versions)
    func aWrongSignatureIsTheClientsToFind(version: UInt16) throws {
        let context = try self.site.context()
        let client = BoringClient(.init(versions: version...version, schemes: [0x0403]))
        let server = try ServerSide(context) { try self.site.otherECDSA.sign($0) }
        try shake(client, server)
        #expect(client.failure == "BAD_SIGNATURE")
        let alert: UInt8 = Alert.Description.decryptError.rawValue
        if version == TLSVersion.tls13 {
            #expect(server.recordEnd == .alert(alert))
            #expect(server.finishFailure == .clientAlert(alert))
        } else {
            #expect(server.end?.failure == .clientAlert(alert))
            #expect(server.end?.output.readableBytes == 0)
        }
        // Whose fault it was can be found out.
        let request: SignatureRequest = try #require(server.requests.first)
        #expect(!context.verifies(try self.site.otherECDSA.sign(request), for: request))
        #expect(context.verifies(try self.site.sign(request), for: request))
    }

    @Test(arguments: versions)
    func aSignatureThatIsTooLongIsNone(version: UInt16) throws {
        let client = BoringClient(.init(versions: version...version))
        let server = try ServerSide(self.site.context()) { _ in [UInt8](repeating: 1, count: 1_000) }
        try shake(client, server)
        guard case .notSigned = server.end?.failure else {
            Issue.record("\(String(describing: server.end))")
            return
        }
        #expect(client.alert == Alert.Description.internalError.rawValue)
    }

    // MARK: The client

    /// It refuses the certificate.
    @Test(arguments: versions)
    func theClientsAlertKeepsItsReason(version: UInt16) throws {
        let client = BoringClient(.init(versions: version...version, verifies: false))
        let server = try ServerSide(self.site.context()) { try self.site.sign($0) }
        try shake(client, server)
        #expect(client.failure == "CERTIFICATE_VERIFY_FAILED")
        let alert: UInt8 = Alert.Description.certificateUnknown.rawValue
        if version == TLSVersion.tls13 {
            #expect(server.recordEnd == .alert(alert))
            #expect(server.finishFailure == .clientAlert(alert))
        } else {
            #expect(server.end?.failure == .clientAlert(alert))
        }
    }

    /// In the clear, as OpenSSL sends it, behind the ChangeCipherSpec that middleboxes like.
    @Test(arguments: [[] as [UInt8], [20, 3, 3, 0, 1, 1]])
    func anAlertInTheClearAfterTheFlightKeepsItsReason(before: [UInt8]) throws {
        let client = BoringClient()
        let server = try ServerSide(self.site.context()) { try self.site.sign($0) }
        _ = try server.receive(client.advance())
        #expect(server.session != nil)
        let output: ByteBuffer = try server.receive(ByteBuffer(bytes: before + [21, 3, 3, 0, 2, 2, 48]))
        #expect(output.readableBytes == 0)
        #expect(server.finishFailure == .clientAlert(Alert.Description.unknownCA.rawValue))
        #expect(server.recordEnd == .alert(Alert.Description.unknownCA.rawValue))
    }

    @Test func anAlertInPlaceOfAHello() throws {
        for (bytes, alert): ([UInt8], UInt8) in [([2, 40], 40), ([1, 0], 0)] {
            let server = try ServerSide(self.site.context()) { try self.site.sign($0) }
            let output: ByteBuffer = try server.receive(ByteBuffer(bytes: [21, 3, 1, 0, 2] + bytes))
            #expect(server.end?.failure == .clientAlert(alert))
            #expect(output.readableBytes == 0)
        }
    }

    // MARK: The client's Finished

    /// A Finished of TLS 1.3, protected as it should be, with what the test wants in it.
    private func finished(_ server: ServerSide, _ content: [UInt8], _ type: ContentType = .handshake) throws
        -> ByteBuffer
    {
        let session: ExportedSession = try #require(server.session?.session)
        guard case .tls13(_, _, let finished) = session.secrets, let finished else {
            throw RecordMisuse.cipherFailure
        }
        var sealer = RecordSealer(suite: session.suite, keys: finished.keys, sequence: 0)
        var output = ByteBuffer()
        try content.withUnsafeBytes { try sealer.seal(type, $0, into: &output) }
        return output
    }

    private func verifyData(_ server: ServerSide) throws -> [UInt8] {
        guard case .tls13(_, _, let finished) = try #require(server.session?.session.secrets), let finished else {
            throw RecordMisuse.cipherFailure
        }
        return finished.verifyData.withUnsafeBytes { Array($0) }
    }

    private func serverBehindItsFlight() throws -> ServerSide {
        let keys = try TestSite.ticketKeys()
        let server = try ServerSide(
            self.site.context { $0.tickets = TicketPolicy(keys: keys) }
        ) { try self.site.sign($0) }
        _ = try server.receive(BoringClient().advance())
        return server
    }

    /// The verify_data that is exported is the one that BoringSSL takes; any other, no tickets.
    @Test func theExportedVerifyDataIsTheOnlyOne() throws {
        let good: ServerSide = try self.serverBehindItsFlight()
        let data: [UInt8] = try self.verifyData(good)
        let output: ByteBuffer = try good.receive(
            try self.finished(good, [20, 0, 0, UInt8(data.count)] + data))
        #expect(good.isVerified && good.tickets?.readableBytes ?? 0 > 0 && output.readableBytes > 0)
        for index in data.indices {
            let server: ServerSide = try self.serverBehindItsFlight()
            var wrong: [UInt8] = try self.verifyData(server)
            wrong[index] ^= 1
            _ = try server.receive(try self.finished(server, [20, 0, 0, UInt8(wrong.count)] + wrong))
            #expect(!server.isVerified && server.tickets == nil)
            #expect(server.finishFailure == .refused("digest check failed"))
        }
    }

    @Test func anythingElseThanTheFinishedMakesNoTickets() throws {
        let messages: [(ContentType, [UInt8])] = [
            (.handshake, [20, 0, 0, 0]), (.handshake, [20, 0, 0, 31] + [UInt8](repeating: 0, count: 31)),
            (.handshake, [24, 0, 0, 1, 0]), (.handshake, [1, 0, 0, 0]), (.handshake, [11, 0, 0, 4, 0, 0, 0, 0]),
            (.applicationData, [1, 2, 3]), (.handshake, []), (.alert, [2, 40]), (.alert, [1, 0]), (.alert, [1]),
            (.handshake, [20, 0xFF, 0xFF, 0xFF]), (.changeCipherSpec, [1]),
        ]
        for (type, content) in messages {
            let server: ServerSide = try self.serverBehindItsFlight()
            _ = try server.receive(try self.finished(server, content, type))
            #expect(!server.isVerified && server.tickets == nil, "\(type) \(content)")
        }
        // A record that does not open.
        let server: ServerSide = try self.serverBehindItsFlight()
        _ = try server.receive(ByteBuffer(bytes: [23, 3, 3, 0, 32] + [UInt8](repeating: 9, count: 32)))
        #expect(server.finishFailure == .refused("decryption failed or bad record mac"))
        #expect(server.tickets == nil && !server.isVerified)
    }

    @Test func aWrongFinishedOfTLS12() throws {
        let client = BoringClient(.init(versions: TLSVersion.tls12...TLSVersion.tls12))
        let server = try ServerSide(self.site.context()) { try self.site.sign($0) }
        var answer: ByteBuffer = client.advance(try server.receive(client.advance()))
        let last: Int = answer.writerIndex - 1
        answer.setInteger(try #require(answer.getInteger(at: last, as: UInt8.self)) ^ 1, at: last)
        let output: ByteBuffer = try server.receive(answer)
        #expect(server.session == nil)
        #expect(server.end?.failure == .refused("decryption failed or bad record mac"))
        #expect(output.readableBytes > 0)
    }

    /// The request comes in the segment with the Finished: it is for the record layer, whole.
    @Test(arguments: versions)
    func whatFollowsTheHandshakeStaysTheTakers(version: UInt16) throws {
        let client = BoringClient(.init(versions: version...version))
        let server = try ServerSide(self.site.context()) { try self.site.sign($0) }
        var answer: ByteBuffer = client.advance(try server.receive(client.advance()))
        if version == TLSVersion.tls12 {
            // This client waits for the server's Finished; a part of a record stands for what others send before.
            answer.writeBytes([23, 3, 3, 0, 50, 1, 2])
            _ = client.advance(try server.receive(answer))
            #expect(client.isDone && server.session != nil && server.recordEnd == nil)
            return
        }
        answer.writeImmutableBuffer(client.write(ByteBuffer(string: "GET / HTTP/1.1")))
        for byte in answer.readableBytesView { _ = try server.receive(ByteBuffer(bytes: [byte])) }
        #expect(server.isVerified && server.received == ByteBuffer(string: "GET / HTTP/1.1"))
        #expect(server.finishFailure == nil && server.tickets != nil)
    }

    // MARK: Giving up

    @Test func aHandshakeThatIsAbortedTellsTheClient() throws {
        let handshake = try ServerHandshake(try self.site.context())
        let alert: ByteBuffer = handshake.abort(.internalError)
        #expect(alert == ByteBuffer(bytes: [21, 3, 1, 0, 2, 2, 80]) || alert == Alert(.internalError).record())
    }

    /// Values that are dropped in each state free what they hold: address sanitizer would say if not, or twice.
    @Test func handshakesMayBeDroppedAnywhere() throws {
        for drop in 0..<4 {
            let client = BoringClient()
            var hello: ByteBuffer = client.advance()
            if drop == 0 { continue }
            let handshake = try ServerHandshake(try self.site.context())
            if drop == 1 { continue }
            guard case .needsSignature(let awaited) = handshake.receive(&hello), drop > 2 else { continue }
            let signature: [UInt8] = try self.site.sign(awaited.request)
            guard case .exported(_, let finished, _) = awaited.complete(signature) else {
                Issue.record("no session")
                continue
            }
            let isTLS13: Bool = finished != nil
            #expect(isTLS13)
        }
    }
}
