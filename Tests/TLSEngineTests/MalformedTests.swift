import NIOCore
import RecordLayer
import TLSWire
import Testing

@testable import TLSEngine

/// Clients that break the rules before there is a session: the alert that the RFC names, and the process goes on.
@Suite struct MalformedTests {
    let site: TestSite
    let context: ServerContext

    init() throws {
        self.site = try #require(TestSite.shared)
        self.context = try self.site.context()
    }

    private func hello(_ options: BoringClient.Options = .init()) throws -> EditableHello {
        try #require(EditableHello(BoringClient(options).advance()))
    }

    /// What the server says to these bytes.
    @discardableResult
    private func server(_ bytes: ByteBuffer, _ context: ServerContext? = nil) throws -> (ServerSide, ByteBuffer) {
        let server = try ServerSide(context ?? self.context) { try self.site.sign($0) }
        return (server, try server.receive(bytes))
    }

    /// Expects a plain fatal alert and nothing else, unasked signatures included.
    private func expect(
        _ alert: Alert.Description, _ bytes: ByteBuffer, _ what: String = "", signed: Bool = false,
        _ context: ServerContext? = nil, location: SourceLocation = #_sourceLocation
    ) throws {
        let (server, output) = try self.server(bytes, context)
        #expect(Array(output.readableBytesView.suffix(2)) == [2, alert.rawValue], "\(what)", sourceLocation: location)
        #expect(output.readableBytes == 7, "\(what)", sourceLocation: location)
        guard case .refused = server.end?.failure else {
            Issue.record("\(what): \(String(describing: server.end))", sourceLocation: location)
            return
        }
        #expect(server.requests.isEmpty || signed, "\(what)", sourceLocation: location)
    }

    // MARK: Records

    @Test func recordLimits() throws {
        // The header alone is enough.
        try self.expect(.recordOverflow, ByteBuffer(bytes: [22, 3, 1, 0xFF, 0xFF]), "65535 bytes")
        try self.expect(.recordOverflow, ByteBuffer(bytes: [22, 3, 1, 0x48, 0x01]), "2^14 + 2049 bytes")
        try self.expect(
            .recordOverflow, EditableHello.record(22, [UInt8](repeating: 1, count: 16_385)), "2^14 + 1 bytes")
        // A hello may be as long as a record.
        var long: EditableHello = try self.hello()
        long[0x1234] = [UInt8](repeating: 0, count: 16_384 - long.message.count - 4)
        #expect(long.message.count == 16_384)
        #expect(try self.server(long.record).0.session != nil)
    }

    @Test func unknownRecordTypes() throws {
        for type: UInt8 in [0, 1, 19, 24, 25, 71, 0x80, 255] {
            try self.expect(.unexpectedMessage, ByteBuffer(bytes: [type, 3, 1, 0, 1, 1]), "type \(type)")
        }
        // An SSL 2 hello, and a client that speaks HTTP.
        try self.expect(.unexpectedMessage, ByteBuffer(bytes: [0x80, 0x2E, 1, 3, 1, 0, 0x15]))
        try self.expect(.unexpectedMessage, ByteBuffer(string: "GET / HTTP/1.1\r\n\r\n"))
    }

    @Test func recordsThatDoNotBelongThere() throws {
        let hello: EditableHello = try self.hello()
        try self.expect(.unexpectedMessage, EditableHello.record(23, [1, 2, 3]), "data")
        try self.expect(.unexpectedMessage, EditableHello.record(20, [1]), "ChangeCipherSpec")
        var cut: ByteBuffer = EditableHello.record(22, Array(hello.message.prefix(10)))
        cut.writeImmutableBuffer(EditableHello.record(20, [1]))
        try self.expect(.unexpectedMessage, cut, "ChangeCipherSpec inside of a hello")
        for type: UInt8 in [0, 2, 4, 8, 11, 16, 20, 24] {
            try self.expect(.unexpectedMessage, EditableHello.record(22, [type, 0, 0, 0]), "message \(type)")
        }
        try self.expect(
            .unexpectedMessage, EditableHello.record(22, hello.message + hello.message), "two hellos in one record")
        // Behind the hello, in a record of its own, it is the record layer's to refuse.
        var two: ByteBuffer = hello.record
        two.writeImmutableBuffer(hello.record)
        let (server, _) = try self.server(two)
        #expect(server.session != nil && server.tickets == nil && !server.isVerified)
    }

