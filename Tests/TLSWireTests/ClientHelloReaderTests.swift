import NIOCore
import TLSWire
import Testing

@Suite("ClientHelloReader: from segments to a hello")
struct ClientHelloReaderTests {
    static let cap = 1 << 16

    /// Feeds the parts one after the other and gives the last answer; stops at the first verdict.
    static func read(_ parts: [[UInt8]], cap: Int = cap) -> ClientHelloReader.Action {
        var reader = ClientHelloReader(maximumBytes: cap)
        for part: [UInt8] in parts {
            let action: ClientHelloReader.Action = reader.receive(ByteBuffer(bytes: part))
            if action != .needMore { return action }
        }
        return .needMore
    }

    static func readBytewise(_ bytes: [UInt8], cap: Int = cap) -> ClientHelloReader.Action {
        read(bytes.map { [$0] }, cap: cap)
    }

    /// Whole and byte by byte must agree.
    static func readBothWays(_ bytes: [UInt8], cap: Int = cap) -> ClientHelloReader.Action {
        let action: ClientHelloReader.Action = read([bytes], cap: cap)
        #expect(readBytewise(bytes, cap: cap) == action)
        return action
    }

    static func hello(_ hello: CapturedHello) throws -> ClientHello {
        try ClientHello(parsing: ByteBuffer(bytes: hello.message))
    }

    @Test("every split position", arguments: CapturedHello.all)
    func splits(captured: CapturedHello) throws {
        let expected: ClientHelloReader.Action = .hello(try Self.hello(captured))
        for cut in 0...captured.bytes.count {
            let action = Self.read([Array(captured.bytes[..<cut]), Array(captured.bytes[cut...])])
            if action != expected { Issue.record("cut at \(cut): \(action)") }
        }
        #expect(Self.readBytewise(captured.bytes) == expected)
    }

    @Test("every truncation needs more", arguments: CapturedHello.all)
    func truncations(captured: CapturedHello) {
        var reader = ClientHelloReader(maximumBytes: Self.cap)
        for (index, byte) in captured.bytes.dropLast().enumerated() {
            let action = reader.receive(ByteBuffer(bytes: [byte]))
            if action != .needMore { Issue.record("after \(index + 1) bytes: \(action)") }
        }
    }

    @Test("two records, cut at every position", arguments: CapturedHello.all)
    func twoRecords(captured: CapturedHello) throws {
        let expected: ClientHelloReader.Action = .hello(try Self.hello(captured))
        for cut in 1..<captured.message.count {
            let action = Self.read([records(captured.message, cuts: [cut])])
            if action != expected { Issue.record("cut at \(cut): \(action)") }
        }
    }

    @Test("three records, cut at every pair of positions")
    func threeRecords() throws {
        let message: [UInt8] = CapturedHello.openSSL10.message
        let expected: ClientHelloReader.Action = .hello(try Self.hello(.openSSL10))
        for first in 1..<message.count - 1 {
            for second in first + 1..<message.count {
                let action = Self.read([records(message, cuts: [first, second])])
                if action != expected { Issue.record("cuts at \(first) and \(second): \(action)") }
            }
        }
    }

    @Test("records of alternating sizes, in segments of any size", arguments: CapturedHello.all)
    func alternatingRecords(captured: CapturedHello) throws {
        let expected: ClientHelloReader.Action = .hello(try Self.hello(captured))
        let message: [UInt8] = captured.message
        for (first, second) in [(1, 1), (3, 1), (4, 5), (16, 1), (100, 7), (1000, 300)] {
            var cuts: [Int] = []
            var next: Int = first
            while next < message.count {
                cuts.append(next)
                next += cuts.count.isMultiple(of: 2) ? first : second
            }
            let bytes: [UInt8] = records(message, cuts: cuts)
            #expect(Self.readBothWays(bytes) == expected)
            for size in [3, 64, 1448] {
                let segments: [[UInt8]] = stride(from: 0, to: bytes.count, by: size).map {
                    Array(bytes[$0..<min($0 + size, bytes.count)])
                }
                #expect(Self.read(segments) == expected, "records of \(first) and \(second), segments of \(size)")
            }
        }
    }

