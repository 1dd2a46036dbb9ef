internal import Foundation
internal import HTTPCaching
internal import NIOConcurrencyHelpers
internal import NIOCore
internal import NIOPosix

/// Writes a body that is too large for memory to a file while it comes. If the disk is slower than those who read, it falls
/// behind them within the fill's bound, and gives up beyond that; the fill waits for it only where no client reads. Belongs to
/// one event loop.
final class DiskSpool {
    /// Bytes written at once: about as many, of what is there.
    static let pieceBytes = 1 << 20

    private let store: DiskStore
    private let work: SpoolWork
    private let eventLoop: any EventLoop
    private var reader: BodyReader?
    private var isWriting = false

    private init(store: DiskStore, work: SpoolWork, eventLoop: any EventLoop) {
        self.store = store
        self.work = work
        self.eventLoop = eventLoop
    }

    /// Starts to read the fill from its beginning.
    static func start(_ store: DiskStore, _ fill: Fill, follower id: Int, _ response: StoredResponse) {
        let eventLoop: any EventLoop = store.eventLoops.next()
        let work = SpoolWork(store: store, fill: fill, response: response)
        let box = NIOLoopBoundBox<DiskSpool?>.makeEmptyBox(valueType: DiskSpool.self, eventLoop: eventLoop)
        let waker = FillWaker(eventLoop: eventLoop) { box.value?.proceed() }
        eventLoop.execute {
            let spool = DiskSpool(store: store, work: work, eventLoop: eventLoop)
            spool.reader = BodyReader(fill: FillCursor(fill: fill, id: id, waker: waker))
            // Lives for as long as it has something to wait for: the fill, or a write.
            box.value = spool
            work.onEnd { eventLoop.execute { box.value = nil } }
            spool.proceed()
        }
    }

    private func proceed() {
        guard !self.isWriting, let reader = self.reader else { return }
        var pieces: [ByteBuffer] = []
        var count = 0
        while count < Self.pieceBytes {
            let result: BodyRead = reader.read(atMost: Self.pieceBytes - count)
            guard case .bytes(let bytes) = result else {
                // What is there is written first, and then the same is asked again.
                if pieces.isEmpty { self.stopped(result) }
                break
            }
            count += bytes.readableBytes
            pieces.append(bytes)
        }
        guard !pieces.isEmpty else { return }
        self.isWriting = true
        let bound = NIOLoopBound(self, eventLoop: self.eventLoop)
        let eventLoop: any EventLoop = self.eventLoop
        self.work.write(pieces) { succeeded in
            eventLoop.execute { bound.value.written(succeeded) }
        }
    }

    private func stopped(_ result: BodyRead) {
        switch result {
        case .bytes, .pending: break
        case .end:
            self.reader = nil
            self.work.finish()
        case .truncated:
            self.reader = nil
            self.work.abandon()
        }
    }

    private func written(_ succeeded: Bool) {
        self.isWriting = false
        if succeeded {
            self.proceed()
        } else {
            self.reader?.cancel()
            self.reader = nil
            self.work.abandon()
        }
    }
}

/// The part of a spool that runs on the writers' threads, one step at a time.
final class SpoolWork: Sendable {
    private struct State {
        var file: SpoolFile?
        var sums = BlockSums.Builder()
        var length = 0
        var onEnd: (@Sendable () -> Void)?
        var hasEnded = false
    }

    private let store: DiskStore
    private let fill: Fill
    private let response: StoredResponse
    private let id: Int64
    private let state = NIOLockedValueBox(State())

    init(store: DiskStore, fill: Fill, response: StoredResponse) {
        self.store = store
        self.fill = fill
        self.response = response
        self.id = store.takeID()
    }

    func onEnd(_ callback: @escaping @Sendable () -> Void) {
        self.state.withLockedValue { $0.onEnd = callback }
    }

    func write(_ pieces: [ByteBuffer], then: @escaping @Sendable (Bool) -> Void) {
        self.store.writers.submit { state in
            guard state == .active else { return then(false) }
            then(self.writeNow(pieces))
        }
    }

    private func writeNow(_ pieces: [ByteBuffer]) -> Bool {
        self.state.withLockedValue { state in
            do {
                state.length += pieces.reduce(0) { $0 + $1.readableBytes }
                guard state.length <= self.store.limits.objectBytes else { return false }
                let file: SpoolFile =
                    try state.file
                    ?? SpoolFile(
                        id: self.id, folder: self.store.folder, files: self.store.files)
                state.file = file
                for piece in pieces {
                    try piece.withUnsafeReadableBytes { content in
                        state.sums.update(content)
                        try file.append(content)
                    }
                }
                return true
            } catch {
                self.store.pause("a body can't be written", error)
                return false
            }
        }
    }

    /// All bytes have been written.
    func finish() {
        self.store.writers.submit { state in
            guard state == .active else { return self.abandon() }
            self.finishNow()
        }
    }

    private func finishNow() {
        let row: NewRow? = self.state.withLockedValue { state in
            guard let file = state.file else { return nil }
            var response: StoredResponse = self.response
            response.extent = .complete(length: Int64(state.length))
            do {
                try file.finish(flushes: self.store.limits.durability == .power)
            } catch {
                self.store.pause("a body can't be written", error)
                return nil
            }
            guard let metadata = DiskStore.encode(response) else {
                self.store.files.remove(self.store.folder.body(self.id))
                return nil
            }
            return NewRow(
                id: self.id, key: self.fill.key, hash: KeyFilter.hash(self.fill.key),
                variant: DiskIndex.variant(response.variant), metadata: metadata, sums: state.sums.finish().bytes,
                length: state.length, tags: response.tags, body: nil)
        }
        if let row {
            let key: CacheKey = self.fill.key
            let generation: UInt64 = self.fill.generation
            let accepted: Bool = self.store.enqueue(.adopt(row)) {
                // A soft purge that came meanwhile can't mark a row that isn't there yet: better not to have it.
                self.store.memory?.isUntouched(key, tags: row.tags, since: generation) != true
            }
            if !accepted { self.store.files.remove(self.store.folder.body(self.id)) }
        }
        self.end()
    }

    func abandon() {
        self.store.writers.submit { _ in
            self.state.withLockedValue { $0.file?.discard() }
            self.end()
        }
    }

    private func end() {
        let onEnd: (@Sendable () -> Void)? = self.state.withLockedValue { state in
            defer {
                state.hasEnded = true
                state.onEnd = nil
            }
            return state.hasEnded ? nil : state.onEnd
        }
        guard let onEnd else { return }
        self.store.state.withLockedValue { $0.spools -= 1 }
        onEnd()
    }
}

extension DiskStore {
    /// Whether a body too large for memory is written while it comes; if so, one of the places for that is taken.
    func takesSpool(_ response: StoredResponse) -> Bool {
        let length: Int? = response.bodyLength.map { Int(clamping: $0) }
        guard self.wants(response, length: length) else { return false }
        let now: Int64 = self.clock()
        return self.state.withLockedValue { state in
            guard state.index != nil, !state.isClosed, state.pausedUntil <= now, state.spools < Self.spoolLimit else {
                return false
            }
            state.spools += 1
            return true
        }
    }
}
