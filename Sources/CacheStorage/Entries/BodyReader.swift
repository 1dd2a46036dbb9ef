public import NIOCore

/// What a reader gets.
public enum BodyRead: Sendable {
    /// The next bytes, never empty.
    case bytes(ByteBuffer)
    /// Nothing yet; `wake` is run once when there is.
    case pending
    /// All bytes asked for have been read.
    case end
    /// The rest will not come. What was read is right, but the message must not look complete to its receiver.
    case truncated(FillFailure)
}

/// Reads a body piece by piece: from memory, from a fill under way, or from disk. Belongs to one event loop.
///
/// The consumer reads while its own output takes bytes, and stops reading when it does not: nothing is pushed.
public final class BodyReader {
    private enum Source {
        case chunks([ByteBuffer], next: Int, offset: Int, left: Int)
        case fill(FillCursor)
        case disk(any DiskBodyStream)
        case done(BodyRead)
    }

    private var source: Source
    /// Of the chunks.
    private var lease: BodyLease?

    init(chunks: [ByteBuffer], range: Range<Int>, lease: BodyLease? = nil) {
        self.lease = lease
        var skip: Int = range.lowerBound
        var index = 0
        while index < chunks.count, skip >= chunks[index].readableBytes {
            skip -= chunks[index].readableBytes
            index += 1
        }
        self.source = .chunks(chunks, next: index, offset: skip, left: range.count)
    }

    init(fill: FillCursor) {
        self.source = .fill(fill)
    }

    init(disk: any DiskBodyStream) {
        self.source = .disk(disk)
    }

    deinit {
        self.cancel()
    }

    /// The next piece, of at most `limit` bytes.
    public func read(atMost limit: Int = 65_536) -> BodyRead {
        let limit: Int = max(limit, 1)
        switch self.source {
        case .chunks(let chunks, let next, let offset, let left):
            guard left > 0, next < chunks.count else {
                self.source = .done(.end)
                self.lease = nil
                return .end
            }
            let chunk: ByteBuffer = chunks[next]
            let count: Int = min(limit, left, chunk.readableBytes - offset)
            guard let piece = chunk.getSlice(at: chunk.readerIndex + offset, length: count) else { return .end }
            let exhausted: Bool = offset + count == chunk.readableBytes
            self.source = .chunks(
                chunks, next: exhausted ? next + 1 : next, offset: exhausted ? 0 : offset + count, left: left - count)
            return .bytes(piece)
        case .fill(let cursor):
            return self.note(cursor.read(atMost: limit))
        case .disk(let stream):
            return self.note(stream.read(atMost: limit))
        case .done(let last):
            return last
        }
    }

    /// Nothing more will be read; `wake` is not run any more, except where it was already on its way.
    public func cancel() {
        switch self.source {
        case .fill(let cursor): cursor.cancel()
        case .disk(let stream): stream.cancel()
        case .chunks, .done: break
        }
        self.source = .done(.end)
        self.lease = nil
    }

    private func note(_ result: BodyRead) -> BodyRead {
        switch result {
        case .end, .truncated:
            self.cancel()
            self.source = .done(result)
        case .bytes, .pending:
            break
        }
        return result
    }
}