    @Test("each byte changed: a hello or a rejection, and the same for any cut", arguments: CapturedHello.all)
    func mutations(captured: CapturedHello) {
        for index in captured.bytes.indices {
            for mask in [0x01, 0x80, 0xFF] as [UInt8] {
                var bytes: [UInt8] = captured.bytes
                bytes[index] ^= mask
                let whole: ClientHelloReader.Action = Self.read([bytes])
                let halves: ClientHelloReader.Action = Self.read([Array(bytes[..<index]), Array(bytes[index...])])
                if whole != halves { Issue.record("byte \(index) with \(mask): \(whole) or \(halves)") }
            }
        }
    }

    @Test("received bytes come back unchanged, with what followed the hello")
    func replay() {
        let early: [UInt8] = record([1, 2, 3], type: 23, version: 0x0303)
        let bytes: [UInt8] = records(CapturedHello.postQuantum.message, cuts: [3, 900]) + early
        for size in [1, 100, bytes.count] {
            var reader = ClientHelloReader(maximumBytes: Self.cap)
            for start in stride(from: 0, to: bytes.count, by: size) {
                _ = reader.receive(ByteBuffer(bytes: bytes[start..<min(start + size, bytes.count)]))
            }
            #expect(Array(reader.takeReceivedBytes().readableBytesView) == bytes)
            #expect(reader.takeReceivedBytes().readableBytes == 0)
        }
    }

    @Test("a verdict is final; after a rejection nothing is kept")
    func verdictIsFinal() {
        var reader = ClientHelloReader(maximumBytes: Self.cap)
        #expect(reader.receive(ByteBuffer(string: "SSH-2.0-x\r\n")) == .reject(.notTLS))
        #expect(reader.receive(ByteBuffer(bytes: CapturedHello.curl.bytes)) == .reject(.notTLS))
        #expect(reader.takeReceivedBytes().readableBytes == 0)
    }

    @Test(
        "plain HTTP is recognised",
        arguments: [
            "GET / HTTP/1.1\r\n", "HEAD /", "POST /x", "PUT /", "DELETE /", "CONNECT a:1", "OPTIONS *", "TRACE /",
            "PATCH /", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        ])
    func plainHTTP(request: String) {
        #expect(Self.readBothWays(Array(request.utf8)) == .reject(.plainHTTP))
        #expect(HelloRejection.plainHTTP.alert == nil)
    }

    @Test("beginnings of HTTP need more, until they can't be HTTP")
    func almostHTTP() {
        #expect(Self.readBothWays(Array("GE".utf8)) == .needMore)
        #expect(Self.readBothWays(Array("P".utf8)) == .needMore)
        #expect(Self.readBothWays(Array("GEX".utf8)) == .reject(.notTLS))
        #expect(Self.readBothWays(Array("get /".utf8)) == .reject(.notTLS))
    }

    @Test("what is not TLS is told by its first bytes")
    func notTLS() {
        // SSL 2.0's hello, an alert, application data, a record of version 2.
        for bytes in [[0x80, 0x2E, 1, 3, 1], [21, 3, 3, 0, 2, 1, 0], [23, 3, 3], [0], [22, 2], [22, 0xFE]] as [[UInt8]]
        {
            #expect(Self.readBothWays(bytes) == .reject(.notTLS))
        }
        #expect(Self.readBothWays([]) == .needMore)
        #expect(Self.readBothWays([22, 3]) == .needMore)
    }

    @Test("records that must not be there")
    func badRecords() {
        let message: [UInt8] = CapturedHello.openSSL13.message
        let start: [UInt8] = record(Array(message[..<50]))
        let rest: [UInt8] = Array(message[50...])
        #expect(Self.readBothWays(start + record(rest, type: 20)) == .reject(.unexpectedRecord))
        #expect(Self.readBothWays(start + record([1, 0], type: 21)) == .reject(.unexpectedRecord))
        #expect(Self.readBothWays(start + record(rest, type: 99)) == .reject(.unexpectedRecord))
        #expect(Self.readBothWays(start + record([])) == .reject(.emptyRecord))
        #expect(Self.readBothWays(record([])) == .reject(.emptyRecord))
        #expect(Self.readBothWays(start + record(rest, version: 0x0203)) == .reject(.badRecordVersion))
        #expect(Self.readBothWays([22, 3, 1, 0x40, 0x01]) == .reject(.recordTooLong))
        #expect(Self.readBothWays([22, 3, 1, 0x40, 0x00]) == .needMore)
        #expect(Self.readBothWays(start + [22, 3, 3, 0xFF, 0xFF]) == .reject(.recordTooLong))
        // The minor version of a record means nothing.
        #expect(Self.readBothWays(start + record(rest, version: 0x03FF)) != .reject(.badRecordVersion))
    }

