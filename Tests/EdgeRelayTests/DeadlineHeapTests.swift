import NIOCore
import Testing

@testable import EdgeRelay

@Suite("Many deadlines of which the next one counts") struct DeadlineHeapTests {
    private static func time(_ number: UInt64) -> NIODeadline { .uptimeNanoseconds(number) }

    @Test("Whatever is set, set anew and taken back: the earliest of those that stand comes first")
    func againstAList() {
        var random = SystemRandomNumberGenerator()
        let entries = (0..<40).map { DeadlineHeap.Entry(id: $0) }
        var heap = DeadlineHeap()
        var list: [UInt64: UInt64] = [:]
        for _ in 0..<20_000 {
            let entry = entries[Int.random(in: 0..<entries.count, using: &random)]
            switch Int.random(in: 0..<4, using: &random) {
            case 0:
                heap.remove(entry)
                list[entry.id] = nil
            case 1:
                let now = UInt64.random(in: 0..<1000, using: &random)
                let due = list.values.filter { $0 <= now }.min()
                let first = heap.removeFirst(due: Self.time(now))
                #expect(first.flatMap { list[$0.id] } == due)
                if let first { list[first.id] = nil }
            default:
                let deadline = UInt64.random(in: 0..<1000, using: &random)
                heap.set(entry, to: Self.time(deadline))
                list[entry.id] = deadline
            }
            #expect(heap.next == list.values.min().map(Self.time))
        }
    }

    @Test("What came is not there any more, and may be set again")
    func again() {
        var heap = DeadlineHeap()
        let entry = DeadlineHeap.Entry(id: 7)
        heap.set(entry, to: Self.time(5))
        let early = heap.removeFirst(due: Self.time(4))
        let due = heap.removeFirst(due: Self.time(5))
        #expect(early == nil && due?.id == 7)
        #expect(heap.next == nil)
        heap.set(entry, to: Self.time(6))
        #expect(heap.next == Self.time(6))
    }
}
