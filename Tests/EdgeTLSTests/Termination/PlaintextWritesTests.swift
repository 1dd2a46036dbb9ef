import NIOCore
import Testing

@testable import EdgeTLS

@Suite struct PlaintextWritesTests {
    private static let record = 16_384

    /// Whatever is written, all of it comes out once and in order; two pieces in a row never fit into one record.
    @Test(arguments: 0..<200) func everyByteComesOnceAndInOrder(seed: UInt64) {
        var generator = Lehmer(state: seed &* 2 &+ 1)
        var writes = PlaintextWrites()
        for _ in 0..<3 {
            var expected: [UInt8] = []
            for _ in 0..<Int.random(in: 0...9, using: &generator) {
                let length = [0, 1, 40, 9000, Self.record, 20_000].randomElement(using: &generator) ?? 1
                let bytes = [UInt8](repeating: UInt8.random(in: 0...255, using: &generator), count: length)
                expected += bytes
                writes.append(ByteBuffer(bytes: bytes), nil)
            }
            var pieces: [ByteBuffer] = []
            while let piece = writes.next() { pieces.append(piece) }
            #expect(writes.isEmpty)
            #expect(pieces.flatMap { Array($0.readableBytesView) } == expected)
            for (one, next) in zip(pieces, pieces.dropFirst()) {
                #expect(one.readableBytes + next.readableBytes > Self.record)
            }
        }
    }

    private struct Lehmer: RandomNumberGenerator {
        var state: UInt64

        mutating func next() -> UInt64 {
            self.state = self.state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return self.state ^ self.state >> 29
        }
    }
}
