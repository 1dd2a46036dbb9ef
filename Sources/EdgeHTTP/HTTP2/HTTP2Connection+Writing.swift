import HTTP2Wire
import HTTPFields
import NIOCore

/// What goes to the client: written by the machine, handed on once for everything that a read or a turn of the event loop brought.
extension HTTP2Connection {
    /// Memory for a field block: what the one before it took, if that is written.
    func takeBlockMemory() -> ByteBuffer {
        var block = self.spareBlock
        self.spareBlock = ByteBuffer()
        // Not before: where it was written, its memory was still in use.
        block.clear()
        return block
    }

    func writeHeaders(on stream: HTTP2Stream, endsStream: Bool, _ write: (inout ByteBuffer) -> Void) {
        self.wrote(self.machine.writeHeaders(on: stream.id, endsStream: endsStream, write), on: stream)
    }

    /// - Parameter block: is not used any more.
    func writeHeaders(_ block: ByteBuffer, on stream: HTTP2Stream, endsStream: Bool) {
        self.writeHeaders(on: stream, endsStream: endsStream) { $0.writeImmutableBuffer(block) }
        self.spareBlock = block
    }

    func writeTrailers(_ block: ByteBuffer, on stream: HTTP2Stream) {
        self.wrote(self.machine.writeTrailers(block, on: stream.id), on: stream)
    }

    func writeData(_ bytes: ByteBuffer, on stream: HTTP2Stream, endsStream: Bool) {
        guard let sent = self.machine.writeData(bytes, on: stream.id, endsStream: endsStream) else { return }
        stream.waits(bytes.readableBytes)
        self.wrote(sent, on: stream)
    }

    /// All of a response's content, from memory that is no buffer.
    func writeWholeData(_ bytes: KeptBytes, on stream: HTTP2Stream) {
        let sent = self.machine.writeWholeData(bytes.count, on: stream.id) { buffer in
            bytes.withBytes { _ = buffer.writeBytes($0) }
        }
        guard let sent else {
            var copy = ByteBuffer()
            bytes.withBytes { _ = copy.writeBytes($0) }
            return self.writeData(copy, on: stream, endsStream: true)
        }
        stream.waits(bytes.count)
        self.wrote(sent, on: stream)
    }

    func reset(_ stream: HTTP2Stream, _ code: HTTP2ErrorCode) {
        self.machine.reset(stream.id, code)
        self.setNeedsFlush()
        self.ended.append(stream)
    }

    private func wrote(_ sent: ServerConnection.Sent?, on stream: HTTP2Stream) {
        guard let sent else { return }
        if sent.count > 0 || sent.ends {
            stream.wrote(sent.count, endsStream: sent.ends)
            if sent.count > 0 { self.budget.sent(sent.count, isAll: stream.isAllWritten) }
            if sent.isOver {
                stream.state = .over
                self.ended.append(stream)
            }
        }
    }

    /// Hands on what is there, but for a last small part: the channel is to know how much waits. What it finds then may be told to any
    /// stream: not while one of them writes.
    func forwardComplete() {
        if self.machine.hasCompleteOutput { self.forward(all: false) }
    }

    private func forward(all: Bool) {
        while let bytes = self.machine.nextOutput(all: all) {
            self.context?.write(self.wrapOutboundOut(bytes), promise: nil)
        }
    }

    /// Flushes soon, once for all streams: at the end of what was read, or of the event loop's turn.
    func setNeedsFlush() {
        guard !self.flushIsDue, let context else { return }
        self.flushIsDue = true
        if !self.isReading {
            context.eventLoop.assumeIsolated().execute {
                self.lookAfterMarked()
                self.flushIfDue()
            }
        }
    }

    func flushIfDue() {
        guard self.flushIsDue || self.machine.hasOutput || !self.ended.isEmpty else { return }
        self.flushIsDue = false
        while let sent = self.machine.sendNext() {
            guard let stream = self.streams[stream: sent.id] else { continue }
            self.wrote(sent, on: stream)
            self.forwardComplete()
        }
        self.closeEnded()
        self.flush()
    }

    func flush() {
        self.forward(all: true)
        self.context?.flush()
    }
}
