import HTTPCaching
import NIOCore
import NIOPosix
import Testing

@testable import CacheStorage

/// What readers that don't read can make the store hold.
@Suite struct FillMemoryTests {
    private static let budget = 4 << 20

    private func store() -> ResponseStore {
        ResponseStore(limits: StoreLimits(memoryBytes: 16 << 20, fillBytes: Self.budget))
    }

    private func lead(_ store: ResponseStore, _ path: String) throws -> FillWriter {
        guard case .lead(let writer) = store.flight(for: Sample.key(path), now: 0) else { throw NotLeading() }
        return writer
    }

    private struct NotLeading: Error {}

    /// What a fill holds, by looking.
    private func held(_ writers: [FillWriter]) -> Int {
        writers.reduce(0) { $0 + $1.fill.heldBytes }
    }

    @Test func readersThatDoNotReadBoundWhatFillsHold() async throws {
        let store: ResponseStore = self.store()
        let loop: any EventLoop = InertLoop.loop
        let piece: ByteBuffer = Sample.body(60_000, seed: 1)
        try await loop.submit {
            var writers: [FillWriter] = []
            var readers: [BodyReader] = []
            for number in 0..<40 {
                let writer: FillWriter = try self.lead(store, "\(number)")
                let follower: FillFollower = writer.fill.follow(on: loop, wake: {})
                writer.begin(Sample.response(length: nil))
                readers.append(follower.body())
                writers.append(writer)
            }
            // Round after round, so that whatever one gives up could be taken by the next.
            for _ in 0..<30 {
                for writer in writers where writer.flow() == .proceed { _ = writer.append(piece) }
            }
            let most: Int = Self.budget + writers.count * (FillState.narrowWindow + 2 * piece.storageCapacity)
            #expect(self.held(writers) <= most)
            #expect(store.statistics.fillBytes == self.held(writers), "all that is held is counted")
            #expect(writers.allSatisfy { $0.flow() == .pause })

            // A reader that reads is held up by none of the others.
            var sent: Int = 0
            var got: Int = 0
            for _ in 0..<100 {
                while case .bytes(let bytes) = readers[39].read() { got += bytes.readableBytes }
                #expect(writers[39].flow() == .proceed)
                _ = writers[39].append(piece)
                sent += 1
            }
            while case .bytes(let bytes) = readers[39].read() { got += bytes.readableBytes }
            #expect(got >= sent * piece.readableBytes)
            #expect(store.statistics.fillBytes == self.held(writers))

            for reader in readers { reader.cancel() }
            #expect(store.statistics.fillBytes == 0)
            #expect(writers.allSatisfy { $0.flow() == .unwanted })
            for writer in writers { writer.fail(.abandoned) }
        }.get()
        #expect(store.statistics.fillBytes == 0)
    }

    /// Readers that hold large bodies don't keep small ones from being stored.
    @Test func smallBodiesAreStoredBesideLargeOnesThatNobodyReads() async throws {
        let store: ResponseStore = self.store()
        let loop: any EventLoop = InertLoop.loop
        try await loop.submit {
            var writers: [FillWriter] = []
            var readers: [BodyReader] = []
            for number in 0..<6 {
                let writer: FillWriter = try self.lead(store, "\(number)")
                let follower: FillFollower = writer.fill.follow(on: loop, wake: {})
                writer.begin(Sample.response(length: nil))
                readers.append(follower.body())
                writers.append(writer)
                for _ in 0..<30 where writer.flow() == .proceed { _ = writer.append(Sample.body(60_000, seed: 1)) }
            }
            #expect(store.statistics.fillBytes > Self.budget / 4 * 3 - 200_000)
            guard case .stored? = store.fill("small", bytes: 50_000) else {
                Issue.record("not stored")
                return
            }
            for reader in readers { reader.cancel() }
        }.get()
    }

    /// What a failed fill still holds for its readers counts until they have it.
    @Test func aFailedFillCountsUntilItIsRead() async throws {
        let store: ResponseStore = self.store()
        let loop: any EventLoop = InertLoop.loop
        try await loop.submit {
            let writer: FillWriter = try self.lead(store, "a")
            let reader: BodyReader = writer.fill.follow(on: loop, wake: {}).body()
            writer.begin(Sample.response(length: nil))
            for seed in 0..<10 { _ = writer.append(Sample.body(100_000, seed: UInt64(seed))) }
            writer.fail(.originFailed("reset"))
            #expect(store.statistics.fillBytes >= 1_000_000)
            while case .bytes = reader.read() {}
            #expect(store.statistics.fillBytes == 0)
        }.get()
    }

