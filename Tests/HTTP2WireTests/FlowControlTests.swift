import NIOCore
import Testing

@testable import HTTP2Wire

/// Windows in both directions (RFC 9113 §5.2, §6.9), and responses that wait for them.
@Suite struct FlowControlTests {
    private typealias F = TestFrames

    // MARK: From the client

    @Test func windowsAreOpenedForWhatWasTaken() {
        var server = TestServer()
        server.hear(F.headers(1, 4, F.post))
        for _ in 0..<6 { server.hear(F.data(1, 15_000)) }
        #expect(server.written() == [])
        server.machine.taken(9_000, on: 1)
        #expect(server.machine.openWindow(of: 1) == false)
        server.machine.taken(51_000, on: 1)
        #expect(server.machine.openWindow(of: 1) == true)
        #expect(server.machine.openWindow(of: 1) == false)
        #expect(server.written() == ["window 1 60000"])
        // The connection's is larger.
        server.machine.taken(30_000, on: 1)
        server.hear(F.data(1, 10_000))
        server.machine.taken(10_000, on: 1)
        #expect(server.written() == ["window 0 100000"])
        #expect(server.fault == nil)
    }

    @Test func moreThanAWindowIsAFault() {
        var server = TestServer()
        server.hear(F.headers(1, 4, F.post), F.headers(3, 4, F.post), F.headers(5, 4, F.post))
        for _ in 0..<10 { server.hear(F.data(1, 10_000)) }
        #expect(server.fault == nil)
        server.hear(F.data(1, 1))
        #expect(server.events.last == "fault 1 flowControl")
        #expect(server.written() == ["reset 1 3"])
        // What the stream held is not given back: the connection's window is spent.
        for _ in 0..<9 { server.hear(F.data(3, 11_000)) }
        #expect(server.fault == nil)
        server.hear(F.data(5, 1_001))
        #expect(server.fault == .flowControl)
    }

    /// Padding counts for both windows, and is taken as soon as it comes.
    @Test func paddingIsTakenAtOnce() {
        var server = TestServer()
        server.hear(F.headers(1, 4, F.post))
        for _ in 0..<300 { server.hear(F.frame(0, F.padded, 1, [255, 7] + Array(repeating: 0, count: 255))) }
        #expect(server.machine.receive.waiting == 300 && server.machine.streams[0].receive.waiting == 300)
        #expect(server.fault == nil)
    }

    /// Before a client knows our settings its streams have the windows of the protocol.
    @Test func streamsHaveTheFirstWindowUntilTheSettingsAreKnown() {
        var limits = TestServer.limits
        limits.streamWindow = 1_000
        var server = TestServer(limits, begun: false)
        server.machine.begin()
        server.hear(F.preface, F.settings(), F.headers(1, 4, F.post), F.data(1, 16_000))
        #expect(server.fault == nil)
        server.hear(F.frame(4, 1))
        #expect(server.machine.streams[0].receive.open == 1_000 - 16_000)
        server.hear(F.data(1, 1))
        #expect(server.events.last == "fault 1 flowControl")
        var larger = TestServer(begun: false)
        larger.machine.begin()
        larger.hear(F.preface, F.settings(), F.headers(1, 4, F.post))
        #expect(larger.machine.openWindow(of: 1) == false)
        larger.hear(F.frame(4, 1), F.frame(4, 1))
        #expect(larger.machine.streams[0].receive.open == 100_000)
        #expect(larger.events.filter { $0 == "acknowledged" }.count == 1)
    }

    @Test func grantsInHalves() {
        var window = ReceiveWindow(open: 100)
        #expect(window.grant(of: 100) == nil)
        #expect(window.received(40) == true)
        window.taken(40)
        #expect(window.grant(of: 100) == nil)
        #expect(window.received(20) == true)
        #expect(window.grant(of: 100) == nil)
        window.taken(20)
        #expect(window.grant(of: 100) == 60)
        #expect(window.grant(of: 100) == nil)
        #expect(window.received(101) == false)
        #expect(window.open == 100)
    }

