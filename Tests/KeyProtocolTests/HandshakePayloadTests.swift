import KeyProtocol
import NIOCore
import Testing

@Suite("Key protocol: payloads of the handshake functions")
struct HandshakePayloadTests {
    static let clientBytes = ByteBuffer(bytes: [22, 3, 1, 0, 1, 1])

    // MARK: Begin

    @Test("A begin survives the wire", arguments: [["h2", "http/1.1"], ["http/1.1", "h2"], ["h2"], ["http/1.1"]])
    func begin(protocols: [String]) throws {
        let begin = HandshakeBegin(applicationProtocols: protocols, clientBytes: Self.clientBytes)
        #expect(try HandshakeBegin(decoding: begin.encoded()) == begin)
    }

    @Test("The layout of a begin is the documented one")
    func beginLayout() throws {
        let begin = HandshakeBegin(applicationProtocols: ["h2"], clientBytes: Self.clientBytes)
        #expect(try begin.encoded() == ByteBuffer(bytes: [1, 2] + Array("h2".utf8) + [22, 3, 1, 0, 1, 1]))
    }

    @Test("A begin cut before the client's bytes is refused")
    func truncatedBegin() throws {
        let begin = HandshakeBegin(applicationProtocols: ["h2", "http/1.1"], clientBytes: Self.clientBytes)
        let bytes: ByteBuffer = try begin.encoded()
        let prefix: Int = bytes.readableBytes - Self.clientBytes.readableBytes
        for length in 0..<bytes.readableBytes {
            let cut: ByteBuffer = try #require(bytes.getSlice(at: 0, length: length))
            if length <= prefix {
                #expect(throws: KeyPayloadError.truncated) { try HandshakeBegin(decoding: cut) }
            } else {
                // What the client's bytes are is not this codec's to judge.
                #expect(try HandshakeBegin(decoding: cut).clientBytes.readableBytes == length - prefix)
            }
        }
    }

    @Test("Counts other than 1 and 2 are refused", arguments: [UInt8(0), 3, 255])
    func beginCount(count: UInt8) {
        let payload = ByteBuffer(bytes: [count, 2] + Array("h2".utf8) + [22, 3, 1])
        #expect(throws: KeyPayloadError.badValue("number of protocols")) { try HandshakeBegin(decoding: payload) }
    }

    @Test(
        "Only the two protocols that edges serve are accepted", arguments: ["", "h3", "H2", "h2c", "http/1.0", "h2\0"])
    func beginProtocol(name: String) {
        let payload = ByteBuffer(bytes: [1, UInt8(name.utf8.count)] + Array(name.utf8) + [22, 3, 1])
        #expect(throws: KeyPayloadError.badValue("application protocol")) { try HandshakeBegin(decoding: payload) }
        let begin = HandshakeBegin(applicationProtocols: [name], clientBytes: Self.clientBytes)
        #expect(throws: KeyEncodingError.self) { try begin.encoded() }
    }

