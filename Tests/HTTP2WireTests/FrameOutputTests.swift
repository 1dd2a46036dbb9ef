import NIOCore
import Testing

@testable import HTTP2Wire

/// Heads as frames, and frames as buffers.
@Suite struct FrameOutputTests {
    private typealias F = TestFrames

    private static func headers(_ block: [UInt8], maximum: Int = 16_384) -> [UInt8] {
        var output = FrameOutput()
        output.writeHeaders(endsStream: true, on: 7, maximum: maximum) { $0.writeBytes(block) }
        return Self.bytes(&output)
    }

    private static func bytes(_ output: inout FrameOutput) -> [UInt8] {
        var bytes: [UInt8] = []
        while let buffer = output.next(all: true) { bytes += Array(buffer: buffer) }
        return bytes
    }

    @Test func blocksAreSplitAtTheClientsLimit() {
        #expect(Self.headers([1, 2, 3]) == F.frame(1, 5, 7, [1, 2, 3]))
        #expect(Self.headers([]) == F.frame(1, 5, 7))
        let large = (0..<40_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        #expect(
            Self.headers(large) == F.frame(1, 1, 7, Array(large[..<16_384]))
                + F.frame(9, 0, 7, Array(large[16_384..<32_768])) + F.frame(9, 4, 7, Array(large[32_768...])))
        let whole = Array(large[..<16_384])
        #expect(Self.headers(whole) == F.frame(1, 5, 7, whole))
        #expect(Self.headers(large, maximum: 40_000) == F.frame(1, 5, 7, large))
    }

    @Test func theClientsFrameSizeIsKept() {
        var server = TestServer()
        server.hear(F.headers(1), F.headers(3))
        func head(_ id: HTTP2StreamID) {
            server.machine.writeHeaders(on: id, endsStream: true) { $0.writeRepeatingByte(0, count: 20_000) }
        }
        head(1)
        server.hear(F.settings(F.setting(5, 20_000)))
        head(3)
        #expect(
            server.written() == [
                "headers 1 16384 ends open", "continuation 1 3616", "settings ends 0", "headers 3 20000 ends",
            ])
    }

    /// RFC 7541 §4.2: said once, in the first block after the announcement.
    @Test func aSmallTableIsAcknowledged() {
        var server = TestServer()
        server.hear(F.headers(1), F.headers(3), F.headers(5))
        server.head(1, ends: true)
        server.hear(F.settings(F.setting(1, 0)), F.settings(F.setting(1, 4096)))
        server.head(3, ends: true)
        server.head(5, ends: true)
        #expect(
            server.writtenBytes() == F.frame(1, 5, 1, [0x88]) + F.frame(4, 1) + F.frame(4, 1)
                + F.frame(1, 5, 3, [0x20, 0x88]) + F.frame(1, 5, 5, [0x88]))
    }

    /// A head and a small body are one buffer; large bodies stand for themselves, and are not copied.
    @Test func smallFramesGoTogether() throws {
        var output = FrameOutput()
        for id in [1, 3, 5] as [HTTP2StreamID] {
            output.writeData(ByteBuffer(string: "a"), endsStream: true, on: id)
        }
        #expect(output.next(all: false) == nil)
        let first = output.next(all: true)
        let together = try #require(first)
        #expect(Array(buffer: together) == F.frame(0, 1, 1, [97]) + F.frame(0, 1, 3, [97]) + F.frame(0, 1, 5, [97]))
        #expect(output.isEmpty)

        let large = ByteBuffer(repeating: 0, count: 16_384)
        output.writeData(ByteBuffer(string: "d"), endsStream: false, on: 1)
        output.writeData(large, endsStream: false, on: 1)
        output.writeData(ByteBuffer(string: "e"), endsStream: true, on: 1)
        #expect(output.next(all: false)?.readableBytes == 19)
        let second = output.next(all: false)
        let payload = try #require(second)
        #expect(payload == large)
        let isSame = payload.withUnsafeReadableBytes { bytes in
            large.withUnsafeReadableBytes { $0.baseAddress == bytes.baseAddress }
        }
        #expect(isSame)
        #expect(output.next(all: false) == nil)
        #expect(output.next(all: true)?.readableBytes == 10)

        for _ in 0..<10 { output.writeData(ByteBuffer(repeating: 2, count: 3_991), endsStream: false, on: 1) }
        var sizes: [Int] = []
        while let part = output.next(all: true) { sizes.append(part.readableBytes) }
        #expect(sizes == [16_000, 16_000, 8_000])
    }

    /// The memory of what was written is taken again, and given back on demand.
    @Test func memoryIsTakenAgain() {
        var output = FrameOutput()
        func write() -> UnsafeRawPointer? {
            output.write(100) { $0.writeRepeatingByte(1, count: 100) }
            return output.next(all: true)?.withUnsafeReadableBytes { $0.baseAddress }
        }
        #expect(write() == write())
    }
}
