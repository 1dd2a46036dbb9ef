public import HTTPFields
public import NIOCore

/// The requests of one client connection, in their order (RFC 9112).
///
/// `receive` takes what the connection received, `next` gives one event after the other. The caller asks for the next one when
/// it can use it: between two requests as long as the first is not answered, within a body as fast as that is passed on.
/// ``bufferedBytes`` then tells when to stop reading the connection. After a head that may end HTTP on this connection (CONNECT,
/// `Upgrade`), wait for the answer: `takeRest` gives what came behind it.
///
/// All faults are the client's. Nothing is dropped but an empty line in front of a head, and chunk extensions.
public struct RequestReader: Sendable {
    public enum Event: Sendable {
        case head(RequestHead)
        /// One or more bytes of the content, without a copy.
        case body(ByteBuffer)
        /// Every request ends with this one. `trailers` only behind a chunked body that had some.
        case end(trailers: FieldSection?)
    }

    private let limits: WireLimits
    @usableFromInline private(set) var input = Input()
    private var heads: RequestHeadParser
    /// Of the request whose head was given.
    private var content: BodyReader?
    private var fault: WireError?

    public init(limits: WireLimits = WireLimits()) {
        self.limits = limits
        self.heads = RequestHeadParser(limits: limits)
    }

    /// Bytes that were received and are in no event yet. Inlined: a caller that only asks this would copy the reader.
    @inlinable public var bufferedBytes: Int { self.input.buffer.readableBytes }

    /// Nothing of a further request has come, and the last one was read to its end.
    public var isBetweenRequests: Bool {
        self.content == nil && !self.heads.hasBegun && self.input.buffer.readableBytes == 0
    }

    public mutating func receive(_ bytes: ByteBuffer) {
        if self.fault == nil { self.input.append(bytes) }
    }

    /// The next event; `nil` if that needs more bytes. A fault is final: it is thrown by later calls, too.
    public mutating func next() throws(WireError) -> Event? {
        guard self.content != nil else { return try self.nextHead().map { .head($0) } }
        if let fault { throw fault }
        do throws(WireError) {
            let event = try self.advance()
            self.input.releaseIfEmpty()
            return event
        } catch {
            throw self.failed(error)
        }
    }

    /// The same where a head is due, since the request before was read to its end: `nil` if it was not.
    public mutating func nextHead() throws(WireError) -> RequestHead? {
        if let fault { throw fault }
        guard self.content == nil else { return nil }
        do throws(WireError) {
            guard let head = try self.heads.parse(&self.input.buffer) else { return nil }
            self.content = BodyReader(head.framing, from: .client, limits: self.limits)
            self.input.releaseIfEmpty()
            return head
        } catch {
            throw self.failed(error)
        }
    }

    private mutating func advance() throws(WireError) -> Event? {
        switch try self.content?.next(&self.input) {
        case .data(let data): return .body(data)
        case .end(let trailers):
            self.content = nil
            return .end(trailers: trailers)
        case nil: return nil
        }
    }

    private mutating func failed(_ error: WireError) -> WireError {
        self.fault = error
        self.input = Input()
        return error
    }

    /// Takes the end of a request whose head says that there is no content, in the place of its event. Changes nothing for another.
    public mutating func endWithoutContent() {
        guard self.content?.isComplete == true else { return }
        self.content = nil
        self.input.releaseIfEmpty()
    }

    /// The connection brings nothing more. Throws if that cuts a request off, once everything before was asked for.
    public mutating func receiveEnd() throws(WireError) {
        if let fault { throw fault }
        if self.content == nil ? !self.heads.hasBegun : self.content?.receiveEnd() == true { return }
        throw WireError(.incomplete, from: .client)
    }

    /// What was received and is in no event: it is not HTTP, where a 101 or a 2xx to CONNECT has been sent.
    public mutating func takeRest() -> ByteBuffer { self.input.takeAll() }
}