    @Test("handshake data after the hello in its record")
    func dataAfterHello() {
        let message: [UInt8] = CapturedHello.openSSL13.message
        #expect(Self.readBothWays(record(message + [0])) == .reject(.dataAfterHello))
        #expect(Self.readBothWays(record(message + message)) == .reject(.dataAfterHello))
        let second: [UInt8] = record(Array(message[100...]) + [11])
        #expect(Self.readBothWays(record(Array(message[..<100])) + second) == .reject(.dataAfterHello))
        // A record after the hello isn't the reader's concern.
        #expect(Self.readBothWays(record(message) + record([11])) != .reject(.dataAfterHello))
    }

    @Test("another handshake message is unexpected from its first byte on")
    func otherMessage() {
        #expect(Self.readBothWays([22, 3, 1, 0, 4, 2]) == .reject(.unexpectedMessage))
        #expect(Self.readBothWays(record([2, 0, 0, 0])) == .reject(.unexpectedMessage))
        #expect(HelloRejection.unexpectedMessage.alert == .unexpectedMessage)
    }

    @Test("an empty ClientHello")
    func emptyMessage() {
        #expect(Self.readBothWays(record([1, 0, 0, 0])) == .reject(.malformed(.badLength(.message))))
    }

    @Test("the cap counts every byte on the wire, and a declared length is judged at once")
    func cap() throws {
        let captured = CapturedHello.openSSL13
        let expected: ClientHelloReader.Action = .hello(try Self.hello(captured))
        let count: Int = captured.bytes.count
        #expect(Self.readBothWays(captured.bytes, cap: count) == expected)
        #expect(Self.readBothWays(captured.bytes + [23, 3, 3], cap: count) == expected)
        #expect(Self.readBothWays(captured.bytes, cap: count - 1) == .reject(.tooLarge))
        #expect(Self.readBothWays(Array(captured.bytes.prefix(9)), cap: count - 1) == .reject(.tooLarge))
        #expect(Self.readBothWays([22, 3, 1, 0x40, 0, 1, 0xFF, 0xFF, 0xFF]) == .reject(.tooLarge))

        // Many small records: their headers count.
        let small: [UInt8] = records(captured.message, cuts: Array(1..<captured.message.count))
        #expect(Self.readBothWays(small, cap: small.count) == expected)
        #expect(Self.readBothWays(small, cap: small.count - 1) == .reject(.tooLarge))
        // A cap too small for anything.
        #expect(Self.readBothWays(captured.bytes, cap: 3) == .reject(.tooLarge))
    }

    @Test("taking the bytes before a verdict retires the reader")
    func takenEarly() {
        var reader = ClientHelloReader(maximumBytes: Self.cap)
        _ = reader.receive(ByteBuffer(bytes: CapturedHello.curl.bytes.prefix(100)))
        #expect(reader.takeReceivedBytes().readableBytes == 100)
        #expect(reader.receive(ByteBuffer(bytes: CapturedHello.curl.bytes)) == .needMore)
        #expect(reader.takeReceivedBytes().readableBytes == 0)
    }

    @Test("alerts")
    func alerts() {
        #expect(HelloRejection.notTLS.alert == nil)
        #expect(HelloRejection.tooLarge.alert == .decodeError)
        #expect(HelloRejection.recordTooLong.alert == .recordOverflow)
        #expect(HelloRejection.malformed(.badLength(.keyShare)).alert == .decodeError)
        #expect(HelloRejection.malformed(.duplicateExtension(0)).alert == .illegalParameter)
        #expect(HelloRejection.malformed(.badServerName(.trailingDot)).reason == "bad server name")
    }
}
