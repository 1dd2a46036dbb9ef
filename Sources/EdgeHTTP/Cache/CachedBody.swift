import CacheStorage
import HTTPCaching
import NIOCore

/// The body of an answer as it goes to one client: as fast as that client takes it.
final class CachedBody {
    enum Progress {
        /// The client takes no more for now: go on when it does.
        case blocked
        /// Nothing more is there for now: go on when woken.
        case pending
        case end
        case truncated(FillFailure)
    }

    private enum Piece {
        case bytes(ByteBuffer)
        case reader(BodyReader)
    }

    private var pieces: CircularBuffer<Piece>
    private var stored: StoredBody?

    /// Bytes of a piece.
    static let step = 65_536
    /// Bytes at once: as much as a client is given before it is asked again whether it takes more. A flush for each step would cost more than it
    /// saves, and wake the client for each. TLS has taken all of it when the flush returns.
    static let inOneGo = 131_072
    /// A client that takes less gets this much all the same: tiny parts cost more than they save.
    private static let leastStep = 4096

    init(_ reader: BodyReader) {
        self.pieces = [.reader(reader)]
    }

    /// What is in memory needs no reader, but is kept: the store counts a large body's memory until it is let go of.
    init(_ chunks: [ByteBuffer], of body: StoredBody) {
        self.pieces = CircularBuffer(chunks.map { .bytes($0) })
        self.stored = body
    }

    /// Several parts, with the text between them.
    init(_ multipart: MultipartBody, reader: (Range<Int>) -> BodyReader) {
        self.pieces = []
        for part in multipart.parts {
            self.pieces.append(.bytes(ByteBuffer(bytes: part.preamble)))
            self.pieces.append(.reader(reader(Int(part.range.lowerBound)..<Int(part.range.upperBound) + 1)))
        }
        self.pieces.append(.bytes(ByteBuffer(bytes: multipart.closing)))
    }

    /// Gives the client what it takes. What was sent last is not flushed.
    ///
    /// - Parameters:
    ///   - room: how many bytes it takes now.
    ///   - flush: TLS takes whatever is written, and says only at a flush that it was too much.
    func pump(room: () -> Int, send: (ByteBuffer) -> Void, flush: () -> Void) -> Progress {
        var unflushed = 0
        while true {
            if unflushed >= Self.inOneGo {
                flush()
                unflushed = 0
            }
            // Looked for after the flush, from within which the client may go away.
            guard let piece = self.pieces.first else { return .end }
            let taken = room()
            guard taken > 0 else { return .blocked }
            let most = min(Self.step, max(taken, Self.leastStep))
            switch piece {
            case .bytes(var rest):
                guard let bytes = rest.readSlice(length: min(most, rest.readableBytes)) else { return .end }
                if rest.readableBytes > 0 {
                    self.pieces[self.pieces.startIndex] = .bytes(rest)
                } else {
                    self.pieces.removeFirst()
                }
                unflushed += bytes.readableBytes
                send(bytes)
            case .reader(let reader):
                switch reader.read(atMost: most) {
                case .bytes(let bytes):
                    unflushed += bytes.readableBytes
                    send(bytes)
                case .pending: return .pending
                case .end: self.pieces.removeFirst()
                case .truncated(let failure):
                    self.cancel()
                    return .truncated(failure)
                }
            }
        }
    }

    func cancel() {
        for case .reader(let reader) in self.pieces { reader.cancel() }
        self.pieces.removeAll()
        self.stored = nil
    }
}
