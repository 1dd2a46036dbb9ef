internal import DequeModule
internal import NIOConcurrencyHelpers
internal import NIOCore
internal import NIOPosix

/// An open body file whose first block has been read and found right. The file may be unlinked meanwhile: it stays
/// readable for as long as this lives.
final class DiskBody: DiskBodySource {
    let length: Int
    /// The first block.
    let beginning: ByteBuffer
    let sums: BlockSums
    private let descriptor: CInt
    private let files: any DiskFiles
    private let threads: NIOThreadPool
    /// Told once a reader has had the whole body and memory may take it.
    let onWhole: NIOLockedValueBox<(@Sendable (StoredBody) -> Void)?>
    /// Told when the file turned out to be damaged.
    private let onDamage: @Sendable (String) -> Void
    /// Asked before blocks are kept for `onWhole`; nil if none are.
    let budget: FillBudget?

    init(
        length: Int, beginning: ByteBuffer, sums: BlockSums, descriptor: CInt, files: any DiskFiles,
        threads: NIOThreadPool, budget: FillBudget?,
        onDamage: @escaping @Sendable (String) -> Void
    ) {
        self.length = length
        self.beginning = beginning
        self.sums = sums
        self.descriptor = descriptor
        self.files = files
        self.threads = threads
        self.onWhole = NIOLockedValueBox(nil)
        self.budget = budget
        self.onDamage = onDamage
    }

    deinit {
        self.files.close(self.descriptor)
    }

    func stream(
        range: Range<Int>, on eventLoop: any EventLoop, wake: @escaping @Sendable () -> Void
    ) -> any DiskBodyStream {
        DiskStream(body: self, range: range, eventLoop: eventLoop, wake: wake)
    }

    /// Reads one block on a thread that may wait, and judges it.
    func readBlock(_ block: Int, then: @escaping @Sendable (Result<ByteBuffer, FillFailure>) -> Void) {
        self.threads.submit { state in
            guard state == .active else { return then(.failure(.abandoned)) }
            do {
                then(.success(try Self.block(block, self.length, self.sums, self.descriptor, self.files)))
            } catch {
                if error is Damage { self.onDamage("\(error)") }
                then(.failure(.unreadable("\(error)")))
            }
        }
    }

    struct Damage: Error, CustomStringConvertible {
        var description: String
    }

    /// - Throws: `DiskFileError`, or `Damage` if the bytes are not what was written.
    static func block(
        _ block: Int, _ length: Int, _ sums: BlockSums, _ descriptor: CInt, _ files: any DiskFiles
    ) throws -> ByteBuffer {
        let range: Range<Int> = BlockSums.range(of: block, length: length)
        var buffer: ByteBuffer = ByteBufferAllocator().buffer(capacity: range.count)
        let count: Int = try buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: range.count) { space in
            try files.read(
                descriptor, into: UnsafeMutableRawBufferPointer(rebasing: space.prefix(range.count)),
                at: range.lowerBound)
        }
        guard count == range.count else { throw Damage(description: "the file ends early") }
        guard buffer.withUnsafeReadableBytes({ sums.matches(block, $0) }) else {
            throw Damage(description: "block \(block) does not have its checksum")
        }
        return buffer
    }
}

/// Reads a disk body block by block, a few blocks ahead of its consumer. Belongs to one event loop.
final class DiskStream: DiskBodyStream {
    /// Blocks read ahead at most: 256 KiB.
    static let readAhead = 4

    private let body: DiskBody
    private let range: Range<Int>
    private let eventLoop: any EventLoop
    private let wake: @Sendable () -> Void
    /// Blocks judged and not yet consumed, cut to the range.
    private var ready: Deque<ByteBuffer> = []
    private var nextBlock: Int
    private let endBlock: Int
    private var isReading = false
    private var wantsWake = false
    private var failure: FillFailure?
    private var isCancelled = false
    /// The whole body so far, where memory may take it afterwards.
    private var kept: [ByteBuffer]?
    private var reserved = 0

    init(body: DiskBody, range: Range<Int>, eventLoop: any EventLoop, wake: @escaping @Sendable () -> Void) {
        self.body = body
        self.range = range
        self.eventLoop = eventLoop
        self.wake = wake
        self.nextBlock = range.lowerBound / BlockSums.blockBytes
        self.endBlock = range.isEmpty ? self.nextBlock : BlockSums.blocks(in: range.upperBound)
        if range == 0..<body.length, body.budget != nil, body.onWhole.withLockedValue({ $0 != nil }) { self.kept = [] }
        if self.nextBlock == 0, self.endBlock > 0 { self.accept(body.beginning) }
        self.readMore()
    }

    deinit {
        self.keepNone()
    }

    func read(atMost limit: Int) -> BodyRead {
        if var first = self.ready.popFirst() {
            guard let piece = first.readSlice(length: min(limit, first.readableBytes)) else { return .pending }
            if first.readableBytes > 0 { self.ready.prepend(first) }
            self.readMore()
            return .bytes(piece)
        }
        if let failure = self.failure { return .truncated(failure) }
        if self.nextBlock >= self.endBlock, !self.isReading { return .end }
        self.wantsWake = true
        self.readMore()
        return .pending
    }

    func cancel() {
        self.isCancelled = true
        self.ready.removeAll()
        self.keepNone()
    }

    private func keepNone() {
        self.kept = nil
        self.body.budget?.release(self.reserved)
        self.reserved = 0
    }

    private func readMore() {
        guard !self.isReading, !self.isCancelled, self.failure == nil, self.nextBlock < self.endBlock,
            self.ready.count < Self.readAhead
        else { return }
        self.isReading = true
        let bound = NIOLoopBound(self, eventLoop: self.eventLoop)
        let eventLoop: any EventLoop = self.eventLoop
        self.body.readBlock(self.nextBlock) { result in
            eventLoop.execute { bound.value.finished(result) }
        }
    }

    private func finished(_ result: Result<ByteBuffer, FillFailure>) {
        self.isReading = false
        guard !self.isCancelled else { return }
        switch result {
        case .success(let block): self.accept(block)
        case .failure(let failure): self.failure = failure
        }
        if self.wantsWake {
            self.wantsWake = false
            self.wake()
        }
        self.readMore()
    }

    private func accept(_ block: ByteBuffer) {
        let whole: Range<Int> = BlockSums.range(of: self.nextBlock, length: self.body.length)
        let wanted: Range<Int> = whole.clamped(to: self.range)
        self.nextBlock += 1
        let offset: Int = block.readerIndex + wanted.lowerBound - whole.lowerBound
        if let part = block.getSlice(at: offset, length: wanted.count), part.readableBytes > 0 {
            self.ready.append(part)
        }
        if self.kept != nil { self.keep(block) }
    }

    /// Booked block by block: a reader that takes its time takes no room before.
    private func keep(_ block: ByteBuffer) {
        let size: Int = block.storageCapacity + MemoryCosts.buffer
        guard let budget = self.body.budget, budget.reserve(size, isSmall: false) else { return self.keepNone() }
        self.reserved += size
        self.kept?.append(block)
        guard self.nextBlock == self.endBlock, let chunks = self.kept else { return }
        self.kept = nil
        let lease = BodyLease(booked: self.reserved, in: budget)
        self.reserved = 0
        let tell: (@Sendable (StoredBody) -> Void)? = self.body.onWhole.withLockedValue { told in
            defer { told = nil }
            return told
        }
        tell?(StoredBody(chunks: chunks, lease: lease))
    }
}
