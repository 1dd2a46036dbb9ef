import Channels
import NIOCore
import Testing

/// Memory that connections take one after the other.
@Suite struct SpareBufferTests {
    private static func address(_ buffer: ByteBuffer) -> UInt {
        buffer.withVeryUnsafeBytes { UInt(bitPattern: $0.baseAddress) }
    }

    @Test func whatNothingHoldsIsTakenAgain() {
        let spare = SpareBuffer()
        var first = spare.take(1000)
        first.writeString("first")
        let place = Self.address(first)
        spare.keep(first)
        first = ByteBuffer()
        let second = spare.take(10)
        #expect(Self.address(second) == place)
        #expect(second.readableBytes == 0 && second.writableBytes >= 1000)
    }

    @Test func whatIsHeldStaysAsItIs() {
        let spare = SpareBuffer()
        var first = spare.take(16)
        first.writeString("first")
        spare.keep(first)
        var slice = first.getSlice(at: 1, length: 3)
        first = ByteBuffer()
        var second = spare.take(16)
        second.writeString("second")
        #expect(slice == ByteBuffer(string: "irs"))
        #expect(second == ByteBuffer(string: "second"))
        spare.keep(second)
        slice = nil
        // Nothing was kept between two that take.
        let third = spare.take(1), fourth = spare.take(1)
        #expect(Self.address(third) != Self.address(fourth))
        #expect(second == ByteBuffer(string: "second"))
    }

    /// A client that does not read its short answers holds as many of these as its pending writes may be.
    @Test(arguments: [(1, 2048), (2048, 2048), (2049, 8192), (8193, 32_768)])
    func littleGetsNoLargeMemory(count: Int, most: Int) {
        let spare = SpareBuffer()
        for size in [300, 3000, 30_000] {
            let used = spare.take(size)
            spare.keep(used)
        }
        let taken = spare.take(count)
        #expect(taken.storageCapacity >= count && taken.storageCapacity <= most)
    }

    @Test func muchIsNotKept() {
        let spare = SpareBuffer()
        let large = spare.take(100_000)
        spare.keep(large)
        #expect(spare.take(1).capacity < 100_000)
    }
}
