import NIOCore
import StreamWire
import Testing

@Suite struct StreamFrameTests {
    static let frames: [StreamFrame] =
        [
            .open(1, window: 65_536, introduction: ByteBuffer(string: "who")),
            .open(.max, window: 0, introduction: ByteBuffer()),
            .accept(1, window: 61_440), .data(1, ByteBuffer(string: "hello")),
            .data(2, ByteBuffer(repeating: 7, count: StreamFrame.maximumBody)),
            .end(1), .close(2), .window(3, 1), .window(3, .max), .ping(0), .pong(.max), .drain,
        ] + StreamReset.allCases.map { .reset(4, $0) }

    @Test func whatIsWrittenIsReadWhateverWayItIsCut() throws {
        var bytes = ByteBuffer()
        for frame in Self.frames { frame.write(into: &bytes) }
        for size in [1, 2, 3, 7, 8, 9, 100, 16_391, bytes.readableBytes] {
            var reader = StreamFrameReader()
            var read: [StreamFrame] = []
            var rest = bytes
            while rest.readableBytes > 0 {
                let part = rest.readSlice(length: min(size, rest.readableBytes))
                reader.receive(try #require(part))
                while let frame = try reader.next() { read.append(frame) }
            }
            #expect(read == Self.frames, "pieces of \(size)")
            #expect(reader.bufferedBytes == 0)
        }
    }

    private func failure(_ bytes: [UInt8]) -> StreamLinkError? {
        var reader = StreamFrameReader()
        reader.receive(ByteBuffer(bytes: bytes))
        do throws(StreamLinkError) {
            while try reader.next() != nil {}
            return nil
        } catch {
            let again = { () -> StreamLinkError? in
                do throws(StreamLinkError) { return try reader.next() == nil ? nil : nil } catch { return error }
            }()
            #expect(again == error, "a failure is repeated")
            return error
        }
    }

    @Test func malformedHeadersEndTheLinkBeforeTheirBodies() {
        #expect(self.failure([0, 0, 0, 0, 0, 0, 0, 1]) == .unknownKind(0))
        #expect(self.failure([11, 0, 0, 0, 0, 0, 0, 1]) == .unknownKind(11))
        #expect(self.failure([3, 1, 0, 1, 0, 0, 0, 1]) == .reservedByte)
        // Data: none, and a byte more than a frame has.
        #expect(self.failure([3, 0, 0, 0, 0, 0, 0, 1]) == .badLength(kind: 3, length: 0))
        #expect(self.failure([3, 0, 0x40, 1, 0, 0, 0, 1]) == .badLength(kind: 3, length: 16_385))
        // An introduction that is too long, and an opening without a window.
        #expect(self.failure([1, 0, 1, 5, 0, 0, 0, 1]) == .badLength(kind: 1, length: 261))
        #expect(self.failure([1, 0, 0, 3, 0, 0, 0, 1]) == .badLength(kind: 1, length: 3))
        for (kind, length) in [(2, 3), (4, 1), (5, 1), (6, 0), (6, 2), (7, 5)] {
            #expect(
                self.failure([UInt8(kind), 0, 0, UInt8(length), 0, 0, 0, 1])
                    == .badLength(kind: UInt8(kind), length: length))
        }
        for (kind, length) in [(8, 7), (9, 9), (10, 1)] {
            #expect(
                self.failure([UInt8(kind), 0, 0, UInt8(length), 0, 0, 0, 0])
                    == .badLength(kind: UInt8(kind), length: length))
        }
        // The link is stream 0, and only the link.
        #expect(self.failure([8, 0, 0, 8, 0, 0, 0, 1]) == .badStream(1))
        #expect(self.failure([10, 0, 0, 0, 0, 0, 0, 9]) == .badStream(9))
        #expect(self.failure([3, 0, 0, 1, 0, 0, 0, 0]) == .badStream(0))
        #expect(self.failure([6, 0, 0, 1, 0, 0, 0, 1, 0]) == .unknownReason(0))
        #expect(self.failure([6, 0, 0, 1, 0, 0, 0, 1, 6]) == .unknownReason(6))
        #expect(self.failure([7, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0, 0]) == .windowOverflow(1))
    }
}
