import HTTPFields
import NIOCore
import Testing

@testable import HTTP2Wire

/// What a client's bytes come to.
@Suite struct ServerConnectionTests {
    private typealias F = TestFrames

    private static let conversation: [UInt8] = F.join(
        F.preface, F.settings(F.setting(1, 0) + F.setting(5, 32_768)), F.frame(4, 1),
        F.headers(1, 5, F.get + [0x40, 1, 0x78, 2, 0x79, 0x7A]),
        // In three parts, and by the table that the one before has filled.
        F.headers(3, 1, [0x82, 0x87]), F.frame(9, 0, 3, [0x84]), F.frame(9, 4, 3, [0xBE]),
        // Padding, and priority.
        F.frame(1, 0x2C, 5, [3, 0, 0, 0, 1, 15] + F.post + [0, 0, 0]),
        F.data(5, 300), F.frame(0, F.padded, 5, [2, 9, 9, 9, 0, 0]), F.frame(0, F.padded | 1, 5, [1, 8, 0]),
        F.ping(), F.ping(1), F.frame(2, 0, 7, [0, 0, 0, 0, 1]),
        F.frame(0xFA, 0xFF, 9, [1, 2, 3]), F.frame(7, 0, 0, Array(repeating: 0, count: 30)), F.window(0, 9), F.reset(1))

