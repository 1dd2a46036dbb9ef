import KeyProtocol
import NIOCore
import NIOSSL
import NIOTLS

/// The channel handler of one link: packets out, answers matched to the requests that wait for them.
///
/// It lives above the TLS handler. Until the peer's identity is verified nothing is sent. Writes made in one turn of the
/// event loop leave in one flush, so that a burst of handshakes costs one system call, not one each.
final class LinkHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    typealias Waiter = (Result<KeyMessage, LinkFailure>, _ nanoseconds: Int64) -> Void
    /// Told of an answer that came after its request had timed out.
    typealias LateWaiter = (KeyMessage, LinkHandler) -> Void

    private struct Waiters {
        var waiter: Waiter
        var late: LateWaiter?
    }

    private let expected: PeerIdentity
    private var inFlight: InFlight<Waiters>
    /// By id: of requests that timed out, and whose answer matters all the same.
    private var late: [UInt32: LateWaiter] = [:]
    private let lateLimit: Int
    private var decoder = KeyPacketDecoder()
    private var context: ChannelHandlerContext?
    private var flushScheduled = false
    private var timer: Scheduled<Void>?
    private var timerDeadline: Int64 = .max
    private var failure: LinkFailure?

    /// Called once when the peer is verified, and once when the link ends.
    private let onReady: (LinkHandler) -> Void
    private let onEnd: (LinkHandler, LinkFailure) -> Void
    private let handshakeLimit: TimeAmount
    private var handshakeTimer: Scheduled<Void>?
    private var ended = false
    private var verified = false
    /// When the last bytes came, whatever they were. Nanoseconds of the monotonic clock.
    private(set) var lastReceived: Int64 = 0

    /// - Parameters:
    ///   - limit: requests under way at once.
    ///   - handshakeLimit: time from the connection to the verified identity.
    init(
        expected: PeerIdentity, limit: Int, handshakeLimit: TimeAmount, onReady: @escaping (LinkHandler) -> Void,
        onEnd: @escaping (LinkHandler, LinkFailure) -> Void
    ) {
        self.expected = expected
        self.inFlight = InFlight(limit: limit)
        self.lateLimit = limit
        self.handshakeLimit = handshakeLimit
        self.onReady = onReady
        self.onEnd = onEnd
    }

    // MARK: Requests

    /// Whether requests can be sent. Once it is over it is over for good: a new connection has a new handler.
    var isUp: Bool { self.verified && !self.ended && self.context != nil }

    /// Sends one request. The waiter is called exactly once, on the event loop.
    ///
    /// - Parameter late: called at most once, after the waiter: for what must be undone if it was done too late.
    /// - Returns: the request's number on this link, for ``cancel(_:)`` and ``abandon(_:)``; nil: the waiter was called already.
    @discardableResult
    func send(
        _ message: KeyMessage, deadline: NIODeadline, exempt: Bool = false, late: LateWaiter? = nil,
        waiter: @escaping Waiter
    ) -> UInt32? {
        guard let context = self.context, self.verified, !self.ended else {
            waiter(.failure(.notConnected), 0)
            return nil
        }
        let now = Int64(NIODeadline.now().uptimeNanoseconds)
        let due = Int64(deadline.uptimeNanoseconds)
        guard let id = self.inFlight.add(Waiters(waiter: waiter, late: late), now: now, deadline: due, exempt: exempt)
        else {
            waiter(.failure(.overloaded), 0)
            return nil
        }
        var buffer = context.channel.allocator.buffer(capacity: 1024)
        var message: KeyMessage = message
        message.deadline = UInt32(clamping: max(0, due - now) / 1_000_000)
        do {
            try KeyPacket(id: id, body: message).encode(into: &buffer)
        } catch {
            _ = self.inFlight.take(id)
            waiter(.failure(.unencodable("\(error)")), 0)
            return nil
        }
        context.write(self.wrapOutboundOut(buffer), promise: nil)
        self.scheduleFlush(context)
        self.armTimer(context)
        return id
    }

    /// A request's answer is not wanted any more: the key holder is told, so that it does not do what it has not begun. Neither waiter
    /// is called.
    func cancel(_ id: UInt32) {
        guard self.inFlight.take(id) != nil, let context = self.context, !self.ended else { return }
        var buffer = context.channel.allocator.buffer(capacity: 1024)
        guard (try? KeyPacket(id: id, body: KeyMessage(opcode: .cancel)).encode(into: &buffer)) != nil else { return }
        context.write(self.wrapOutboundOut(buffer), promise: nil)
        self.scheduleFlush(context)
    }

    /// A request is not waited for any more, as if it had timed out: its waiter is not called, and that for late answers is.
    func abandon(_ id: UInt32) {
        guard let entry = self.inFlight.take(id) else { return }
        if self.late.count < self.lateLimit { self.late[id] = entry.waiter.late }
    }

    private func scheduleFlush(_ context: ChannelHandlerContext) {
        guard !self.flushScheduled else { return }
        self.flushScheduled = true
        context.eventLoop.assumeIsolated().execute {
            self.flushScheduled = false
            self.context?.flush()
        }
    }

    private func armTimer(_ context: ChannelHandlerContext) {
        guard let next = self.inFlight.nextDeadline, next < self.timerDeadline else { return }
        self.timer?.cancel()
        self.timerDeadline = next
        self.timer = context.eventLoop.assumeIsolated().scheduleTask(
            deadline: .uptimeNanoseconds(UInt64(max(next, 0)))
        ) {
            self.timerDeadline = .max
            self.timer = nil
            let now = Int64(NIODeadline.now().uptimeNanoseconds)
            for (id, waiters) in self.inFlight.expire(now: now) {
                if self.late.count < self.lateLimit { self.late[id] = waiters.late }
                waiters.waiter(.failure(.timedOut), 0)
            }
            if let context = self.context { self.armTimer(context) }
        }
    }

    // MARK: Channel events

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        self.handshakeTimer = context.eventLoop.assumeIsolated().scheduleTask(in: self.handshakeLimit) {
            self.close(
                because: .closed(
                    "no TLS handshake within \(self.handshakeLimit.nanoseconds / 1_000_000) ms; is that the key holder's port?"
                ))
        }
    }

    /// Closes the link. It is over at once, though the connection may take a moment to end.
    ///
    /// - Parameter failure: what requests under way fail with, and what the log says.
    func close(because failure: LinkFailure) {
        self.end(failure)
        self.context?.close(promise: nil)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.end(self.failure ?? .lost("the connection ended"))
        self.context = nil
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .handshakeCompleted = event as? TLSUserEvent { self.verify(context) }
        context.fireUserInboundEventTriggered(event)
    }

    private func verify(_ context: ChannelHandlerContext) {
        do throws(PeerIdentityError) {
            guard let handler = try? context.pipeline.syncOperations.handler(type: NIOSSLHandler.self) else {
                throw .noCertificate
            }
            let peer = try PeerIdentity(handler: handler)
            guard peer == self.expected else { throw .unexpected(expected: self.expected, got: peer) }
            self.verified = true
            self.handshakeTimer?.cancel()
            self.onReady(self)
        } catch {
            self.close(because: .wrongPeer(error))
        }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        self.lastReceived = Int64(NIODeadline.now().uptimeNanoseconds)
        self.decoder.receive(self.unwrapInboundIn(data))
        do {
            while let event = try self.decoder.next() { self.handle(event) }
        } catch {
            self.close(because: .closed("the key holder broke the protocol: \(error)"))
        }
    }

    private func handle(_ event: KeyPacketEvent) {
        let now = Int64(NIODeadline.now().uptimeNanoseconds)
        switch event {
        case .packet(let packet):
            guard let entry = self.inFlight.take(packet.id) else {
                self.late.removeValue(forKey: packet.id)?(packet.body, self)
                return
            }
            let outcome = Self.outcome(of: packet.body)
            // Whatever it was that was asked: nothing more will be answered here.
            if case .failure(.refused(.noGrant)) = outcome { self.close(because: .refused(.noGrant)) }
            entry.waiter.waiter(outcome, now - entry.sentAt)
        case .malformed(let id, let code):
            guard let entry = self.inFlight.take(id) else { return }
            entry.waiter.waiter(.failure(.refused(code)), now - entry.sentAt)
        }
    }

    /// An answer is a success, a pong, or an error with a one-byte code.
    private static func outcome(of answer: KeyMessage) -> Result<KeyMessage, LinkFailure> {
        switch answer.opcode {
        case .success, .pong: return .success(answer)
        case .error:
            let code = answer.payload.getInteger(at: answer.payload.readerIndex, as: UInt8.self)
            return .failure(.refused(code.flatMap(KeyErrorCode.init(rawValue:)) ?? .internalError))
        default: return .failure(.refused(.unexpectedOpcode))
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if self.failure == nil { self.failure = .lost(LinkProblem.text(error)) }
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.end(
            self.failure
                ?? .lost(
                    self.verified
                        ? "the key holder closed the connection"
                        : "what listens there closed the connection during the TLS handshake; is that the key holder's port?"
                ))
        context.fireChannelInactive()
    }

    private func end(_ failure: LinkFailure) {
        guard !self.ended else { return }
        self.ended = true
        self.handshakeTimer?.cancel()
        self.timer?.cancel()
        self.timer = nil
        // The pool learns first, so that what is tried again is not tried here.
        self.onEnd(self, failure)
        self.late.removeAll()
        for waiters in self.inFlight.removeAll() { waiters.waiter(.failure(failure), 0) }
    }
}