    @Test("A protocol twice, none or no client bytes cannot be encoded, nor decoded")
    func beginBounds() {
        for protocols in [[], ["h2", "h2"], ["h2", "http/1.1", "h2"]] as [[String]] {
            let begin = HandshakeBegin(applicationProtocols: protocols, clientBytes: Self.clientBytes)
            #expect(throws: KeyEncodingError.self) { try begin.encoded() }
        }
        let empty = HandshakeBegin(applicationProtocols: ["h2"], clientBytes: ByteBuffer())
        #expect(throws: KeyEncodingError.self) { try empty.encoded() }
        let twice = ByteBuffer(bytes: [2, 2] + Array("h2".utf8) + [2] + Array("h2".utf8) + [22])
        #expect(throws: KeyPayloadError.badValue("application protocol named twice")) {
            try HandshakeBegin(decoding: twice)
        }
    }

    // MARK: Continue and finish

    @Test("A continue carries an id and at least one byte", arguments: [0, 1, 0xDEAD_BEEF_0123_4567, UInt64.max])
    func continuing(id: UInt64) throws {
        let request = HandshakeContinue(handshake: id, clientBytes: Self.clientBytes)
        #expect(try HandshakeContinue(decoding: request.encoded()) == request)
        for length in 0...8 {
            let cut: ByteBuffer = try #require(try request.encoded().getSlice(at: 0, length: length))
            #expect(throws: KeyPayloadError.truncated) { try HandshakeContinue(decoding: cut) }
        }
        let empty = HandshakeContinue(handshake: id, clientBytes: ByteBuffer())
        #expect(throws: KeyEncodingError.self) { try empty.encoded() }
    }

    @Test("A forget carries an id and nothing else", arguments: [0, 1, 0xDEAD_BEEF_0123_4567, UInt64.max])
    func forgetting(id: UInt64) throws {
        let request = HandshakeForget(handshake: id)
        var bytes: ByteBuffer = request.encoded()
        #expect(bytes.readableBytes == 8)
        #expect(try HandshakeForget(decoding: bytes) == request)
        for length in 0..<8 {
            let cut: ByteBuffer = try #require(bytes.getSlice(at: 0, length: length))
            #expect(throws: KeyPayloadError.truncated) { try HandshakeForget(decoding: cut) }
        }
        bytes.writeInteger(UInt8(0))
        #expect(throws: KeyPayloadError.trailingBytes) { try HandshakeForget(decoding: bytes) }
    }

    // MARK: Progress

    static let session = ByteBuffer(bytes: [UInt8](repeating: 7, count: 300))

    static let states: [HandshakeProgress.State] = [
        .needsMore, .exported(session: session, tickets: clientBytes),
        .exported(session: session, tickets: ByteBuffer()),
        .failed(reason: "no shared cipher suite"), .failed(reason: String(repeating: "x", count: 255)),
        .exported(session: ByteBuffer(integer: UInt8(1)), tickets: ByteBuffer(integer: UInt8(4))),
    ]

    @Test("Progress survives the wire, with and without server bytes", arguments: states)
    func progress(state: HandshakeProgress.State) throws {
        for bytes in [ByteBuffer(), Self.clientBytes] {
            let progress = HandshakeProgress(handshake: 0x0102_0304_0506_0708, state: state, serverBytes: bytes)
            #expect(try HandshakeProgress(decoding: progress.encoded()) == progress)
        }
    }

    @Test("The layout of progress is the documented one")
    func progressLayout() throws {
        func bytes(_ state: HandshakeProgress.State) throws -> [UInt8] {
            let progress = HandshakeProgress(handshake: 0x0102, state: state, serverBytes: ByteBuffer(bytes: [9, 9]))
            return Array(try progress.encoded().readableBytesView)
        }
        let id: [UInt8] = [0, 0, 0, 0, 0, 0, 1, 2]
        let session = ByteBuffer(bytes: [5, 6, 7])
        #expect(try bytes(.needsMore) == id + [1, 9, 9])
        let tickets = ByteBuffer(bytes: [4, 8])
        #expect(try bytes(.exported(session: session, tickets: tickets)) == id + [2, 0, 3, 5, 6, 7, 0, 2, 4, 8, 9, 9])
        #expect(try bytes(.exported(session: session, tickets: ByteBuffer())) == id + [2, 0, 3, 5, 6, 7, 0, 0, 9, 9])
        #expect(try bytes(.failed(reason: "no")) == id + [3, 2] + Array("no".utf8) + [9, 9])
    }

    @Test("Progress cut inside its own fields is refused", arguments: states)
    func truncatedProgress(state: HandshakeProgress.State) throws {
        let bytes: ByteBuffer = try HandshakeProgress(handshake: 1, state: state, serverBytes: ByteBuffer()).encoded()
        for length in 0..<bytes.readableBytes {
            let cut: ByteBuffer = try #require(bytes.getSlice(at: 0, length: length))
            #expect(throws: KeyPayloadError.truncated) { try HandshakeProgress(decoding: cut) }
        }
    }

    @Test("Progress with values that no key holder sends is refused")
    func badProgress() {
        let id = [UInt8](repeating: 0, count: 8)
        for state: UInt8 in [0, 4, 255] {
            #expect(throws: KeyPayloadError.badValue("state of the handshake")) {
                try HandshakeProgress(decoding: ByteBuffer(bytes: id + [state, 0, 1, 1]))
            }
        }
        #expect(throws: KeyPayloadError.badValue("empty session")) {
            try HandshakeProgress(decoding: ByteBuffer(bytes: id + [2, 0, 0, 1]))
        }
        #expect(throws: KeyPayloadError.badValue("empty reason")) {
            try HandshakeProgress(decoding: ByteBuffer(bytes: id + [3, 0, 1]))
        }
        for byte: UInt8 in [0, 10, 0x1F, 0x7F, 0x80, 0xFF] {
            #expect(throws: KeyPayloadError.badValue("reason")) {
                try HandshakeProgress(decoding: ByteBuffer(bytes: id + [3, 1, byte]))
            }
        }
    }

    @Test("Progress that does not fit cannot be encoded")
    func progressBounds() throws {
        func encode(_ state: HandshakeProgress.State, _ count: Int = 0) throws -> ByteBuffer {
            try HandshakeProgress(
                handshake: 1, state: state, serverBytes: ByteBuffer(repeating: 0, count: count)
            ).encoded()
        }
        let (none, short) = (ByteBuffer(), ByteBuffer(integer: UInt8(1)))
        #expect(throws: KeyEncodingError.self) { try encode(.exported(session: none, tickets: none)) }
        let long = ByteBuffer(repeating: 0, count: 65_536)
        #expect(throws: KeyEncodingError.self) { try encode(.exported(session: long, tickets: none)) }
        #expect(throws: KeyEncodingError.self) { try encode(.exported(session: short, tickets: long)) }
        for reason in ["", String(repeating: "x", count: 256), "line\nbreak", "naïve"] {
            #expect(throws: KeyEncodingError.self) { try encode(.failed(reason: reason)) }
        }
        // 65,535 bytes of body: 4 for the opcode, 3 for the payload's header, 9 for id and state.
        let largest: ByteBuffer = try encode(.needsMore, 65_535 - 16)
        #expect(throws: KeyEncodingError.bodyTooLarge(65_536)) { try encode(.needsMore, 65_536 - 16) }
        var packet = ByteBuffer()
        #expect(throws: Never.self) { try KeyPacket.success(id: 1, payload: largest).encode(into: &packet) }
    }

    @Test("What stands beside a session: read where it is known, and skipped where it is not")
    func facts() throws {
        var progress = HandshakeProgress(
            handshake: 7, state: .exported(session: ByteBuffer(bytes: [1, 2]), tickets: ByteBuffer(bytes: [3])),
            serverBytes: ByteBuffer(bytes: [22]))
        let bare = progress
        for facts in [
            SessionFacts(group: 29, resumed: false), SessionFacts(group: nil, resumed: true),
            SessionFacts(group: 0x11EC, resumed: true),
        ] {
            progress.facts = facts
            let answer = KeyMessage(opcode: .success, payload: try progress.encoded(), extra: progress.extra)
            #expect(try HandshakeProgress(decoding: answer) == progress)
            // An edge of before reads the payload alone.
            #expect(try HandshakeProgress(decoding: answer.payload) == bare)
            var longer = answer
            longer.extra?.writeBytes([9, 9])
            #expect(try HandshakeProgress(decoding: longer) == progress)
        }
        #expect(progress.extra.map { Array($0.readableBytesView) } == [1, 0x11, 0xEC])
        for extra in [nil, ByteBuffer(), ByteBuffer(bytes: [1, 0])] {
            let answer = KeyMessage(opcode: .success, payload: try bare.encoded(), extra: extra)
            #expect(try HandshakeProgress(decoding: answer) == bare)
        }
        // Only beside a session.
        let other = HandshakeProgress(handshake: 7, state: .needsMore, serverBytes: ByteBuffer())
        let answer = KeyMessage(opcode: .success, payload: try other.encoded(), extra: ByteBuffer(bytes: [1, 0, 29]))
        #expect(try HandshakeProgress(decoding: answer) == other)
    }
}