    /// Empty handshake records are not allowed (RFC 8446 §5.1); BoringSSL takes a bounded number.
    @Test func emptyRecordsAreBounded() throws {
        var many = ByteBuffer()
        for _ in 0..<100 { many.writeImmutableBuffer(EditableHello.record(22, [])) }
        let (server, output) = try self.server(many)
        #expect(server.end != nil && output.readableBytes == 7)
    }

    @Test func aHelloMayComeInPieces() throws {
        let message: [UInt8] = try self.hello().message
        for size in [1, 5, 100] where message.count / size * 6 < ServerHandshake.maximumBytes {
            let server = try ServerSide(self.context) { try self.site.sign($0) }
            for start in stride(from: 0, to: message.count, by: size) {
                let record = EditableHello.record(22, Array(message[start..<min(start + size, message.count)]))
                for byte in record.readableBytesView { _ = try server.receive(ByteBuffer(bytes: [byte])) }
            }
            #expect(server.session != nil, "\(size)")
        }
    }

    @Test func bytesAreBounded() throws {
        // A hello of 16 kB, a byte in each record.
        var long: EditableHello = try self.hello()
        long[0x1234] = [UInt8](repeating: 0, count: 16_384 - long.message.count - 4)
        var pieces = ByteBuffer()
        for byte in long.message { pieces.writeImmutableBuffer(EditableHello.record(22, [byte])) }
        let (server, output) = try self.server(pieces)
        #expect(server.end?.failure == .refused("more bytes than a handshake needs"))
        #expect(output == ByteBuffer(bytes: [21, 3, 1, 0, 2, 2, 50]) || output == Alert(.decodeError).record())
        // A message that says that it is longer than any hello.
        try self.expect(.illegalParameter, EditableHello.record(22, [1, 0xFF, 0xFF, 0xFF]), "16 MB")
    }

    /// The Finished that a key holder makes for itself to get the tickets is not one byte too many.
    @Test func aHelloOfAllTheBytesThereAreLeavesRoomForTheFinished() throws {
        var long: EditableHello = try self.hello()
        long[0x1234] = [UInt8](repeating: 0, count: 13_001 - long.message.count - 4)
        let message: [UInt8] = long.message
        var pieces = ByteBuffer()
        for byte in message.prefix(10_506) { pieces.writeImmutableBuffer(EditableHello.record(22, [byte])) }
        pieces.writeImmutableBuffer(EditableHello.record(22, Array(message.dropFirst(10_506))))
        #expect(pieces.readableBytes == ServerHandshake.maximumBytes)
        guard case .needsSignature(let awaited) = try ServerHandshake(self.context).receive(&pieces) else {
            Issue.record("no signature is asked for")
            return
        }
        let signature: [UInt8] = try self.site.sign(awaited.request)
        guard case .exported(let session, .some(let finished), _) = awaited.complete(signature) else {
            Issue.record("no session")
            return
        }
        var expected: ByteBuffer = try #require(session.session.expectedFinished())
        guard case .completed = finished.receive(&expected) else {
            Issue.record("the Finished is refused")
            return
        }
    }

    // MARK: Versions