    /// Bodies that were evicted, and that readers hold on to.
    @Test func whatReadersKeepAfterItsEvictionCounts() async throws {
        let store: ResponseStore = self.store()
        let loop: any EventLoop = InertLoop.loop
        let body: ByteBuffer = Sample.body(1_000_000, seed: 1)
        try await loop.submit {
            var readers: [BodyReader] = []
            var stored = 0
            for number in 0..<60 {
                let writer: FillWriter = try self.lead(store, "\(number)")
                let follower: FillFollower = writer.fill.follow(on: loop, wake: {})
                writer.begin(Sample.response(length: body.readableBytes))
                var rest: ByteBuffer = body
                while writer.flow() == .proceed, let piece = rest.readSlice(length: min(50_000, rest.readableBytes)),
                    piece.readableBytes > 0
                {
                    _ = writer.append(ByteBuffer(bytes: piece.readableBytesView))
                }
                readers.append(follower.body())
                // A hit, too, by a reader that doesn't read on.
                if case .stored(let entry) = writer.finish() {
                    stored += 1
                    readers.append(entry.body.reader(on: loop, wake: {}))
                }
            }
            #expect(stored > 15 && stored < 25, "\(stored) stored")
            #expect(store.statistics.evictions > 0)
            #expect(store.statistics.fillBytes > 2 << 20, "what was evicted counts, since it is still there")
            for reader in readers { reader.cancel() }
        }.get()
        #expect(store.statistics.fillBytes == 0)
        // And then things are stored again.
        guard case .stored? = store.fill(Sample.key("z"), Sample.response(length: body.readableBytes), body) else {
            Issue.record("not stored")
            return
        }
        #expect(store.statistics.fillBytes == 0)
    }