    /// What waits for origins that do not read leaves the rest of the connection's window to the others.
    @Test func uploadsThatWaitDoNotStopOthers() {
        var window = ReceiveWindow(open: 1 << 20)
        #expect(window.received(3 << 18) == true)
        for _ in 0..<100 {
            #expect(window.received(1 << 18) == true)
            window.taken(1 << 18)
            #expect(window.grant(of: 1 << 20) == 1 << 18)
        }
        // Where hardly anything is left, a frame for each byte would be worth none of them.
        var full = ReceiveWindow(open: 100_000)
        #expect(full.received(99_990) == true)
        full.taken(1_000)
        #expect(full.grant(of: 100_000) == nil)
        full.taken(24)
        #expect(full.grant(of: 100_000) == 1_024)
    }

    /// A client that sends nothing but padding does not use up the connection's window.
    @Test func paddingOpensTheWindowAgain() {
        var server = TestServer()
        for number in stride(from: 1 as UInt32, to: 2_401, by: 2) {
            let id = HTTP2StreamID(rawValue: number)
            server.hear(F.headers(id, 4, F.post))
            server.hear(F.frame(0, F.padded | F.endStream, id, [255] + Array(repeating: 0, count: 255)))
            _ = server.machine.writeHeaders(on: id, endsStream: true) { $0.writeInteger(0x88 as UInt8) }
        }
        #expect(server.fault == nil)
        #expect(server.written().contains { $0.hasPrefix("window 0 ") })
    }

    // MARK: To the client

    @Test func responsesWaitForTheirWindow() {
        var server = TestServer(settings: F.setting(4, 10))
        server.hear(F.headers(1))
        server.head(1)
        #expect(server.body(1, 25) == .init(id: 1, count: 0, ends: false, isOver: false))
        #expect(server.sendAll().map(\.count) == [10])
        #expect(server.written() == ["headers 1 1", "data 1 10"])
        server.hear(F.window(1, 14))
        #expect(server.events.last == "window")
        #expect(server.sendAll().map(\.count) == [14])
        #expect(server.machine.sendNext() == nil)
        server.hear(F.window(1, 1))
        #expect(server.sendAll() == [.init(id: 1, count: 1, ends: true, isOver: true)])
        #expect(server.written() == ["data 1 14", "data 1 1 ends"])
        #expect(!server.machine.isOpen(1) && server.machine.waiting == 0)
    }

    /// RFC 9113 §6.9.2: a smaller setting takes from open streams what they have spent already.
    @Test func windowsMayBeNegative() {
        var server = TestServer(settings: F.setting(4, 100))
        server.hear(F.headers(1))
        server.body(1, 150)
        #expect(server.sendAll().map(\.count) == [100])
        server.hear(F.settings(F.setting(4, 40)))
        #expect(server.machine.streams[0].sendWindow == -60)
        #expect(server.machine.sendNext() == nil)
        server.hear(F.window(1, 60))
        #expect(server.machine.sendNext() == nil)
        server.hear(F.settings(F.setting(4, 45)))
        #expect(server.events.last == "window")
        #expect(server.sendAll().map(\.count) == [5])
        server.hear(F.settings(F.setting(4, 1_000)))
        #expect(server.sendAll().map(\.count) == [45])
        #expect(server.fault == nil)
    }

    @Test func aSettingMayNotOverflowAStreamsWindow() {
        var server = TestServer()
        server.hear(F.headers(1), F.window(1, 0x7FFF_FFFF - 65_535), F.settings(F.setting(4, 65_536)))
        #expect(server.fault == .flowControl)
    }