    @Test func versionGames() throws {
        var hello: EditableHello = try self.hello()
        // The record's version: anything of SSL 3 and TLS is taken, nothing else.
        for version: UInt16 in [0x0300, 0x0301, 0x0303, 0x0304, 0x03FF] {
            hello.recordVersion = version
            #expect(try self.server(hello.record).0.session != nil, "record version \(version)")
        }
        hello.recordVersion = 0x0200
        try self.expect(.protocolVersion, hello.record, "record version 2")
        hello = try self.hello()
        // A legacy version beyond TLS 1.2 asks for TLS 1.2 (RFC 8446 §4.2.1), whatever the number is.
        hello[43] = nil
        for legacy: UInt16 in [0x0303, 0x0304, 0x0399] {
            hello.legacyVersion = legacy
            let (server, output) = try self.server(hello.record)
            #expect(server.requests.first.map { $0.content.count < 200 } == true, "legacy version \(legacy)")
            let message = try #require(
                output.getSlice(at: 5, length: 4 + Int(output.getInteger(at: 7, as: UInt16.self) ?? 0)))
            let answer = try ServerHello(parsing: message)
            #expect(answer.version == TLSVersion.tls12)
            // Told to clients that speak TLS 1.3 and were talked out of it (RFC 8446 §4.1.3).
            #expect(answer.random.suffix(8) == Array("DOWNGRD".utf8) + [1])
        }
        for legacy: UInt16 in [0x0002, 0x0300, 0x0301, 0x0302] {
            hello.legacyVersion = legacy
            try self.expect(.protocolVersion, hello.record, "legacy version \(legacy)")
        }
        hello = try self.hello()
        for versions: [UInt8] in [[2, 3, 1], [2, 3, 2], [2, 0x7F, 0x1C], [2, 3, 5], [4, 3, 0, 3, 1]] {
            hello[43] = versions
            try self.expect(.protocolVersion, hello.record, "versions \(versions)")
        }
        for versions: [UInt8] in [[], [0], [1, 3], [2, 3, 4, 0]] {
            hello[43] = versions
            try self.expect(.decodeError, hello.record, "versions \(versions)")
        }
    }

    /// A client that was made to fall back says so (RFC 7507).
    @Test func aFallbackIsRefused() throws {
        var hello: EditableHello = try self.hello(.init(versions: TLSVersion.tls12...TLSVersion.tls12))
        hello.suites.append(0x5600)
        try self.expect(.inappropriateFallback, hello.record)
    }

    // MARK: Key shares

    @Test func badKeyShares() throws {
        let cases: [(String, UInt16, [UInt8], Alert.Description)] = [
            ("X25519 of zeros", TLSGroup.x25519, [UInt8](repeating: 0, count: 32), .illegalParameter),
            ("X25519 too short", TLSGroup.x25519, [UInt8](repeating: 9, count: 31), .illegalParameter),
            ("X25519 too long", TLSGroup.x25519, [UInt8](repeating: 9, count: 33), .illegalParameter),
            (
                "P-256 off the curve", TLSGroup.secp256r1, [4] + [UInt8](repeating: 7, count: 64), .illegalParameter
            ),
            ("P-256 compressed", TLSGroup.secp256r1, [2] + [UInt8](repeating: 7, count: 32), .illegalParameter),
            ("P-256 at infinity", TLSGroup.secp256r1, [0], .illegalParameter),
            ("P-384 of zeros", TLSGroup.secp384r1, [4] + [UInt8](repeating: 0, count: 96), .illegalParameter),
            (
                "MLKEM too short", TLSGroup.x25519MLKEM768, [UInt8](repeating: 1, count: 1_215), .illegalParameter
            ),
            (
                "MLKEM with coefficients beyond the modulus", TLSGroup.x25519MLKEM768,
                [UInt8](repeating: 0xFF, count: 1_216), .illegalParameter
            ),
            (
                "MLKEM with X25519 of zeros", TLSGroup.x25519MLKEM768,
                [UInt8](repeating: 0, count: 1_216), .illegalParameter
            ),
            ("no key", TLSGroup.x25519, [], .decodeError),
        ]
        for (name, group, key, alert) in cases {
            var hello: EditableHello = try self.hello(.init(groups: [group]))
            hello[51] = EditableHello.keyShares([(group, key)])
            try self.expect(alert, hello.record, name)
        }
    }

    @Test func keyShareListsThatAreNone() throws {
        var hello: EditableHello = try self.hello(.init(groups: [TLSGroup.x25519]))
        let good: [UInt8] = try #require(hello[51])
        let key = Array(good.suffix(32))
        hello[51] = EditableHello.keyShares([(TLSGroup.x25519, key), (TLSGroup.x25519, key)])
        try self.expect(.illegalParameter, hello.record, "twice the same group")
        for body: [UInt8] in [[], [0], [0, 1], good + [0], Array(good.dropLast())] {
            hello[51] = body
            try self.expect(.decodeError, hello.record, "\(body.count) bytes")
        }
        // None at all is a question (RFC 8446 §4.2.8).
        hello[51] = [0, 0]
        let (server, output) = try self.server(hello.record)
        #expect(server.session == nil && server.end == nil)
        #expect(output.getInteger(at: 5) == HandshakeType.serverHello.rawValue)
    }

    @Test func missingExtensions() throws {
        // key_share, supported_groups, signature_algorithms (RFC 8446 §9.2). BoringSSL has a broader word for the last.
        let cases: [(UInt16, Alert.Description)] = [
            (51, .missingExtension), (10, .missingExtension), (13, .handshakeFailure),
        ]
        for (type, alert) in cases {
            var hello: EditableHello = try self.hello()
            hello[type] = nil
            try self.expect(alert, hello.record, "without \(type)")
        }
    }

    @Test func anAnswerToARetryThatIsNone() throws {
        let context = try self.site.context { $0.groups = [TLSGroup.secp256r1] }
        let client = BoringClient(.init(groups: [TLSGroup.x25519, TLSGroup.secp256r1]))
        let first: ByteBuffer = client.advance()
        for same in [true, false] {
            let server = try ServerSide(context) { try self.site.sign($0) }
            let retry: ByteBuffer = try server.receive(first)
            #expect(server.end == nil && server.session == nil && retry.readableBytes > 0)
            var second = try #require(EditableHello(first))
            if !same { second[51] = nil }
            let output: ByteBuffer = try server.receive(second.record)
            let alert: Alert.Description = same ? .illegalParameter : .missingExtension
            #expect(Array(output.readableBytesView.suffix(2)) == [2, alert.rawValue])
            #expect(server.requests.isEmpty)
        }
    }

    // MARK: The rest of the hello

    @Test func compressionIsRefused() throws {
        for methods: [UInt8] in [[1], [1, 0], [0, 1]] {
            var hello: EditableHello = try self.hello()
            hello.compression = methods
            try self.expect(.illegalParameter, hello.record, "\(methods)")
        }
    }

    @Test func extensionsMayNotRepeat() throws {
        var hello: EditableHello = try self.hello()
        hello.extensions.insert(hello.extensions[1], at: 0)
        try self.expect(.decodeError, hello.record)
    }

    @Test func suitesThatAreNotAllowed() throws {
        for suite: UInt16 in [0xC009, 0xC013, 0x002F, 0x009C, 0x000A, 0x0005, 0x0000] {
            var hello: EditableHello = try self.hello(.init(versions: TLSVersion.tls12...TLSVersion.tls12))
            hello.suites = [suite]
            try self.expect(.handshakeFailure, hello.record, "suite \(suite)")
        }
        var hello: EditableHello = try self.hello()
        hello.suites = [0xC02B]
        try self.expect(.handshakeFailure, hello.record, "TLS 1.3 without one of its suites")
    }

    /// Whatever is altered or cut, there is an answer or a wait, and nothing else happens.
    @Test func alteredHellos() throws {
        let keys = try TestSite.ticketKeys()
        let context = try self.site.context {
            $0.tickets = TicketPolicy(keys: keys)
            $0.applicationProtocols = [Array("h2".utf8)]
        }
        let pair = try Pair(.init(protocols: ["h2"]), context, self.site)
        let hellos: [ByteBuffer] = [
            BoringClient(.init(groups: [29], protocols: ["h2"], session: pair.client.sessions.first)).advance(),
            BoringClient(.init(versions: TLSVersion.tls12...TLSVersion.tls12, protocols: ["h2"])).advance(),
        ]
        for hello in hellos {
            for index in hello.readableBytesView.indices {
                for bit: UInt8 in [0x01, 0x80] {
                    var altered: ByteBuffer = hello
                    altered.setInteger(try #require(hello.getInteger(at: index, as: UInt8.self)) ^ bit, at: index)
                    let (server, output) = try self.server(altered, context)
                    #expect(server.end == nil || output.readableBytes > 0 || server.end?.output.readableBytes == 0)
                }
            }
            for length in 0..<hello.readableBytes {
                let (server, output) = try self.server(
                    try #require(hello.getSlice(at: hello.readerIndex, length: length)))
                #expect(server.end == nil && server.session == nil && output.readableBytes == 0)
            }
        }
    }
}