    /// Found while it could be joined, and joined when its beginning had gone.
    @Test func whoJoinsTooLateGoesAlone() async throws {
        let store = ResponseStore(limits: StoreLimits(memoryObjectBytes: 65_536, windowBytes: 65_536))
        let loop: any EventLoop = InertLoop.loop
        try await loop.submit {
            let writer: FillWriter = try self.lead(store, "a")
            guard case .join(let fill) = store.flight(for: Sample.key("a"), now: 0) else { throw NotLeading() }
            let reader: BodyReader = fill.follow(on: loop, wake: {}).body()
            writer.begin(Sample.response(length: nil))
            for _ in 0..<4 {
                _ = writer.append(Sample.body(40_000, seed: 1))
                while case .bytes = reader.read() {}
            }
            let late: FillFollower = fill.follow(on: loop, wake: {})
            guard case .unshared = late.head() else {
                Issue.record("joined")
                return
            }
            guard case .truncated(.cutOff) = late.body().read() else {
                Issue.record("a body without its beginning")
                return
            }
            #expect(
                writer.append(Sample.body(40_000, seed: 1)) == .proceed,
                "a reader that is too late holds no other one up")
        }.get()
    }

    /// A reader that skips what came before its range lets a paused writer go on.
    @Test func aRangeThatBeginsLaterResumesTheWriter() async throws {
        let store = ResponseStore(limits: StoreLimits(memoryObjectBytes: 65_536, windowBytes: 65_536))
        let loop: any EventLoop = InertLoop.loop
        let resumed: EventLoopPromise<Void> = loop.makePromise()
        let reader = try await loop.submit {
            let writer: FillWriter = try self.lead(store, "a")
            writer.onResume(on: loop) { resumed.succeed(()) }
            let follower: FillFollower = writer.fill.follow(on: loop, wake: {})
            #expect(writer.begin(Sample.response(length: 500_000)) == .passThrough)
            #expect(writer.append(Sample.body(80_000, seed: 1)) == .pause)
            return NIOLoopBound((writer, follower.body(range: 300_000..<300_010)), eventLoop: loop)
        }.get()
        try await resumed.futureResult.get()
        try await loop.submit {
            #expect(reader.value.0.flow() == .proceed)
            reader.value.1.cancel()
        }.get()
    }

    private static let waker = FillWaker(eventLoop: InertLoop.loop, callback: {})

    private static func passing(_ state: inout FillState, reader: Int, pieces: Int) {
        for seed in 0..<pieces {
            _ = state.append(Sample.body(20_000, seed: UInt64(seed)))
            while case .bytes = state.read(reader, upTo: nil, atMost: 65_536, waker: Self.waker).0 {}
        }
    }

    /// What falls behind is kept for it, within a bound.
    @Test func readersDoNotWaitForTheDisk() {
        let budget = FillBudget(limit: 1 << 20)
        var state = FillState(window: 65_536, budget: budget)
        let reader: Int = state.join()
        let disk: Int = state.join(isSpool: true)
        _ = state.begin(.shared(Sample.response(length: nil)), plan: .passThrough, expected: nil)
        Self.passing(&state, reader: reader, pieces: 12)
        #expect(state.flow() == .proceed)
        #expect(budget.bytes >= 240_000)
        guard case (.bytes, _) = state.read(disk, upTo: nil, atMost: 65_536, waker: Self.waker) else {
            Issue.record("the disk has nothing to write")
            return
        }
        // A quarter of the budget: then it is given up, and the memory is free.
        Self.passing(&state, reader: reader, pieces: 8)
        #expect(state.flow() == .proceed)
        #expect(state.read(disk, upTo: nil, atMost: 65_536, waker: Self.waker).0.failure == .cutOff)
        #expect(budget.bytes <= 140_000)
    }

    /// Without a client it goes at the disk's pace.
    @Test func theWriterWaitsForTheDiskWhereNobodyElseReads() {
        var state = FillState(window: 65_536, budget: FillBudget(limit: 1 << 20))
        let reader: Int = state.join()
        let disk: Int = state.join(isSpool: true)
        _ = state.begin(.shared(Sample.response(length: nil)), plan: .passThrough, expected: nil)
        Self.passing(&state, reader: reader, pieces: 8)
        #expect(state.flow() == .proceed)
        _ = state.leave(reader)
        #expect(state.flow() == .pause)
        state.onResume(Self.waker)
        var resumed = false
        while case (.bytes, let waker) = state.read(disk, upTo: nil, atMost: 65_536, waker: Self.waker) {
            if waker != nil { resumed = true }
        }
        #expect(resumed)
        #expect(state.flow() == .proceed)
        _ = state.leave(disk)
        #expect(state.flow() == .unwanted)
    }

    /// A body that outgrew its bound is not written any more.
    @Test func aSpoolThatIsCutOffIsOver() {
        var state = FillState(window: 65_536, budget: FillBudget(limit: 1 << 20))
        let disk: Int = state.join(isSpool: true)
        _ = state.begin(.shared(Sample.response(length: nil)), plan: .passThrough, expected: nil)
        for seed in 0..<4 { _ = state.append(Sample.body(20_000, seed: UInt64(seed))) }
        #expect(state.flow() == .pause)
        state.cutOffSpool()
        #expect(state.flow() == .unwanted)
        #expect(state.read(disk, upTo: nil, atMost: 65_536, waker: Self.waker).0.failure == .cutOff)
    }

    /// However the bytes come, completing a body copies no more than its last 64 KiB.
    @Test func completingABodyCopiesNoMoreThanItsTail() {
        let source: ByteBuffer = Sample.body(200_100, seed: 3)
        for sizes in [[1], [900, 5_000], [16_384, 1], [20_000, 40_000, 3], [65_536], [70_000, 200_000]] {
            var list = ChunkList()
            var written = ByteBuffer()
            var turn = 0
            while list.end < (sizes == [1] ? 70_000 : 700_000) {
                let size: Int = sizes[turn % sizes.count]
                turn += 1
                if size < 100, turn % 500 != 0, list.end > 100_000, sizes.count > 1 { continue }
                // As a socket's buffers are: larger than what is in them, more or less.
                var buffer: ByteBuffer = ByteBufferAllocator().buffer(capacity: turn % 3 == 0 ? 70_000 : size)
                buffer.writeImmutableBuffer(source.getSlice(at: turn % 97, length: size) ?? ByteBuffer())
                list.append(buffer, expected: nil)
                written.writeImmutableBuffer(buffer)
            }
            let before: [ByteBuffer] = list.buffers
            let chunks: [ByteBuffer] = list.compact()
            let places: Set<UInt> = Set(before.map { Self.place($0) })
            let copied: Int = chunks.filter { !places.contains(Self.place($0)) }.reduce(0) { $0 + $1.readableBytes }
            #expect(copied <= ChunkList.chunkBytes, "\(sizes)")
            #expect(chunks.reduce(into: ByteBuffer()) { $0.writeImmutableBuffer($1) } == written, "\(sizes)")
            let capacity: Int = chunks.reduce(0) { $0 + $1.storageCapacity }
            #expect(capacity <= list.end + list.end / 8 + chunks.count * 512, "\(sizes)")
            #expect(list.footprint == capacity + chunks.count * MemoryCosts.buffer, "\(sizes)")
            #expect(chunks.count <= list.end / 4096 + 1, "\(sizes)")
        }
    }

    /// Where its bytes are in memory.
    private static func place(_ buffer: ByteBuffer) -> UInt {
        buffer.withUnsafeReadableBytes { UInt(bitPattern: $0.baseAddress) }
    }
}

extension BodyRead {
    fileprivate var failure: FillFailure? {
        if case .truncated(let failure) = self { failure } else { nil }
    }
}
