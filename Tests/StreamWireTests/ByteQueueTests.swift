import NIOCore
import Testing

@testable import StreamWire

@Suite struct ByteQueueTests {
    /// So many bytes of a buffer that is much larger, as a frame's body is of a read.
    private func slice(_ bytes: [UInt8], of size: Int = 16_384) throws -> ByteBuffer {
        var read = ByteBuffer()
        read.reserveCapacity(size)
        read.writeRepeatingByte(0xFF, count: size / 2)
        read.writeBytes(bytes)
        return try #require(read.getSlice(at: size / 2, length: bytes.count))
    }

    @Test func singleBytesOfLargeReadsAreJoined() throws {
        var queue = ByteQueue()
        for index in 0..<10_000 {
            queue.append(try self.slice([UInt8(truncatingIfNeeded: index)]))
            queue.settle()
        }
        #expect(queue.readableBytes == 10_000)
        #expect(queue.keptBytes <= 4 * 10_000 + 16_384)
        #expect(queue.pieceCount < 10)
        var all = ByteBuffer()
        while var piece = queue.popFirst() { all.writeBuffer(&piece) }
        #expect(all.readableBytesView.elementsEqual((0..<10_000).map { UInt8(truncatingIfNeeded: $0) }))
        #expect(queue.isEmpty && queue.readableBytes == 0)
    }

    @Test func whatIsMostOfItsBufferIsNotCopied() throws {
        var queue = ByteQueue()
        let large = ByteBuffer(repeating: 7, count: 16_000)
        let place = large.withUnsafeReadableBytes { $0.baseAddress }
        queue.append(large)
        queue.settle()
        let first = queue.popFirst()
        let kept = try #require(first)
        #expect(kept.withUnsafeReadableBytes { $0.baseAddress } == place)
        // A part of much more is.
        queue.append(try self.slice(Array(repeating: 1, count: 5000), of: 1 << 20))
        queue.settle()
        #expect(queue.keptBytes < 20_000)
    }

    @Test(arguments: 1...4) func bytesComeOutAsTheyWentIn(seed: UInt64) throws {
        var numbers = SeededNumbers(seed: seed)
        var queue = ByteQueue()
        var (sent, received) = (0, 0)
        for _ in 0..<3000 {
            switch Int.random(in: 0..<10, using: &numbers) {
            case 0..<5:
                let count = Bool.random(using: &numbers) ? 3 : Int.random(in: 1...6000, using: &numbers)
                queue.append(try self.slice((sent..<sent + count).map { UInt8(truncatingIfNeeded: $0 &* 7) }))
                sent += count
            case 5..<7: queue.settle()
            case 7:
                guard let piece = queue.popFirst() else { continue }
                for byte in piece.readableBytesView {
                    if byte != UInt8(truncatingIfNeeded: received &* 7) { return #expect(Bool(false), "\(received)") }
                    received += 1
                }
            default:
                var part = ByteBuffer()
                queue.move(Int.random(in: 1...9000, using: &numbers), into: &part)
                for byte in part.readableBytesView {
                    if byte != UInt8(truncatingIfNeeded: received &* 7) { return #expect(Bool(false), "\(received)") }
                    received += 1
                }
            }
            #expect(queue.readableBytes == sent - received)
        }
    }
}