    /// Frame by frame, whatever the client's frames may be; and the connection's window is one for all.
    @Test func streamsTakeTurns() {
        var server = TestServer(settings: F.setting(4, 1 << 20) + F.setting(5, 1 << 20))
        server.hear(F.window(0, 100_000 - 65_535), F.headers(1), F.headers(3), F.headers(5))
        for id in [1, 3, 5] as [HTTP2StreamID] { server.body(id, 40_000) }
        server.sendAll()
        #expect(
            server.written() == [
                "data 1 16384", "data 3 16384", "data 5 16384", "data 1 16384", "data 3 16384", "data 5 16384",
                "data 1 1696",
            ])
        server.hear(F.window(0, 1 << 20))
        server.sendAll()
        #expect(server.written() == ["data 3 7232 ends", "data 5 7232 ends", "data 1 5536 ends"])
        #expect(server.machine.streamCount == 0 && server.machine.waiting == 0)
    }

    /// A window that opens byte by byte: each byte is the client's doing, and nothing is copied for it but that byte.
    @Test func aWindowOfOneByte() {
        var server = TestServer(settings: F.setting(4, 0))
        server.hear(F.headers(1))
        server.body(1, 1_000)
        for _ in 0..<1_000 {
            server.hear(F.window(1, 1))
            server.sendAll()
        }
        let frames = server.written()
        #expect(frames.count == 1_000 && frames.last == "data 1 1 ends")
        #expect(!server.machine.isOpen(1))
    }

    /// What ends a response, and fits, need not wait for a turn; what needs no window needs none.
    @Test func whatEndsAResponseGoesAtOnce() {
        var server = TestServer(settings: F.setting(4, 100))
        server.hear(F.headers(1), F.headers(3), F.headers(5))
        server.head(1)
        #expect(server.body(1, 100) == .init(id: 1, count: 100, ends: true, isOver: true))
        server.head(3, ends: true)
        #expect(
            server.machine.writeWholeData(101, on: 5) { $0.writeRepeatingByte(1, count: 101) } == nil)
        #expect(
            server.machine.writeWholeData(100, on: 5) { $0.writeRepeatingByte(1, count: 100) }
                == .init(id: 5, count: 100, ends: true, isOver: true))
        #expect(server.written() == ["headers 1 1", "data 1 100 ends", "headers 3 1 ends", "data 5 100 ends"])
        server.hear(F.headers(7), F.settings(F.setting(4, 0)))
        server.head(7)
        #expect(server.body(7, 0)?.ends == true)
        #expect(server.written() == ["settings ends 0", "headers 7 1", "data 7 0 ends"])
    }

    /// Parts go together while they wait; an end without content goes with the last of them.
    @Test func partsGoTogether() {
        var server = TestServer(settings: F.setting(4, 0))
        server.hear(F.headers(1))
        for _ in 0..<100 { server.body(1, 10, ends: false) }
        server.body(1, 0)
        #expect(server.body(1, 10) == nil)
        server.hear(F.window(1, 10_000))
        server.sendAll()
        #expect(server.written() == ["data 1 1000 ends"])
    }

    @Test func trailersStandBehindWhatWaits() {
        var server = TestServer(settings: F.setting(4, 10))
        server.hear(F.headers(1), F.headers(3))
        server.body(1, 20, ends: false)
        #expect(server.machine.writeTrailers(ByteBuffer(bytes: [0x88]), on: 1)?.ends == false)
        #expect(server.machine.writeTrailers(ByteBuffer(bytes: [0x88]), on: 3)?.isOver == true)
        server.sendAll()
        server.hear(F.window(1, 10))
        #expect(server.sendAll().last == .init(id: 1, count: 10, ends: true, isOver: true))
        #expect(server.written() == ["headers 3 1 ends", "data 1 10", "data 1 10", "headers 1 1 ends"])
    }

    /// What waits for a stream that is gone is gone with it.
    @Test func whatWaitsGoesWithItsStream() {
        var server = TestServer(settings: F.setting(4, 10))
        server.hear(F.headers(1), F.headers(3, 4, F.post))
        server.body(1, 20)
        server.body(3, 20)
        server.hear(F.reset(1))
        server.machine.reset(3, .cancel)
        #expect(server.machine.waiting == 0)
        #expect(server.machine.sendNext() == nil)
        #expect(server.body(1, 1) == nil)
        #expect(server.body(3, 1) == nil)
        #expect(server.machine.writeTrailers(ByteBuffer(), on: 3) == nil)
        server.head(3)
        #expect(server.written() == ["reset 3 8"])
    }

    /// A response may have its end before the request has: the stream stays, and its window.
    @Test func anEarlyResponseLeavesTheRequestOpen() {
        var server = TestServer()
        server.hear(F.headers(1, 4, F.post))
        server.head(1)
        #expect(server.body(1, 10) == .init(id: 1, count: 10, ends: true, isOver: false))
        server.hear(F.data(1, 5), F.data(1, 5, 1))
        #expect(server.events.last == "data 1 10 ends" && !server.machine.isOpen(1))
        server.hear(F.data(1, 1))
        #expect(server.fault == .streamClosed)
    }
}
