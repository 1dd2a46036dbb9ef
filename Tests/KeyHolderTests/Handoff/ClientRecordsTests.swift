import NIOCore
import TLSWire
import Testing

@testable import KeyHolder

@Suite("Handoff: what may be handed over of a client's bytes")
struct ClientRecordsTests {
    /// A ClientHello of TLS 1.2 with one suite and no extensions.
    static let message: [UInt8] = {
        let body: [UInt8] = [3, 3] + [UInt8](repeating: 5, count: 32) + [0, 0, 2, 0xC0, 0x2B, 1, 0]
        return [1, 0, 0, UInt8(body.count)] + body
    }()

    static func record(_ type: UInt8, _ payload: [UInt8]) -> [UInt8] {
        [type, 3, 3, UInt8(payload.count >> 8), UInt8(payload.count & 0xFF)] + payload
    }

    static let hello: [UInt8] = record(22, message)

    @Test("A hello in one record or several is one")
    func hello() throws {
        #expect(try ClientRecords.hello(in: ByteBuffer(bytes: Self.hello)).cipherSuites == [0xC02B])
        for cut in 4..<Self.message.count {
            let split: [UInt8] =
                Self.record(22, Array(Self.message[..<cut])) + Self.record(22, Array(Self.message[cut...]))
            #expect(try ClientRecords.hello(in: ByteBuffer(bytes: split)).cipherSuites == [0xC02B])
        }
    }

    @Test("A hello cut anywhere, or with anything behind it, is none")
    func notHello() {
        for length in 0..<Self.hello.count {
            #expect(throws: ClientRecordsError.notOneHello) {
                try ClientRecords.hello(in: ByteBuffer(bytes: Self.hello[..<length]))
            }
        }
        for more in [
            [0], Self.hello, Self.record(23, [1]), Self.record(20, [1]), Self.record(22, []), Self.record(22, [0]),
            [22, 3, 3],
        ] as [[UInt8]] {
            #expect(throws: ClientRecordsError.self) {
                try ClientRecords.hello(in: ByteBuffer(bytes: Self.hello + more))
            }
        }
        #expect(throws: ClientRecordsError.self) {
            try ClientRecords.hello(in: ByteBuffer(bytes: Self.record(22, Self.message + [0])))
        }
        #expect(throws: ClientRecordsError.self) {
            try ClientRecords.hello(in: ByteBuffer(bytes: Self.record(20, [1]) + Self.hello))
        }
    }

    static func check(_ turns: [[UInt8]], isTLS12: Bool) throws {
        var checked = ClientRecords.Turns()
        for turn in turns { try checked.check(ByteBuffer(bytes: turn), isTLS12: isTLS12) }
    }

    @Test("A turn is whole records without data")
    func turn() throws {
        let turn: [UInt8] = Self.record(22, [1, 2]) + Self.record(20, [1]) + Self.record(22, [9])
        try Self.check([turn], isTLS12: true)
        try Self.check([turn, Self.record(22, [1])], isTLS12: false)
        for length in 1..<turn.count where ![7, 13].contains(length) {
            #expect(throws: ClientRecordsError.partialRecord) {
                try Self.check([Array(turn[..<length])], isTLS12: false)
            }
        }
        for type: UInt8 in [0, 19, 23, 24, 255] {
            for isTLS12 in [false, true] {
                #expect(throws: ClientRecordsError.unexpectedRecord(type)) {
                    try Self.check([Array(turn[..<7]) + Self.record(type, [1])], isTLS12: isTLS12)
                }
            }
        }
    }

    @Test("In TLS 1.2 one record may follow the ChangeCipherSpec, in this turn or the next")
    func behindChangeCipherSpec() throws {
        let change: [UInt8] = Self.record(20, [1])
        let finished: [UInt8] = Self.record(22, [9])
        try Self.check([change, finished], isTLS12: true)
        for turns in [[change + finished + finished], [change + finished, finished]] {
            #expect(throws: ClientRecordsError.unexpectedRecord(22)) { try Self.check(turns, isTLS12: true) }
        }
        for turns in [[change, finished, change], [change + change], [change, change + finished]] {
            #expect(throws: ClientRecordsError.unexpectedRecord(20)) { try Self.check(turns, isTLS12: true) }
        }
    }

    @Test("What a client can get wrong has an alert, and what only an edge can has none")
    func alerts() throws {
        #expect(throws: ClientRecordsError.recordTooLong(0x4801)) {
            try Self.check([[22, 3, 3, 0x48, 1]], isTLS12: true)
        }
        #expect(ClientRecordsError.recordTooLong(0x4801).alert == .recordOverflow)
        #expect(ClientRecordsError.unexpectedRecord(20).alert == .unexpectedMessage)
        #expect(ClientRecordsError.partialRecord.alert == nil && ClientRecordsError.notOneHello.alert == nil)
    }
}