    @Test(arguments: [1, 2, 3, 7, 9, 10, 64, 1000]) func theCutsMakeNoDifference(parts: Int) {
        var server = TestServer(begun: false)
        server.machine.begin()
        _ = server.written()
        server.hear(Self.conversation, parts: parts)
        let base = ":scheme: https, :path: /"
        #expect(
            server.events == [
                "acknowledged", "request 1 ends, :method: GET, \(base), x: yz",
                "request 3 ends, :method: GET, \(base), x: yz", "request 5, :method: POST, \(base)",
                "data 5 304 ends", "pong \(UInt64(0x0101_0101_0101_0101))", "reset 1 8",
            ])
        #expect(
            server.kinds == [
                .control, .control, .other, .other, .continuation, .continuation, .other, .data, .data, .data, .control,
                .control, .control, .other, .other, .other, .reset,
            ])
        #expect(server.machine.client.maximumFrameSize == 32_768 && server.machine.client.hasSmallTable)
        #expect(server.fault == nil && server.machine.unfinished == nil)
        #expect(server.written() == ["settings ends 0", "ping ends"])
    }

    private static let zero8 = Array(repeating: 0 as UInt8, count: 8)
    private static let open = F.headers(1, 1)

    struct Case: CustomTestStringConvertible, Sendable {
        var name: String
        var bytes: [UInt8]
        var fault: ConnectionFault?
        var testDescription: String { self.name }
        init(_ name: String, _ fault: ConnectionFault?, _ bytes: [UInt8]...) {
            self.name = name
            self.fault = fault
            self.bytes = bytes.flatMap { $0 }
        }
    }

    static let cases: [Case] = headers + content + others

    private static let headers: [Case] = [
        Case("another frame within a block", .misplacedFrame, open, F.ping()),
        Case("an unknown frame within a block", .misplacedFrame, open, F.frame(0xFA, 0, 1)),
        Case("another stream's block within a block", .misplacedFrame, open, F.frame(9, 4, 3)),
        Case("HEADERS within a block", .misplacedFrame, open, F.headers(1)),
        Case("SETTINGS within a block", .misplacedFrame, open, F.settings()),
        Case("CONTINUATION without a block", .misplacedFrame, F.frame(9, 4, 1, F.get)),
        Case("CONTINUATION behind a whole block", .misplacedFrame, F.headers(1), F.frame(9, 4, 1)),
        Case("HEADERS on stream 0", .misplacedFrame, F.headers(0)),
        Case("HEADERS on a stream of the server's", .misplacedFrame, F.headers(2)),
        Case("HEADERS with more padding than payload", .brokenFrame, F.frame(1, 0xD, 1, [4] + F.get)),
        Case("HEADERS without their padding", .brokenFrame, F.frame(1, 0xD, 1)),
        Case("HEADERS without their priority", .brokenFrame, F.frame(1, 0x25, 1, F.get)),
        Case("HEADERS with priority and padding in one", .brokenFrame, F.frame(1, 0x2D, 1, [1, 0, 0, 0, 0, 1])),
        Case("HEADERS on a closed stream", .streamClosed, F.headers(1), F.reset(1), F.headers(1)),
        Case("HEADERS on a stream that was left out", .streamClosed, F.headers(5), F.headers(3)),
        Case("a place that is in no table", .compression(.badIndex), F.headers(1, 5, [0xBE])),
        Case("HEADERS above the frame size", .frameSize, F.headers(1, 5, Array(repeating: 0x82, count: 16_385))),
        Case("a block that is a bomb", .sectionTooLarge, F.headers(1, 5, Array(repeating: 0x82, count: 3_000))),
        Case(
            "a block above what any may decode to", .sectionTooLarge,
            F.headers(1, 1, Array(repeating: 0, count: 16_001))),
        Case(
            "the same in parts", .sectionTooLarge, F.headers(1, 1, Array(repeating: 0, count: 9_000)),
            F.frame(9, 0, 1, Array(repeating: 0, count: 9_000))),
        Case(
            "CONTINUATION above the frame size", .frameSize, open, F.frame(9, 4, 1, Array(repeating: 0, count: 16_385))),
        Case(
            "nine CONTINUATION frames", .tooManyContinuations, open,
            F.times(9, F.frame(9, 0, 1))),
        Case(
            "eight CONTINUATION frames", nil, open,
            F.times(7, F.frame(9, 0, 1)), F.frame(9, 4, 1)),
    ]

    private static let content: [Case] = [
        Case("DATA on stream 0", .misplacedFrame, F.data(0, 1)),
        Case("DATA on an idle stream", .misplacedFrame, F.data(1, 1)),
        Case("DATA on an idle stream of the server's", .misplacedFrame, F.headers(3), F.data(2, 1)),
        Case("DATA on a stream that the client has reset", .streamClosed, F.headers(1, 4), F.reset(1), F.data(1, 1)),
        Case("DATA with more padding than payload", .brokenFrame, F.headers(1, 4), F.frame(0, 8, 1, [3, 0, 0])),
        Case("DATA without its padding", .frameSize, F.headers(1, 4), F.frame(0, 8, 1)),
        Case("DATA above the frame size", .frameSize, F.headers(1, 4), F.data(1, 16_385)),
        Case(
            "empty DATA again and again", .tooManyEmptyFrames, F.headers(1, 4),
            F.times(5, F.data(1, 0))),
        Case(
            "DATA with nothing but padding again and again", .tooManyEmptyFrames, F.headers(1, 4),
            F.times(5, F.frame(0, 8, 1, [1, 0]))),
        Case(
            "empty DATA beside DATA", nil, F.headers(1, 4),
            F.times(5, F.data(1, 0) + F.data(1, 0) + F.data(1, 1))),
    ]

    private static let others: [Case] = [
        Case("SETTINGS on a stream", .misplacedFrame, F.frame(4, 0, 1)),
        Case("SETTINGS of no whole entry", .frameSize, F.frame(4, 0, 0, [0, 1, 0])),
        Case("an acknowledgement with entries", .frameSize, F.frame(4, 1, 0, F.setting(1, 1))),
        Case("SETTINGS with 65 entries", .tooManySettings, F.settings(Array(repeating: 0, count: 6 * 65))),
        Case("SETTINGS_ENABLE_PUSH of 2", .badSetting, F.settings(F.setting(2, 2))),
        Case("a window above 2^31-1", .flowControl, F.settings(F.setting(4, 0x8000_0000))),
        Case("a frame size below the least", .badSetting, F.settings(F.setting(5, 16_383))),
        Case("a frame size above the greatest", .badSetting, F.settings(F.setting(5, 16_777_216))),
        Case("a setting that is not known", nil, F.settings(F.setting(0xFF, 77))),
        Case("PING on a stream", .misplacedFrame, F.frame(6, 0, 1, zero8)),
        Case("PING of seven bytes", .frameSize, F.frame(6, 0, 0, Array(zero8.dropFirst()))),
        Case("GOAWAY on a stream", .misplacedFrame, F.frame(7, 0, 1, zero8)),
        Case("GOAWAY of seven bytes", .frameSize, F.frame(7, 0, 0, Array(zero8.dropFirst()))),
        Case("RST_STREAM on stream 0", .misplacedFrame, F.reset(0)),
        Case("RST_STREAM on an idle stream", .misplacedFrame, F.reset(1)),
        Case("RST_STREAM of three bytes", .frameSize, F.headers(1), F.frame(3, 0, 1, [0, 0, 0])),
        Case("RST_STREAM on a closed stream", nil, F.headers(1), F.reset(1), F.reset(1)),
        Case("WINDOW_UPDATE on an idle stream", .misplacedFrame, F.window(1, 1)),
        Case("WINDOW_UPDATE of zero", .zeroIncrement, F.window(0, 0)),
        Case("WINDOW_UPDATE of three bytes", .frameSize, F.frame(8, 0, 0, [0, 0, 1])),
        Case("WINDOW_UPDATE above 2^31-1", .flowControl, F.window(0, 0x7FFF_FFFF)),
        Case("WINDOW_UPDATE up to 2^31-1", nil, F.window(0, 0x7FFF_FFFF - 65_535)),
        Case("WINDOW_UPDATE on a closed stream", nil, F.headers(1), F.reset(1), F.window(1, 0)),
        Case("PRIORITY on stream 0", .misplacedFrame, F.frame(2, 0, 0, [0, 0, 0, 0, 1])),
        Case("PRIORITY of four bytes", .frameSize, F.frame(2, 0, 1, [0, 0, 0, 0])),
        Case("PRIORITY on an idle stream", nil, F.frame(2, 0, 9, [0, 0, 0, 9, 1])),
        Case("PUSH_PROMISE", .misplacedFrame, F.headers(1), F.frame(5, 4, 1, [0, 0, 0, 2] + F.get)),
        Case(
            "an unknown frame above the frame size", .frameSize, F.frame(0xFA, 0, 0, Array(repeating: 0, count: 16_385))
        ),
        Case("too many streams", .tooManyStreams, F.headers(1), F.headers(3), F.headers(5), F.headers(7)),
        Case("as many again", nil, F.headers(1), F.headers(3), F.headers(5), F.reset(3), F.headers(7)),
    ]

    @Test(arguments: cases) func faultsOfTheConnection(item: Case) {
        for parts in [1, 5, 1 << 20] {
            var server = TestServer()
            server.hear(item.bytes, parts: parts)
            #expect(server.fault == item.fault, "in parts of \(parts)")
        }
    }

    @Test(arguments: [1, 1 << 20]) func aConnectionBeginsWithPrefaceAndSettings(parts: Int) {
        func fault(_ bytes: [UInt8]) -> ConnectionFault? {
            var server = TestServer(begun: false)
            server.hear(bytes, parts: parts)
            return server.fault
        }
        #expect(fault(Array("GET / HTTP/1.1\r\n".utf8)) == .badPreface)
        #expect(fault(F.preface.dropLast() + [0]) == .badPreface)
        #expect(fault(Array(F.preface.dropLast())) == nil)
        #expect(fault(F.preface + F.headers(1)) == .badPreface)
        #expect(fault(F.preface + F.frame(4, 1)) == .badPreface)
        #expect(fault(F.preface + F.ping()) == .badPreface)
        #expect(fault(F.preface + F.settings() + F.ping()) == nil)
    }

    @Test func theServerBeginsWithItsSettings() {
        var server = TestServer(begun: false)
        server.machine.begin()
        server.machine.begin()
        let bytes = server.writtenBytes()
        let entries = F.setting(3, 3) + F.setting(4, 100_000) + F.setting(6, 4_000)
        #expect(bytes == F.settings(entries) + F.window(0, 134_465))
    }

    struct StreamCase: CustomTestStringConvertible, Sendable {
        var name: String
        var bytes: [UInt8]
        var fault: StreamFault
        var testDescription: String { self.name }
    }

    static let streamCases: [StreamCase] = [
        StreamCase(name: "DATA behind the end", bytes: F.headers(1) + F.data(1, 5), fault: .halfClosed),
        StreamCase(name: "HEADERS behind the end", bytes: F.headers(1) + F.headers(1), fault: .halfClosed),
        StreamCase(
            name: "trailers without an end", bytes: F.headers(1, 4, F.post) + F.headers(1, 4),
            fault: .trailersWithoutEnd),
        StreamCase(name: "WINDOW_UPDATE of zero", bytes: F.headers(1) + F.window(1, 0), fault: .zeroIncrement),
        StreamCase(
            name: "WINDOW_UPDATE above 2^31-1", bytes: F.headers(1) + F.window(1, 0x7FFF_FFFF), fault: .flowControl),
    ]

    /// The stream is reset, and the others go on: tables are in step, and what is on its way for the stream is dropped.
    @Test(arguments: streamCases) func faultsOfAStream(item: StreamCase) {
        for parts in [1, 1 << 20] {
            var server = TestServer()
            server.hear(
                item.bytes, F.headers(3, 5, F.get + [0x40, 1, 0x78, 1, 0x79]), F.headers(5, 5, F.get + [0xBE]),
                parts: parts)
            #expect(server.fault == nil)
            #expect(server.events[1] == "fault 1 \(item.fault)")
            #expect(server.events.last?.hasSuffix("x: y") == true && !server.machine.isOpen(1))
            #expect(server.written() == ["reset 1 \(item.fault.code.rawValue)"])
        }
    }

    @Test func faultsOfStreamsAreBoundedInAll() {
        var server = TestServer()
        for number in 0..<10 {
            let id = HTTP2StreamID(rawValue: UInt32(2 * number + 1))
            server.hear(F.headers(id), F.window(id, 0))
        }
        #expect(server.fault == nil)
        server.hear(F.headers(21), F.window(21, 0))
        #expect(server.fault == .tooManyStreamFaults)
    }

    /// What was on its way when the server reset a stream is no fault; blocks are decoded, DATA counts for the connection.
    @Test func framesForStreamsThatWereResetAreDropped() {
        var server = TestServer()
        server.hear(F.headers(1, 4, F.post), F.data(1, 10))
        server.machine.reset(1, .cancel)
        server.machine.taken(10, on: 1)
        server.hear(
            F.data(1, 16_000), F.window(1, 5), F.headers(1, 5, [0x40, 1, 0x78, 1, 0x79]), F.data(1, 9), F.reset(1))
        server.hear(F.headers(3, 5, F.get + [0xBE]))
        #expect(server.fault == nil)
        #expect(
            server.events == [
                "request 1, :method: POST, :scheme: https, :path: /", "data 1 10",
                "request 3 ends, :method: GET, :scheme: https, :path: /, x: y",
            ])
        #expect(server.machine.receive.waiting == 0)
        #expect(server.written() == ["reset 1 8"])
        // A stream that the client had ended before has nothing on its way.
        server.machine.reset(3, .cancel)
        server.hear(F.data(3, 1))
        #expect(server.fault == .streamClosed)
    }

    /// The oldest gives way, and so many are kept as there may be streams.
    @Test func onlySoManyAreRemembered() {
        var server = TestServer()
        for id in [1, 3, 5, 7] as [HTTP2StreamID] {
            server.hear(F.headers(id, 4, F.post))
            server.machine.reset(id, .cancel)
        }
        server.hear(F.data(3, 1), F.data(5, 1), F.data(7, 1))
        #expect(server.fault == nil && server.machine.resetStreams.count == 3)
        server.hear(F.data(1, 1))
        #expect(server.fault == .streamClosed)
    }

    /// A frame that has begun goes on when its stream is gone.
    @Test func theRestOfAFrameOfAStreamThatIsGoneIsDropped() {
        var server = TestServer()
        let data = F.data(1, 1_000)
        server.hear(F.headers(1, 4, F.post), Array(data.prefix(109)))
        server.machine.taken(100, on: 1)
        server.machine.reset(1, .cancel)
        server.hear(Array(data.dropFirst(109)), F.headers(3))
        #expect(server.events.last?.hasPrefix("request 3") == true)
        #expect(server.machine.receive.waiting == 0)
    }

    /// RFC 9113 §6.8: streams behind the last one served are dropped, and their blocks decoded.
    @Test func streamsBehindTheLastOneServedAreDropped() {
        var server = TestServer()
        server.hear(F.headers(1))
        server.machine.goAway(.highest, .noError)
        server.hear(F.headers(3))
        server.machine.goAway(3, .noError)
        server.hear(F.headers(5, 4, F.post + [0x40, 1, 0x78, 1, 0x79]), F.data(5, 100, 1), F.reset(5), F.window(5, 9))
        #expect(server.fault == nil && server.events.count == 2 && !server.machine.isOpen(5))
        #expect(server.machine.receive.waiting == 0)
        #expect(server.written() == ["goaway 2147483647 0", "goaway 3 0"])
    }

    /// An idle connection holds nothing but the table that its client has filled.
    @Test func anIdleConnectionHoldsNoBuffers() {
        var server = TestServer()
        server.hear(F.headers(1))
        server.head(1)
        #expect(server.body(1, 100)?.isOver == true)
        _ = server.written()
        server.machine.releaseMemory()
        #expect(server.machine.input.storageCapacity == 0 && server.machine.streams.capacity == 0)
        #expect(server.machine.resetStreams.capacity == 0 && server.machine.output.isEmpty)
        #expect(MemoryLayout<ServerConnection>.size < 700)
    }

    /// Each waits for its rest without the memory of the read that brought its beginning.
    @Test func aPartOfAFrameDoesNotHoldAWholeRead() {
        var server = TestServer()
        let next = F.headers(5, 5, F.get)
        server.hear(F.headers(1), F.headers(3, 4, F.post), F.data(3, 16_000), Array(next.prefix(10)))
        #expect(server.machine.input.readableBytes == 10 && server.machine.input.storageCapacity < 300)
        var open = TestServer()
        open.hear(F.headers(1, 4, F.post), F.data(1, 16_000), F.headers(3, 0, F.get))
        #expect(open.machine.block.map { $0.bytes.storageCapacity < 300 } == true)
    }

    /// A block that was begun on an open stream, and ends when its response has ended, opens nothing.
    @Test(arguments: [true, false]) func aStreamThatHasEndedMeanwhileIsNotOpenedAgain(whole: Bool) {
        var server = TestServer()
        let block = F.headers(1, whole ? F.endStream : F.endStream | F.endHeaders)
        server.hear(F.headers(1), F.headers(3), whole ? block : Array(block.prefix(9)))
        _ = server.machine.writeHeaders(on: 1, endsStream: true) { $0.writeInteger(0x88 as UInt8) }
        server.hear(whole ? F.frame(9, F.endHeaders, 1) : Array(block.dropFirst(9)))
        #expect(server.fault == .streamClosed)
        #expect(server.machine.streams.map(\.id) == [3])
        #expect(server.machine.lastStream == 3)
    }
}
