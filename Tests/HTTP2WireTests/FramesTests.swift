import HTTPFields
import NIOCore
import Testing

@testable import HTTP2Wire

/// The machines between the bytes and the library.
@Suite struct FramesTests {
    static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)
    /// GET https /, without an authority.
    static let get: [UInt8] = [0x82, 0x87, 0x84]

    static func frame(_ type: UInt8, _ flags: UInt8 = 0, _ stream: UInt32 = 0, _ payload: [UInt8] = []) -> [UInt8] {
        var buffer = ByteBuffer()
        FrameHeader(length: payload.count, type: type, flags: flags, stream: stream).write(to: &buffer)
        return Array(buffer: buffer) + payload
    }

    struct Heard: Equatable {
        var bytes: [UInt8] = []
        var sections: [String] = []
        var kinds: [ClientFrames.Kind] = []
        var fault: ClientFrameFault?
        var settings = ClientFrameSettings()
    }

    /// What becomes of bytes that come in parts of this size.
    static func hear(_ bytes: [UInt8], parts: Int) -> Heard {
        var frames = ClientFrames(limits: FieldBlockTests.limits, maximumContinuations: 8)
        var heard = Heard()
        var kinds: [ClientFrames.Kind] = []
        for start in stride(from: 0, to: bytes.count, by: parts) where heard.fault == nil {
            frames.receive(ByteBuffer(bytes: bytes[start..<min(start + parts, bytes.count)]))
            do throws(ClientFrameFault) {
                while let event = try frames.next(began: { kinds.append($0) }) {
                    switch event {
                    case .bytes(let bytes): heard.bytes += Array(buffer: bytes)
                    case .section(let block, let frame):
                        heard.bytes += Array(buffer: frame)
                        heard.sections.append(FieldBlockTests.list(block).joined(separator: ", "))
                    }
                }
            } catch {
                heard.fault = error
            }
        }
        heard.kinds = kinds
        heard.settings = frames.settings
        return heard
    }

    private static let conversation: [UInt8] =
        preface + frame(4, 0, 0, [0, 1, 0, 0, 0, 0, 0, 5, 0, 0, 0x80, 0]) + frame(4, 1)
        + frame(1, 0x5, 1, get + [0x40, 1, 0x78, 2, 0x79, 0x7A])
        + frame(1, 0x1, 3, Array(get.prefix(2))) + frame(9, 0, 3, [0x84]) + frame(9, 4, 3, [0xBE])
        // Padding, and priority.
        + frame(1, 0x2C, 5, [3, 0, 0, 0, 1, 15] + get + [0, 0, 0])
        + frame(0, 0, 5, Array(repeating: 7, count: 300)) + frame(0, 1, 5)
        + frame(6, 0, 0, Array(repeating: 1, count: 8))
        + frame(0xFA, 0xFF, 9, [1, 2, 3])

    @Test(arguments: [1, 2, 3, 7, 9, 10, 64, 1000]) func theCutsMakeNoDifference(parts: Int) {
        let heard = Self.hear(Self.conversation, parts: parts)
        let base = ":method: GET, :scheme: https, :path: /"
        #expect(heard.sections == [base + ", x: yz", base + ", x: yz", base])
        var expected = Self.preface + Self.frame(4, 0, 0, [0, 1, 0, 0, 0, 0, 0, 5, 0, 0, 0x80, 0]) + Self.frame(4, 1)
        expected += Self.frame(1, 0x5, 1) + Self.frame(1, 0x5, 3) + Self.frame(1, 0x24, 5, [0, 0, 0, 1, 15])
        expected += Self.frame(0, 0, 5, Array(repeating: 7, count: 300)) + Self.frame(0, 1, 5)
        expected += Self.frame(6, 0, 0, Array(repeating: 1, count: 8)) + Self.frame(0xFA, 0xFF, 9, [1, 2, 3])
        #expect(heard.bytes == expected)
        #expect(
            heard.kinds == [
                .control, .control, .other, .other, .continuation, .continuation, .other, .data, .data, .control,
                .other,
            ])
        #expect(heard.settings.maximumFrameSize == 32_768 && heard.settings.hasSmallTable)
        #expect(heard.fault == nil)
    }

    @Test(arguments: [1, 5, 1000]) func brokenBlocks(parts: Int) {
        func fault(_ frames: [UInt8]...) -> ClientFrameFault? {
            Self.hear(Self.preface + frames.flatMap { $0 }, parts: parts).fault
        }
        let open = Self.frame(1, 0x1, 1, Self.get)
        #expect(fault(open, Self.frame(6, 0, 0, Array(repeating: 0, count: 8))) == .brokenBlock)
        #expect(fault(open, Self.frame(9, 4, 3)) == .brokenBlock)
        #expect(fault(open, Self.frame(1, 5, 1, Self.get)) == .brokenBlock)
        #expect(fault(open, Self.frame(4)) == .brokenBlock)
        #expect(fault(Self.frame(1, 0xD, 1, [4] + Self.get)) == .brokenBlock)
        #expect(fault(Self.frame(1, 0xD, 1)) == .brokenBlock)
        #expect(fault(Self.frame(1, 0x25, 1, Self.get)) == .brokenBlock)
        #expect(fault(Self.frame(1, 5, 1, [0xBE])) == .compression(.badIndex))
        #expect(fault(Self.frame(1, 5, 1, Array(repeating: 0x82, count: 16_385))) == .frameTooLarge)
        #expect(fault(Self.frame(1, 5, 1, Array(repeating: 0x82, count: 16_000))) == .sectionTooLarge)
        #expect(fault(open, Self.frame(9, 4, 1, Array(repeating: 0x82, count: 16_385))) == .frameTooLarge)
        #expect(fault(Self.frame(4, 0, 0, Array(repeating: 0, count: 6 * 65))) == .tooManySettings)
        let nine = Array(repeating: Self.frame(9, 0, 1), count: 9).flatMap { $0 }
        #expect(fault(open, nine) == .tooManyContinuations)
        #expect(fault(open, Array(nine.dropLast(9)), Self.frame(9, 4, 1)) == .tooManyContinuations)
        #expect(fault(open, Array(nine.dropLast(18)), Self.frame(9, 4, 1)) == nil)
        // The library's to judge.
        #expect(fault(Self.frame(9, 4, 1, Self.get)) == nil)
    }

    private static func write(
        _ library: [[UInt8]], block: [UInt8]?, _ settings: ClientFrameSettings = ClientFrameSettings()
    ) throws -> [UInt8] {
        var frames = ServerFrames()
        frames.block = block.map { ByteBuffer(bytes: $0) }
        var out: [UInt8] = []
        for bytes in library {
            var buffer = ByteBuffer()
            if let same = try frames.write(ByteBuffer(bytes: bytes), settings, to: &buffer) { buffer = same }
            out += Array(buffer: buffer)
        }
        return out
    }

    @Test func blocksAreSplitAtTheClientsLimit() throws {
        let head = Self.frame(1, 0x5, 7, [0x88])
        #expect(try Self.write([head], block: [1, 2, 3]) == Self.frame(1, 5, 7, [1, 2, 3]))
        #expect(try Self.write([head], block: []) == Self.frame(1, 5, 7))
        let large = (0..<40_000).map { UInt8(truncatingIfNeeded: $0) }
        #expect(
            try Self.write([head], block: large) == Self.frame(1, 1, 7, Array(large[..<16_384]))
                + Self.frame(9, 0, 7, Array(large[16_384..<32_768])) + Self.frame(9, 4, 7, Array(large[32_768...])))
        let whole = Array(large[..<16_384])
        #expect(try Self.write([head], block: whole) == Self.frame(1, 5, 7, whole))
        var settings = ClientFrameSettings()
        settings.maximumFrameSize = 40_000
        #expect(try Self.write([head], block: large, settings) == Self.frame(1, 5, 7, large))
    }

    @Test func everythingElsePasses() throws {
        let data = Array(repeating: 1 as UInt8, count: 100)
        let frame = Self.frame(0, 1, 7, data)
        let settings = Self.frame(4, 1)
        // A payload that looks like HEADERS.
        let odd = Self.frame(0, 0, 7, Self.frame(1, 5, 7, [0x88]))
        let library = [
            settings, Array(frame[..<9]), Array(frame[9...]), Array(odd[..<9]), Array(odd[9...]), settings,
        ]
        #expect(try Self.write(library, block: nil) == library.flatMap { $0 })
    }

    @Test func aHeadersFrameWithoutABlockIsAnError() {
        #expect(throws: ServerFrames.MissingBlock.self) {
            _ = try Self.write([Self.frame(1, 5, 7, [0x88])], block: nil)
        }
        var frames = ServerFrames()
        frames.block = ByteBuffer(bytes: [1])
        var buffer = ByteBuffer()
        #expect(throws: ServerFrames.MissingBlock.self) {
            for _ in 0..<2 {
                _ = try frames.write(ByteBuffer(bytes: Self.frame(1, 5, 7, [0x88])), ClientFrameSettings(), to: &buffer)
            }
        }
    }

    /// RFC 7541 §4.2: said once, in the first block after the announcement.
    @Test func aSmallTableIsAcknowledged() throws {
        var frames = ServerFrames()
        var settings = ClientFrameSettings()
        settings.hasSmallTable = true
        var buffer = ByteBuffer()
        for _ in 0..<2 {
            frames.block = ByteBuffer(bytes: [0x88])
            _ = try frames.write(ByteBuffer(bytes: Self.frame(1, 5, 7, [0x88])), settings, to: &buffer)
        }
        #expect(Array(buffer: buffer) == Self.frame(1, 5, 7, [0x20, 0x88]) + Self.frame(1, 5, 7, [0x88]))
    }
}
