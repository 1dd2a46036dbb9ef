package import Channels
package import KeyProtocol
package import NIOCore
package import RecordLayer
import TLSWire

/// The record layer of one client's connection as a channel handler, whichever party shook hands with it.
///
/// It is in the pipeline, with HTTP above it, before ``begin(with:tickets:)`` gives it what the client has sent already.
///
/// - What is written between two flushes is protected together: the head and body of a small response go in one record.
/// - `close()` sends close_notify and closes when the client has done so too, or after ``closeTimeout``. Behind a
///   ``ServerTLS/LastWrite`` close_notify says it all, and the socket's own end waits for the client's: one packet and system call less,
///   and most of the time it is the client that has to remember the connection (RFC 9293 §3.6, TIME-WAIT);
///   `close(mode: .output)` sends close_notify and goes on reading.
/// - The client's close_notify closes both ways, unless the channel allows half-closure: then it is an
///   `inputClosed` event.
/// - The end of input without close_notify is `NIOSSLError.uncleanShutdown`. Violations come as ``TerminationFailure``; the
///   client has got its alert then.
/// - While the client does not take what it is sent, answers to its key updates are bounded: beyond
///   ``unsentReplyLimit`` nothing more is read.
package final class RecordHandler: ChannelDuplexHandler, PlaintextWriter {
    package typealias InboundIn = ByteBuffer
    package typealias InboundOut = ByteBuffer
    package typealias OutboundIn = ByteBuffer
    package typealias OutboundOut = ByteBuffer

    enum State {
        case open
        /// The client sent close_notify, and half-closure is allowed.
        case inputClosed
        /// close_notify was sent.
        case outputClosed
        /// Both are over; the client has a moment to see it.
        case closing(LoopDeadlines.Deadline)
        case closed
    }

    /// How long a client that was sent close_notify, or an alert, may take to close.
    static let closeTimeout = TimeAmount.seconds(5)
    /// Bytes of a client that are read, and dropped, in that time.
    static let lingerBytes = 262_144
    /// Bytes of answers to key updates that are written while the client takes nothing.
    private static let unsentReplyLimit = 1024

    var session: RecordSession
    /// The event loop's; nil: some of its own.
    let deadlines: LoopDeadlines?
    private let memory: RecordMemory
    let onFault: (TerminationFailure) -> Void
    var state = State.open
    var context: ChannelHandlerContext?

    private var writes = PlaintextWrites()
    var closePromise: EventLoopPromise<Void>?
    var hasUnflushedReply = false
    var unsentReplies = 0
    private var deliversData = false
    /// The handlers above wait for data.
    var readWanted = false
    var readHeld = false
    private var lingered = 0
    /// What is flushed next is the last that is said: close_notify goes along with it.
    var endsWithFlush = false
    /// close_notify has gone along with the last write, which may still be on its way.
    var hasEnded = false

    package init(
        _ session: consuming RecordSession, facts: SessionFacts? = nil, deadlines: LoopDeadlines? = nil,
        memory: RecordMemory = RecordMemory(), onFault: @escaping (TerminationFailure) -> Void = { _ in }
    ) {
        self.session = session
        self.facts = facts
        self.deadlines = deadlines
        self.memory = memory
        self.onFault = onFault
    }

    /// What the client and its other end agreed on; how, only where the handshake was run here, or a key holder tells.
    package var suite: RecordSuite { self.session.suite }
    package let facts: SessionFacts?

    package func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    package func handlerRemoved(context: ChannelHandlerContext) {
        self.stopTimer()
        self.failWrites(ChannelError.ioOnClosedChannel)
        self.context = nil
    }

    /// - Parameters:
    ///   - received: what the client sent after its Finished already.
    ///   - tickets: NewSessionTicket messages in the clear, whole. They leave with what is sent next.
    package func begin(with received: ByteBuffer, tickets: ByteBuffer = ByteBuffer()) {
        guard let context else { return }
        // Not flushed: a segment of their own would cost more than they do.
        if let records = self.protect(tickets) { context.write(self.wrapOutboundOut(records), promise: nil) }
        if received.readableBytes > 0, context.channel.isActive { self.receive(received, context) }
        self.readComplete(context)
    }

    // MARK: Reading

    package func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        self.receive(self.unwrapInboundIn(data), context)
    }

    private func receive(_ bytes: ByteBuffer, _ context: ChannelHandlerContext) {
        switch self.state {
        case .open, .outputClosed:
            let reception = self.session.receive(bytes, to: self.memory.opened.take(bytes.readableBytes))
            // Before the data: it may be answered at once, and what is protected first must be sent first.
            if let reply = reception.reply { self.reply(reply, context) }
            if let data = reception.applicationData {
                self.memory.opened.keep(data)
                self.deliversData = true
                context.fireChannelRead(self.wrapInboundOut(data))
            }
            if let end = reception.end { self.inputEnded(end, context) }
        case .closing:
            self.lingered += bytes.readableBytes
            if self.session.receive(bytes).end != nil || self.lingered > Self.lingerBytes { self.closeNow(context) }
        case .inputClosed:
            // Behind its close_notify, while its answer is under way.
            self.lingered += bytes.readableBytes
            if self.lingered > Self.lingerBytes { self.closeNow(context) }
        case .closed: break
        }
    }

    package func channelReadComplete(context: ChannelHandlerContext) {
        self.readComplete(context)
    }

    func readComplete(_ context: ChannelHandlerContext) {
        if self.hasUnflushedReply {
            self.hasUnflushedReply = false
            context.flush()
        }
        if self.deliversData {
            self.deliversData = false
            self.readWanted = false
            context.fireChannelReadComplete()
        } else if self.readWanted {
            // What came was no data, or not enough for a record.
            self.read(context: context)
        }
    }

    package func read(context: ChannelHandlerContext) {
        self.readWanted = true
        if self.unsentReplies > Self.unsentReplyLimit {
            self.readHeld = true
        } else {
            context.read()
        }
    }

    package func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable {
            self.unsentReplies = 0
            if self.readHeld {
                self.readHeld = false
                context.read()
            }
        }
        context.fireChannelWritabilityChanged()
    }

    private func reply(_ records: ByteBuffer, _ context: ChannelHandlerContext) {
        if !context.channel.isWritable { self.unsentReplies += records.readableBytes }
        self.hasUnflushedReply = true
        context.write(self.wrapOutboundOut(records), promise: nil)
    }

    // MARK: Writing

    package func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        switch self.state {
        case .open, .inputClosed: self.writes.append(self.unwrapOutboundIn(data), promise)
        case .outputClosed: promise?.fail(ChannelError.outputClosed)
        case .closing, .closed: promise?.fail(ChannelError.ioOnClosedChannel)
        }
    }

    package func flush(context: ChannelHandlerContext) {
        if !self.flushWrites(context) {
            self.hasUnflushedReply = false
            context.flush()
        }
    }

    /// Whether there was something to write.
    @discardableResult func flushWrites(_ context: ChannelHandlerContext) -> Bool {
        guard !self.writes.isEmpty else { return false }
        let promise = self.writes.takePromise(on: context.eventLoop)
        do throws(RecordMisuse) {
            self.hasUnflushedReply = false
            while let part = self.writes.next() {
                let records = try self.records(of: part, isLast: self.writes.isEmpty)
                if self.writes.isEmpty {
                    context.writeAndFlush(self.wrapOutboundOut(records), promise: promise)
                    return true
                }
                context.write(self.wrapOutboundOut(records), promise: nil)
            }
        } catch {
            self.protectingFailed(error, promise, context)
        }
        return true
    }

    package func writeAndFlush(_ bytes: ByteBuffer) {
        guard let context else { return }
        switch self.state {
        case .open, .inputClosed: break
        case .outputClosed, .closing, .closed: return self.flush(context: context)
        }
        guard self.writes.holdsNothing else {
            self.writes.append(bytes, nil)
            self.flushWrites(context)
            return
        }
        do throws(RecordMisuse) {
            self.hasUnflushedReply = false
            let records = try self.records(of: .whole(bytes), isLast: true)
            context.writeAndFlush(self.wrapOutboundOut(records), promise: nil)
        } catch {
            self.protectingFailed(error, nil, context)
        }
    }

    private func records(of part: PlaintextWrites.Part, isLast: Bool) throws(RecordMisuse) -> ByteBuffer {
        var records = self.memory.sealed.take(RecordSession.mostBytes(for: part.count))
        switch part {
        case .whole(let data): try self.session.send(data, into: &records)
        case .record(let first, let second, let third):
            try self.session.send(first, second, third, into: &records)
        }
        if isLast { self.takeEnd(into: &records) }
        self.memory.sealed.keep(records)
        return records
    }

    private func protectingFailed(
        _ error: RecordMisuse, _ promise: EventLoopPromise<Void>?, _ context: ChannelHandlerContext
    ) {
        guard error != .closed else {
            // An alert was protected before this.
            promise?.fail(ChannelError.ioOnClosedChannel)
            self.failWrites(ChannelError.ioOnClosedChannel)
            return context.flush()
        }
        // There is room for the alert that says so: the session keeps some numbers back.
        promise?.fail(error)
        self.failWrites(error)
        self.end(.writeKeyExhausted, context)
    }

    /// With the last write close_notify leaves, too, in the same system call and segment.
    package func triggerUserOutboundEvent(context: ChannelHandlerContext, event: Any, promise: EventLoopPromise<Void>?)
    {
        guard event is ServerTLS.LastWrite else { return context.triggerUserOutboundEvent(event, promise: promise) }
        self.endsWithFlush = true
        promise?.succeed()
    }

    private func takeEnd(into records: inout ByteBuffer) {
        guard self.endsWithFlush else { return }
        self.hasEnded = true
        _ = self.session.close(into: &records)
    }

    private func protect(_ tickets: ByteBuffer) -> ByteBuffer? {
        guard tickets.readableBytes > 0, self.session.canSend else { return nil }
        do throws(RecordMisuse) {
            return try self.session.sendPostHandshake(tickets)
        } catch .notTickets {
            // Nothing of it was sent, and the client can do without.
            self.onFault(.badAnswer("something other than session tickets"))
        } catch {
            // Tickets are not worth a connection.
        }
        return nil
    }

    /// What a promise leads to may write or close: nothing of this is being changed meanwhile.
    func failWrites(_ error: any Error) {
        guard !self.writes.holdsNothing else { return }
        let failed = self.writes
        self.writes = PlaintextWrites()
        failed.failPromises(error)
    }
}
