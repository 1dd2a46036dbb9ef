public import HTTPFields
public import NIOCore

/// The responses on one connection to an origin (RFC 9112): one request at a time.
///
/// `expect` says that a request is on its way; then `receive` and `next`, as in ``RequestReader``, until the response's end.
/// All faults are the origin's: bytes that no request asked for are one. Nothing is dropped but chunk extensions.
public struct ResponseReader: Sendable {
    public enum Event: Sendable {
        /// 1xx other than 101: another head follows.
        case informational(ResponseHead)
        /// The final response's head, or 101, and how its content ends.
        case head(ResponseHead, BodyFraming)
        /// One or more bytes of the content, without a copy.
        case body(ByteBuffer)
        /// Every response ends with this one. `trailers` only behind a chunked body that had some.
        case end(trailers: FieldSection?)
        /// In place of `end` behind 101 and 2xx to CONNECT: what follows is not HTTP. `takeRest` gives what came of it.
        case switched
    }

    private enum State: Sendable {
        /// No request is on its way.
        case idle
        case head(RequestMethod)
        case content
        case switching
        case switched
    }

    private let limits: WireLimits
    @usableFromInline private(set) var input = Input()
    private var heads: ResponseHeadParser
    private var state = State.idle
    private var content: BodyReader
    private var informational = 0
    private var fault: WireError?

    public init(limits: WireLimits = WireLimits()) {
        self.limits = limits
        self.heads = ResponseHeadParser(limits: limits)
        self.content = BodyReader(.none, from: .origin, limits: limits)
    }

    /// Bytes that were received and are in no event yet. Inlined: a caller that only asks this would copy the reader.
    @inlinable public var bufferedBytes: Int { self.input.buffer.readableBytes }

    /// Whether a request may be sent: the last response was read to its end, and nothing came behind it.
    public var isIdle: Bool {
        guard case .idle = self.state, self.fault == nil else { return false }
        return self.input.buffer.readableBytes == 0
    }

    /// A request was sent. Only when ``isIdle``: otherwise the next event is a fault.
    public mutating func expect(_ method: RequestMethod) {
        guard self.isIdle else {
            self.fault = self.fault ?? WireError(.unexpectedResponse, from: .origin)
            return
        }
        self.informational = 0
        self.state = .head(method)
    }

    public mutating func receive(_ bytes: ByteBuffer) {
        if self.fault == nil { self.input.append(bytes) }
    }

    /// The next event; `nil` if that needs more bytes. A fault is final: it is thrown by later calls, too.
    public mutating func next() throws(WireError) -> Event? {
        if let fault { throw fault }
        do throws(WireError) {
            let event = try self.advance()
            if case .switched = self.state { return event }
            self.input.releaseIfEmpty()
            return event
        } catch {
            self.fault = error
            self.input = Input()
            throw error
        }
    }

    private mutating func advance() throws(WireError) -> Event? {
        switch self.state {
        case .idle:
            if self.input.buffer.readableBytes > 0 { throw WireError(.unexpectedResponse, from: .origin) }
            return nil
        case .head(let method):
            guard let head = try self.heads.parse(&self.input.buffer) else { return nil }
            return try self.event(head, to: method)
        case .content:
            switch try self.content.next(&self.input) {
            case .data(let data): return .body(data)
            case .end(let trailers):
                self.state = .idle
                return .end(trailers: trailers)
            case nil: return nil
            }
        case .switching:
            self.state = .switched
            return .switched
        case .switched:
            return nil
        }
    }

    private mutating func event(_ head: ResponseHead, to method: RequestMethod) throws(WireError) -> Event {
        if head.isInformational {
            self.informational += 1
            if self.informational > self.limits.informationalResponses {
                throw WireError(.tooManyInformational, from: .origin)
            }
            return .informational(head)
        }
        let framing = head.framing(to: method)
        if head.switchesProtocol(to: method) {
            self.state = .switching
            return .head(head, framing)
        }
        self.state = .content
        self.content = BodyReader(framing, from: .origin, limits: self.limits)
        return .head(head, framing)
    }

    /// The connection brings nothing more. Call it when `next` has given everything before: a body up to the close is then
    /// complete, and `next` gives its end. Throws if the end cuts a response off.
    public mutating func receiveEnd() throws(WireError) {
        if let fault { throw fault }
        switch self.state {
        case .idle, .switching, .switched: return
        case .content where self.content.receiveEnd(): return
        case .head, .content:
            let error = WireError(.incomplete, from: .origin)
            self.fault = error
            throw error
        }
    }

    /// What was received and is in no event.
    public mutating func takeRest() -> ByteBuffer { self.input.takeAll() }
}
