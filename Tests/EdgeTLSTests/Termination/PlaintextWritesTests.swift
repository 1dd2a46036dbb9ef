import NIOCore
import Testing

@testable import EdgeTLS

@Suite struct PlaintextWritesTests {
    private static let record = 16_384

    /// Whatever is written, all of it comes out once and in order, and every record but the last is full.
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
            var parts: [PlaintextWrites.Part] = []
            while let part = writes.next() { parts.append(part) }
            #expect(writes.isEmpty)
            #expect(parts.flatMap(\.bytes) == expected)
            for part in parts.dropLast() { #expect(part.count > 0 && part.count % Self.record == 0) }
            for case .record(let first, let second, let third) in parts {
                #expect(first.readableBytes + second.readableBytes + third.readableBytes <= Self.record)
            }
        }
    }

    /// A frame's header and its payload, as HTTP/2 writes them, and a head with the first chunk of a body.
    @Test func whatStandsInTwoBuffersIsNotCopied() throws {
        var writes = PlaintextWrites()
        let (header, payload) = (ByteBuffer(repeating: 1, count: 9), ByteBuffer(repeating: 2, count: Self.record))
        writes.append(header, nil)
        writes.append(payload, nil)
        let start = try #require(payload.getSlice(at: 0, length: Self.record - 9))
        #expect(writes.next() == .record(header, start, ByteBuffer()))
        let rest = try #require(payload.getSlice(at: Self.record - 9, length: 9))
        #expect(writes.next() == .whole(rest))
        #expect(writes.next() == nil)
    }

    private struct Lehmer: RandomNumberGenerator {
        var state: UInt64

        mutating func next() -> UInt64 {
            self.state = self.state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return self.state ^ self.state >> 29
        }
    }
}

extension PlaintextWrites.Part {
    fileprivate var bytes: [UInt8] {
        switch self {
        case .whole(let bytes): Array(bytes.readableBytesView)
        case .record(let first, let second, let third):
            [first, second, third].flatMap { Array($0.readableBytesView) }
        }
    }
}
