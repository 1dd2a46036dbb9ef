import CacheStorage
import Channels
import HTTPFields
import HTTPForwarding
import HTTPWire
import NIOCore

/// What is to be written to an HTTP/1.1 connection until the next flush: pure, and in order whatever calls come in between. Small
/// writes become one, so that they share a TLS record; large ones are not copied.
struct WriteQueue {
    /// From here on a copy costs more than a record.
    private static let copyLimit = 8192
    /// A TLS record holds no more.
    private static let recordSize = 16_384

    /// A head and a small content.
    private static let usualSize = 2048

    private var pieces = CircularBuffer<ByteBuffer>(initialCapacity: 0)
    private var last = ByteBuffer()
    /// `last` came from `spare`, or was made in its place.
    private var lastIsOwn = false
    private let spare: SpareBuffer?

    /// - Parameter spare: the event loop's; nil: memory is asked for anew each time.
    init(spare: SpareBuffer? = nil) { self.spare = spare }

    var isEmpty: Bool { self.pieces.isEmpty && self.last.readableBytes == 0 }

    mutating func append(_ head: OutgoingHead) {
        self.makeRoom(512)
        head.write(to: &self.last)
    }

    /// A stored head and body. A small body is put right behind its head.
    mutating func append(_ head: StoredHead, _ body: StoredBody.Whole) {
        switch body {
        case .packed(let bytes):
            self.makeRoom(head.most + bytes.count)
            head.write(to: &self.last, with: bytes)
        case .chunks:
            self.makeRoom(head.most)
            head.write(to: &self.last)
            self.append(body)
        }
    }

    /// Bytes as they are.
    mutating func append(_ bytes: ByteBuffer) {
        guard bytes.readableBytes >= Self.copyLimit else {
            if bytes.readableBytes == 0 { return }
            // Nothing to share a piece with yet: it is copied when that comes.
            if self.last.readableBytes == 0 { return self.last = bytes }
            self.makeRoom(bytes.readableBytes)
            self.last.writeImmutableBuffer(bytes)
            return
        }
        if self.last.readableBytes > 0 { self.pieces.append(self.takeLast()) }
        self.pieces.append(bytes)
    }

    /// A stored body. A small one is copied to behind its head.
    mutating func append(_ body: StoredBody.Whole) {
        switch body {
        case .packed(let bytes):
            self.makeRoom(bytes.count)
            bytes.withBytes { _ = self.last.writeBytes($0) }
        case .chunks(let chunks):
            for bytes in chunks { self.append(bytes) }
        }
    }

    /// A chunk, whole.
    mutating func append(chunk bytes: ByteBuffer) {
        self.makeRoom(18)
        guard ChunkWriter.writeStart(ofChunk: bytes.readableBytes, to: &self.last) else { return }
        self.append(bytes)
        ChunkWriter.writeEnd(to: &self.last)
    }

    /// What ends a chunked content.
    mutating func appendLastChunk(trailers: FieldSection?) {
        self.makeRoom(5)
        OutgoingHead.writeLastChunk(trailers: trailers, to: &self.last)
    }

    /// The next piece to be written; `nil` if there is none.
    mutating func next() -> ByteBuffer? {
        if let first = self.pieces.popFirst() { return first }
        return self.last.readableBytes > 0 ? self.takeLast() : nil
    }

    private mutating func makeRoom(_ count: Int) {
        if self.last.readableBytes > 0, self.last.readableBytes + count > Self.recordSize {
            self.pieces.append(self.takeLast())
        }
        guard self.last.capacity == 0 else { return }
        let size = max(count, Self.usualSize)
        self.last = self.spare?.take(size) ?? ByteBufferAllocator().buffer(capacity: size)
        self.lastIsOwn = true
    }

    /// Idle connections are to be small: no memory is kept.
    private mutating func takeLast() -> ByteBuffer {
        let last = self.last
        self.last = ByteBuffer()
        if self.lastIsOwn { self.spare?.keep(last) }
        self.lastIsOwn = false
        return last
    }
}

/// Writes a queue to a channel, in order even if a write or a flush leads to the next one from within.
struct WriteDrain {
    private var isRunning = false
    private var again = false

    /// Returns whether the caller is to write; if not, a call further out does.
    fileprivate mutating func begin() -> Bool {
        if self.isRunning {
            self.again = true
            return false
        }
        self.isRunning = true
        return true
    }

    /// Returns whether there is to be another round.
    fileprivate mutating func endsRound() -> Bool {
        if self.again {
            self.again = false
            return true
        }
        self.isRunning = false
        return false
    }
}

/// A handler that writes by a ``WriteQueue``.
protocol QueueWriting: AnyObject {
    var queue: WriteQueue { get set }
    var drain: WriteDrain { get set }
    var context: ChannelHandlerContext? { get }
    /// Right below it; nil: what is written goes through the pipeline.
    var records: (any PlaintextWriter)? { get }
    /// To be kept when everything before it is written; asked once for each time that the queue is empty.
    func takeLastWrite() -> EventLoopPromise<Void>?
}

extension QueueWriting {
    var records: (any PlaintextWriter)? { nil }
    func takeLastWrite() -> EventLoopPromise<Void>? { nil }

    /// Writes all that waits, and flushes.
    func writeQueued() {
        guard self.drain.begin() else { return }
        repeat {
            let promise = self.takeLastWrite()
            var isFlushed = false
            while let piece = self.queue.next() {
                isFlushed = promise == nil && self.queue.isEmpty
                if !isFlushed {
                    self.context?.write(NIOAny(piece), promise: nil)
                } else if let records {
                    records.writeAndFlush(piece)
                } else {
                    self.context?.writeAndFlush(NIOAny(piece), promise: nil)
                }
            }
            if let promise {
                if let context {
                    context.triggerUserOutboundEvent(ServerTLS.LastWrite(), promise: nil)
                    context.write(NIOAny(ByteBuffer()), promise: promise)
                } else {
                    promise.succeed()
                }
            }
            if !isFlushed { self.context?.flush() }
        } while self.drain.endsRound()
    }
}
