import CacheStorage
import NIOCore

/// What a follower got in the end.
struct Collected: Sendable {
    var head: FillHead
    var bytes: ByteBuffer
    /// Nil if the body ended well.
    var failure: FillFailure?
}

/// Reads a fill or a body on an event loop, as fast as it comes or in small steps.
final class Collector {
    private let loop: any EventLoop
    private let promise: EventLoopPromise<Collected>
    private let step: Int
    private let yields: Bool
    private var follower: FillFollower?
    private var reader: BodyReader?
    private var collected = Collected(head: .pending, bytes: ByteBuffer())

    private init(loop: any EventLoop, step: Int, yields: Bool, promise: EventLoopPromise<Collected>) {
        self.loop = loop
        self.step = step
        self.yields = yields
        self.promise = promise
    }

    /// - Parameters:
    ///   - step: bytes read at once.
    ///   - yields: whether it lets others run between two reads.
    static func follow(
        _ fill: Fill, on loop: any EventLoop, step: Int = 65_536, yields: Bool = false
    ) -> EventLoopFuture<Collected> {
        let promise: EventLoopPromise<Collected> = loop.makePromise()
        // Joined here, not on the loop: the caller decides the moment.
        let box = NIOLoopBoundBox<Collector?>.makeEmptyBox(valueType: Collector.self, eventLoop: loop)
        let follower = UncheckedFollower(fill.follow(on: loop) { box.value?.proceed() })
        loop.execute {
            let collector = Collector(loop: loop, step: step, yields: yields, promise: promise)
            box.value = collector
            collector.follower = follower.value
            promise.futureResult.assumeIsolated().whenComplete { _ in box.value = nil }
            collector.proceed()
        }
        return promise.futureResult
    }

    static func read(
        _ body: StoredBody, range: Range<Int>? = nil, on loop: any EventLoop, step: Int = 65_536, yields: Bool = false
    ) -> EventLoopFuture<Collected> {
        let promise: EventLoopPromise<Collected> = loop.makePromise()
        loop.execute {
            let box = NIOLoopBoundBox<Collector?>(nil, eventLoop: loop)
            let collector = Collector(loop: loop, step: step, yields: yields, promise: promise)
            box.value = collector
            collector.reader = body.reader(range: range, on: loop) { box.value?.proceed() }
            promise.futureResult.assumeIsolated().whenComplete { _ in box.value = nil }
            collector.proceed()
        }
        return promise.futureResult
    }

    private func proceed() {
        if let follower = self.follower {
            self.collected.head = follower.head()
            switch self.collected.head {
            case .pending: return
            case .shared, .unshared:
                self.follower = nil
                self.reader = follower.body()
            case .validated: return self.promise.succeed(self.collected)
            case .failed(let failure):
                self.collected.failure = failure
                return self.promise.succeed(self.collected)
            }
        }
        guard let reader = self.reader else { return }
        while true {
            switch reader.read(atMost: self.step) {
            case .bytes(var bytes):
                self.collected.bytes.writeBuffer(&bytes)
                if self.yields {
                    let bound = NIOLoopBound(self, eventLoop: self.loop)
                    return self.loop.execute { bound.value.proceed() }
                }
            case .pending: return
            case .end: return self.promise.succeed(self.collected)
            case .truncated(let failure):
                self.collected.failure = failure
                return self.promise.succeed(self.collected)
            }
        }
    }
}

/// Carries a follower from where it joined to the loop where it lives: handed over once, used by one side at a time.
private struct UncheckedFollower: @unchecked Sendable {
    let value: FillFollower

    init(_ value: FillFollower) {
        self.value = value
    }
}
