import KeyProtocol
import Logging
import NIOCore

/// Answers on their way: at once, or when their audit lines are written.
extension KeyHolderConnection {
    func send(_ packet: KeyPacket) {
        if case .closing = self.phase { return }
        do throws(KeyEncodingError) {
            try packet.encode(into: &self.outbound)
        } catch {
            self.logger.error("an answer could not be encoded", metadata: ["error": "\(error)"])
        }
    }

    /// The result of a private key's use: leaves when the audit line, which stands recorded, is written.
    func sendAudited(_ packet: KeyPacket) {
        if case .closing = self.phase { return }
        do throws(KeyEncodingError) {
            try self.held.append(packet)
        } catch {
            self.logger.error("an answer could not be encoded", metadata: ["error": "\(error)"])
        }
    }

    /// Asks for the audit lines of the answers that are held.
    private func flushHeld() {
        guard !self.held.isEmpty, let eventLoop = self.context?.eventLoop else { return self.core.audit.flush() }
        self.heldBatches += 1
        let waiting = NIOLoopBound((self, self.held), eventLoop: eventLoop)
        self.held = HeldAnswers()
        self.core.audit.flush { isWritten in
            eventLoop.execute {
                let (connection, answers) = waiting.value
                connection.audited(answers, isWritten)
            }
        }
    }

    private func audited(_ answers: HeldAnswers, _ isWritten: Bool) {
        self.heldBatches -= 1
        // The last grant may have gone meanwhile.
        guard self.edge != nil else { return }
        if isWritten {
            self.outbound.writeImmutableBuffer(answers.bytes)
        } else {
            for id in answers.ids { self.send(.failure(id: id, .internalError)) }
        }
        self.flushSoon()
    }

    /// Answers that come one by one leave together: behind those that are ready by now.
    func flushSoon() {
        guard !self.isServing, !self.flushIsDue, let context = self.context else { return }
        self.flushIsDue = true
        context.eventLoop.assumeIsolated().execute {
            self.flushIsDue = false
            self.flushOutbound()
            self.closeIfDrained()
        }
    }

    func flushOutbound() {
        self.flushHeld()
        guard self.outbound.readableBytes > 0, let context = self.context else { return }
        let bytes: ByteBuffer = self.outbound
        self.outbound = ByteBuffer()
        context.writeAndFlush(self.wrapOutboundOut(bytes), promise: nil)
    }
}
