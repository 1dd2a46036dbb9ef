package import Channels
package import KeyProtocol
package import NIOCore
package import RecordLayer

/// Watches over one handshake on a client's connection, whether the key holder runs it or this edge does: ends it when it takes too
/// long, reports how it ended, and puts the record layer and HTTP into its place when it is done.
///
/// Bound to the connection's event loop. The handler of the handshake calls it.
package final class HandshakeWatch {
    package enum Outcome {
        case completed
        case failed(any Error)
        /// The client went away in the middle.
        case abandoned
    }

    package struct Terms {
        package var timeout: TimeAmount
        /// The event loop's; nil: some of its own.
        package var deadlines: LoopDeadlines?
        /// The event loop's.
        package var memory: RecordMemory
        /// How long, and for how many bytes, a refused client is heard out.
        package var limits: HelloLimits
        /// Told once.
        package var outcome: (Outcome) -> Void
        /// Starts what speaks over the session, with the application protocol that was negotiated.
        package var established: (any Channel, _ applicationProtocol: String?) throws -> Void
        /// Told what goes wrong after the handshake.
        package var onSessionFault: (TerminationFailure) -> Void

        package init(
            timeout: TimeAmount, deadlines: LoopDeadlines? = nil, memory: RecordMemory = RecordMemory(),
            limits: HelloLimits,
            outcome: @escaping (Outcome) -> Void,
            established: @escaping (any Channel, _ applicationProtocol: String?) throws -> Void,
            onSessionFault: @escaping (TerminationFailure) -> Void
        ) {
            self.timeout = timeout
            self.deadlines = deadlines
            self.memory = memory
            self.limits = limits
            self.outcome = outcome
            self.established = established
            self.onSessionFault = onSessionFault
        }
    }

    private let terms: Terms
    private var deadline: LoopDeadlines.Deadline?
    private var isOver = false

    package init(_ terms: Terms) { self.terms = terms }

    package func begin(_ context: ChannelHandlerContext) {
        let deadlines = self.terms.deadlines ?? LoopDeadlines(eventLoop: context.eventLoop)
        self.deadline = deadlines.set(in: self.terms.timeout) {
            self.end(.failed(HandshakeTimedOut()))
            context.close(promise: nil)
        }
    }

    /// The connection is closed, or the handler is gone.
    package func abandon() { self.end(.abandoned) }

    /// Tells the client, hears it out for a while, and closes.
    package func fail(_ failure: TerminationFailure, sending bytes: ByteBuffer?, _ context: ChannelHandlerContext) {
        self.end(.failed(failure))
        guard context.channel.isActive else { return }
        LingeringCloseHandler.begin(
            on: context.channel, sending: bytes ?? ByteBuffer(), limits: self.terms.limits.linger)
    }

    /// Puts the record layer behind the handler of the handshake, and HTTP at the pipeline's end. The handler is to leave then, and the
    /// record layer to begin.
    ///
    /// - Parameter facts: how the session came about, as far as it is known.
    /// - Returns: nil if nothing may come of the session: the connection is being closed.
    package func complete(
        _ session: consuming RecordSession?, _ facts: SessionFacts?, _ context: ChannelHandlerContext
    ) -> RecordHandler? {
        guard let session = session.take() else {
            context.close(promise: nil)
            return nil
        }
        self.end(.completed)
        let name = session.applicationProtocol.map { String(decoding: $0, as: UTF8.self) }
        let records = RecordHandler(
            session, facts: facts, deadlines: self.terms.deadlines, memory: self.terms.memory,
            onFault: self.terms.onSessionFault)
        do {
            try context.pipeline.syncOperations.addHandler(
                records, name: ServerTLS.handlerName, position: .after(context.handler))
        } catch {
            context.close(promise: nil)
            return nil
        }
        do {
            try self.terms.established(context.channel, name)
            return records
        } catch {
            // From above the record layer, which says goodbye to the client.
            context.channel.close(promise: nil)
            return nil
        }
    }

    private func end(_ outcome: Outcome) {
        guard !self.isOver else { return }
        self.isOver = true
        self.deadline?.cancel()
        self.deadline = nil
        self.terms.outcome(outcome)
    }
}

/// The client did not finish the handshake within `limits.handshake-timeout`.
package struct HandshakeTimedOut: Error, CustomStringConvertible {
    package var description: String { "the client did not finish the handshake in time" }
}
