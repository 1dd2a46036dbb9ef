import CacheStorage
import HTTPCaching
import NIOCore
import NIOPosix
import Testing

@Suite struct FillTests {
    private let group: MultiThreadedEventLoopGroup = .singleton

    private func lead(_ store: ResponseStore, _ path: String = "a") throws -> FillWriter {
        guard case .lead(let writer) = store.flight(for: Sample.key(path), now: 0) else { throw NotLeading() }
        return writer
    }

    private struct NotLeading: Error {}

    @Test func oneLeadsAndTheOthersJoin() throws {
        let store = ResponseStore()
        let key: CacheKey = Sample.key("a")
        let writer: FillWriter = try self.lead(store)
        guard case .join(let fill) = store.flight(for: key, now: 0) else {
            Issue.record("not joined")
            return
        }
        #expect(fill === writer.fill)
        guard case .lead = store.flight(for: key, variant: Sample.variant(language: "de"), now: 0) else {
            Issue.record("another variant waits")
            return
        }
        #expect(store.statistics.joined == 1)
        writer.begin(Sample.response(length: 0))
        _ = writer.finish()
        #expect(store.holds("a"))
        guard case .lead = store.flight(for: key, now: 0) else {
            Issue.record("a finished fill can be joined")
            return
        }
    }

    @Test func followersOfAllSpeedsReadTheSameBytes() async throws {
        let store = ResponseStore()
        let writer: FillWriter = try self.lead(store)
        let body: ByteBuffer = Sample.body(3_000_000, seed: 7)
        var readings: [EventLoopFuture<Collected>] = []
        let steps: [Int] = [1_000, 7_777, 65_536, 1 << 20]
        func join() {
            for step in steps {
                let loop: any EventLoop = self.group.next()
                readings.append(Collector.follow(writer.fill, on: loop, step: step, yields: step < 65_536))
            }
        }
        join()
        writer.begin(Sample.response(length: 3_000_000))
        join()
        var rest: ByteBuffer = body
        var turn = 0
        while rest.readableBytes > 0 {
            // Pieces of all sizes, so that some are gathered and some adopted.
            let size: Int = [1, 900, 5_000, 16_384, 40_000, 200_000][turn % 6]
            turn += 1
            guard let piece = rest.readSlice(length: min(size, rest.readableBytes)) else { break }
            #expect(writer.append(ByteBuffer(bytes: piece.readableBytesView)) == .proceed)
            if turn % 20 == 0 { join() }
        }
        join()
        _ = writer.finish()
        for reading in readings {
            let got: Collected = try await reading.get()
            #expect(got.failure == nil)
            #expect(got.bytes == body)
        }
        #expect(store.lookup(Sample.key("a")).first?.bytes == body)
        #expect(writer.fill.followerCount == 0)
    }

    @Test func aFollowerReadsARangeAsItComes() async throws {
        let store = ResponseStore()
        let writer: FillWriter = try self.lead(store)
        let body: ByteBuffer = Sample.body(300_000, seed: 8)
        let loop: any EventLoop = self.group.next()
        let fill: Fill = writer.fill
        let reading: EventLoopFuture<ByteBuffer> = loop.submit {
            let reader: BodyReader = fill.follow(on: loop, wake: {}).body(range: 100_000..<100_010)
            guard case .pending = reader.read() else { return ByteBuffer() }
            writer.begin(Sample.response(length: 300_000))
            _ = writer.append(body.getSlice(at: 0, length: 100_005) ?? ByteBuffer())
            guard case .bytes(var first) = reader.read() else { return ByteBuffer() }
            guard case .pending = reader.read() else { return ByteBuffer() }
            _ = writer.append(body.getSlice(at: 100_005, length: 199_995) ?? ByteBuffer())
            guard case .bytes(let second) = reader.read() else { return ByteBuffer() }
            guard case .end = reader.read() else { return ByteBuffer() }
            first.writeImmutableBuffer(second)
            return first
        }
        #expect(try await reading.get() == body.getSlice(at: 100_000, length: 10))
        guard case .stored = writer.finish() else {
            Issue.record("not stored")
            return
        }
    }

