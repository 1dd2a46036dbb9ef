import HTTPFields
import NIOCore

/// A message's content, however its end is found (RFC 9112 §6.3): for requests and for responses.
struct BodyReader: Sendable {
    enum Event: Sendable {
        /// One or more bytes, without a copy.
        case data(ByteBuffer)
        /// The content is complete. `trailers` only behind a chunked one that had some.
        case end(trailers: FieldSection?)
    }

    private enum State: Sendable {
        /// So many bytes are to come.
        case length(Int64)
        case chunked
        case untilClose
    }

    private var state: State
    /// One for a chunked content, none for another: a list, since a reader is made for each message, and the parser is large.
    private var chunks: [ChunkedParser]

    init(_ framing: BodyFraming, from sender: WireError.Sender, limits: WireLimits) {
        self.chunks = []
        switch framing {
        case .none: self.state = .length(0)
        case .length(let length): self.state = .length(length)
        case .chunked:
            self.state = .chunked
            self.chunks = [ChunkedParser(from: sender, limits: limits)]
        case .untilClose: self.state = .untilClose
        }
    }

    /// Nothing is to come.
    var isComplete: Bool {
        if case .length(0) = self.state { true } else { false }
    }

    /// The next event; `nil` if that needs more bytes. Nothing follows the end.
    mutating func next(_ input: inout Input) throws(WireError) -> Event? {
        switch self.state {
        case .length(0):
            return .end(trailers: nil)
        case .length(let length):
            guard let part = input.take(length) else { return nil }
            self.state = .length(length - Int64(part.readableBytes))
            return .data(part)
        case .chunked:
            switch try self.chunks[0].next(&input.buffer) {
            case .data(let data): return .data(data)
            case .end(let trailers): return .end(trailers: trailers)
            case nil: return nil
            }
        case .untilClose:
            return input.take(.max).map { .data($0) }
        }
    }

    /// The connection brings nothing more.
    ///
    /// - Returns: whether the content is complete. Its end is the next event then.
    mutating func receiveEnd() -> Bool {
        switch self.state {
        case .length(let length): return length == 0
        case .chunked: return false
        case .untilClose:
            self.state = .length(0)
            return true
        }
    }
}
