import HTTP2Wire
import HTTPFields
import HTTPForwarding
import NIOCore

/// The body of a stream's request: as fast as the origin takes it, with a window that follows.
extension HTTP2Stream {
    /// Whether bytes of the request's body are of any use.
    var takesRequest: Bool {
        switch self.state {
        case .awaitingBody, .judged, .exchanging: true
        case .ending, .over: false
        }
    }

    func received(_ bytes: ByteBuffer, endsStream: Bool) {
        if bytes.readableBytes > 0 {
            self.judge(hasBody: true)
            if let missing {
                self.missing = missing - Int64(bytes.readableBytes)
                if missing < bytes.readableBytes {
                    self.taken(bytes.readableBytes)
                    return self.connection.lengthDiffers(self.id)
                }
            }
            self.receive(.body(bytes))
        }
        if endsStream { self.end(of: nil) }
        self.grantWindow()
    }

    func receivedEnd(_ trailers: FieldSection) { self.end(of: trailers) }

    private func end(of trailers: FieldSection?) {
        self.requestEnded = true
        if case .awaitingBody = self.state { return self.judge(hasBody: false) }
        if let missing, missing > 0, self.takesRequest { return self.connection.lengthDiffers(self.id) }
        self.receive(.end(trailers))
    }

    private func receive(_ part: Held) {
        let waits = self.takesRequest && !self.hasStarted
        if self.held?.isEmpty ?? true, !waits { self.take(part) } else { self.hold(part) }
    }

    func hold(_ part: Held) {
        if self.held == nil { self.held = CircularBuffer(initialCapacity: 4) }
        // A part of a body is not to hold the memory of the read that brought it, nor a byte a place of its own: windows bound bytes.
        guard case .body(let bytes) = part,
            bytes.readableBytes <= Self.smallPart || bytes.storageCapacity > 2 * bytes.readableBytes
        else {
            self.held?.append(part)
            return
        }
        if bytes.readableBytes <= Self.smallPart, case .body(var last)? = self.held?.last,
            last.readableBytes <= Self.smallPart
        {
            self.held?.removeLast()
            last.writeImmutableBuffer(bytes)
            self.held?.append(.body(last))
        } else {
            self.held?.append(.body(ByteBufferAllocator().buffer(buffer: bytes)))
        }
    }

    private static let smallPart = 4096

    private func take(_ part: Held) {
        switch (self.state, part) {
        case (.exchanging(let exchange), .body(let bytes)):
            guard exchange.takesBody else { return self.hold(part) }
            exchange.clientBody(bytes)
            self.taken(bytes.readableBytes)
        case (.exchanging(let exchange), .end(let trailers)):
            // A request without content is complete when it starts.
            if !exchange.isRequestComplete { exchange.clientEnd(trailers) }
        case (_, .body(let bytes)):
            self.taken(bytes.readableBytes)
        case (_, .end):
            break
        }
    }

    func taken(_ count: Int) { self.connection.taken(count, on: self.id) }

    func takeHeld() {
        while let part = self.held?.first {
            if case (.exchanging(let exchange), .body) = (self.state, part), !exchange.takesBody { break }
            self.held?.removeFirst()
            self.take(part)
        }
        self.grantWindow()
    }

    private func grantWindow() {
        guard !self.requestEnded, case .exchanging = self.state else { return }
        self.connection.openWindow(of: self)
    }

    /// No more from the client for now.
    func readComplete() {
        guard case .exchanging(let exchange) = self.state, !exchange.isRequestComplete else { return }
        exchange.clientReadComplete()
        self.rearm()
    }
}