    @Test func aFailureIsToldAndNothingIsStored() async throws {
        let store = ResponseStore()
        let writer: FillWriter = try self.lead(store)
        let early: EventLoopFuture<Collected> = Collector.follow(writer.fill, on: self.group.next())
        writer.begin(Sample.response(length: 1_000))
        _ = writer.append(Sample.body(500, seed: 1))
        writer.fail(.originFailed("reset"))
        let got: Collected = try await early.get()
        #expect(got.failure == .originFailed("reset"))
        #expect(got.bytes == Sample.body(500, seed: 1))
        #expect(!store.holds("a"))
        #expect(store.statistics.fillBytes == 0)
        guard case .failed = writer.finish() else { return }
        Issue.record("a failed fill finished")
    }

    @Test func aFailureBeforeTheHeadIsToldAtTheHead() async throws {
        let store = ResponseStore()
        let writer: FillWriter = try self.lead(store)
        let reading: EventLoopFuture<Collected> = Collector.follow(writer.fill, on: self.group.next())
        writer.fail(.originFailed("refused"))
        guard case .failed(.originFailed("refused")) = try await reading.get().head else {
            Issue.record("head without failure")
            return
        }
    }

    @Test func aWriterThatIsLetGoFailsItsFill() async throws {
        let store = ResponseStore()
        var writer: FillWriter? = try self.lead(store)
        let reading: EventLoopFuture<Collected> = Collector.follow(try #require(writer).fill, on: self.group.next())
        writer = nil
        #expect(try await reading.get().failure == .abandoned)
        #expect(store.statistics.fills == 0)
    }

    @Test func whoJoinedLearnsThatAResponseIsNotForThem() async throws {
        let store = ResponseStore()
        let writer: FillWriter = try self.lead(store)
        let loop: any EventLoop = self.group.next()
        let fill: Fill = writer.fill
        let woken: EventLoopPromise<Void> = loop.makePromise()
        let follower = try await loop.submit { () -> NIOLoopBound<FillFollower> in
            let follower: FillFollower = fill.follow(on: loop) { woken.succeed(()) }
            guard case .pending = follower.head() else { throw NotLeading() }
            return NIOLoopBound(follower, eventLoop: loop)
        }.get()
        writer.beginUnshared()
        try await woken.futureResult.get()
        try await loop.submit {
            guard case .unshared = follower.value.head() else { throw NotLeading() }
            follower.value.cancel()
        }.get()
        guard case .lead = store.flight(for: Sample.key("a"), now: 0) else {
            Issue.record("an unshared fill can be joined")
            return
        }
        #expect(writer.append(Sample.body(10, seed: 1)) == .unwanted)
        guard case .notStored(.unshared) = writer.finish() else {
            Issue.record("stored")
            return
        }
        #expect(!store.holds("a"))
    }

    @Test func whoJoinedGetsTheValidatedResponse() async throws {
        let store = ResponseStore()
        store.fill("a", bytes: 100)
        let old: CachedResponse = try #require(store.lookup(Sample.key("a")).first)
        let writer: FillWriter = try self.lead(store)
        let reading: EventLoopFuture<Collected> = Collector.follow(writer.fill, on: self.group.next())
        let fresh: CachedResponse = writer.validated(old, response: Sample.response(length: 100, time: 9_000))
        guard case .validated(let entry) = try await reading.get().head else {
            Issue.record("not validated")
            return
        }
        #expect(entry === fresh)
        #expect(store.lookup(Sample.key("a")).first === fresh)
    }

    @Test func aBodyTooLargePassesThroughABoundedWindow() async throws {
        let limits = StoreLimits(memoryObjectBytes: 100_000, windowBytes: 200_000)
        let store = ResponseStore(limits: limits)
        let writer: FillWriter = try self.lead(store)
        let body: ByteBuffer = Sample.body(2_000_000, seed: 9)
        let readings: [EventLoopFuture<Collected>] = [
            Collector.follow(writer.fill, on: self.group.next(), step: 3_000, yields: true),
            Collector.follow(writer.fill, on: self.group.next()),
        ]
        #expect(writer.begin(Sample.response(length: nil)) == .store)
        let done: EventLoopFuture<FillResult> = Pump.start(writer, body, piece: 30_000, on: self.group.next())
        guard case .notStored(.tooLarge) = try await done.get() else {
            Issue.record("stored")
            return
        }
        for reading in readings {
            let got: Collected = try await reading.get()
            #expect(got.failure == nil)
            #expect(got.bytes == body)
        }
        #expect(store.statistics.fillBytes == 0)
    }

    @Test func aReaderThatHoldsUpOthersCanBeCutOff() async throws {
        let store = ResponseStore(limits: StoreLimits(memoryObjectBytes: 65_536, windowBytes: 65_536))
        let writer: FillWriter = try self.lead(store)
        let loop: any EventLoop = self.group.next()
        let fill: Fill = writer.fill
        try await loop.submit {
            let stuck: FillFollower = fill.follow(on: loop, wake: {})
            let quick: FillFollower = fill.follow(on: loop, wake: {})
            let stuckBody: BodyReader = stuck.body()
            let quickBody: BodyReader = quick.body()
            #expect(writer.begin(Sample.response(length: 500_000)) == .passThrough)
            #expect(writer.append(Sample.body(40_000, seed: 1)) == .proceed)
            #expect(writer.append(Sample.body(40_000, seed: 2)) == .pause)
            writer.cutOffSlowest()
            #expect(writer.flow() == .pause, "no reader waits yet")
            while case .bytes = quickBody.read() {}
            writer.cutOffSlowest()
            #expect(writer.flow() == .proceed)
            guard case .truncated(.cutOff) = stuckBody.read() else {
                Issue.record("not cut off")
                return
            }
            quickBody.cancel()
            #expect(writer.append(Sample.body(10, seed: 1)) == .unwanted)
        }.get()
    }

    @Test func fillsTogetherAreBounded() throws {
        let store = ResponseStore(limits: StoreLimits(memoryBytes: 8 << 20, fillBytes: 1 << 20))
        var writers: [FillWriter] = []
        for number in 0..<20 {
            let writer: FillWriter = try self.lead(store, "\(number)")
            writer.begin(Sample.response(length: nil))
            writers.append(writer)
        }
        for _ in 0..<10 {
            for writer in writers { _ = writer.append(Sample.body(20_000, seed: 1)) }
            #expect(store.statistics.fillBytes <= 1 << 20)
        }
        var stored = 0
        for writer in writers {
            if case .stored = writer.finish() { stored += 1 }
        }
        #expect(stored > 0 && stored <= 5)
        #expect(store.statistics.fillBytes == 0)
        #expect(store.statistics.fills == 0)
    }

    /// A fill for one request may be made when its response is there: what was purged since the request went out is not stored.
    @Test func aLateFillCountsPurgesFromItsRequest() throws {
        for (purged, isStored) in [("a", false), ("b", true)] {
            let store = ResponseStore()
            let asked: UInt64 = store.generation
            store.purge(.key(Sample.key(purged)), .remove)
            let writer: FillWriter = store.soloFill(for: Sample.key("a"), since: asked)
            #expect(writer.begin(Sample.response(length: 10)) == .store)
            _ = writer.append(Sample.body(10, seed: 1))
            writer.finish()
            #expect(store.holds("a") == isStored)
        }
    }
}

/// Writes a body into a fill on an event loop, pausing when told to.
final class Pump {
    private let writer: FillWriter
    private var rest: ByteBuffer
    private let piece: Int
    private let promise: EventLoopPromise<FillResult>

    private init(_ writer: FillWriter, _ body: ByteBuffer, piece: Int, promise: EventLoopPromise<FillResult>) {
        self.writer = writer
        self.rest = body
        self.piece = piece
        self.promise = promise
    }

    static func start(
        _ writer: FillWriter, _ body: ByteBuffer, piece: Int, on loop: any EventLoop
    ) -> EventLoopFuture<FillResult> {
        let promise: EventLoopPromise<FillResult> = loop.makePromise()
        loop.execute {
            let pump = NIOLoopBound(Pump(writer, body, piece: piece, promise: promise), eventLoop: loop)
            writer.onResume(on: loop) { pump.value.proceed() }
            pump.value.proceed()
        }
        return promise.futureResult
    }

    private func proceed() {
        while self.rest.readableBytes > 0 {
            guard let piece = self.rest.readSlice(length: min(self.piece, self.rest.readableBytes)) else { return }
            if self.writer.append(ByteBuffer(bytes: piece.readableBytesView)) == .pause { return }
        }
        self.promise.succeed(self.writer.finish())
    }
}
