import EdgeModel
import HTTP2Wire
import NIOCore
import NIOHTTP2

/// How a connection ends, and what ends it: the client's floods, the library's findings, the edge's own wish.
extension HTTP2Connection {
    func take(_ step: HTTP2Lifecycle.Step) {
        switch step {
        case .none:
            self.wake(at: self.lifecycle.deadline)
        case .announce:
            self.write(.goAway(lastStreamID: .maxID, errorCode: .noError, opaqueData: nil), on: .rootStream)
            self.write(.ping(Self.announcement, ack: false), on: .rootStream)
            self.setNeedsFlush()
            self.wake(at: self.lifecycle.deadline)
        case .goAway(let last, let code):
            self.write(.goAway(lastStreamID: last, errorCode: code, opaqueData: nil), on: .rootStream)
            self.setNeedsFlush()
        case .goAwayAndClose(let last, let code):
            self.write(.goAway(lastStreamID: last, errorCode: code, opaqueData: nil), on: .rootStream)
            self.close()
        case .close:
            self.close()
        }
    }

    /// The client does what no honest client does.
    func fail(_ reason: String, _ code: HTTP2ErrorCode = .enhanceYourCalm) {
        guard !self.isClosing else { return }
        self.site.metrics.http2Refused(reason)
        self.write(.goAway(lastStreamID: .rootStream, errorCode: code, opaqueData: nil), on: .rootStream)
        self.close()
    }

    /// The client's frames cannot be read on.
    func fail(_ fault: ClientFrameFault) {
        let code: HTTP2ErrorCode =
            switch fault {
            case .compression: .compressionError
            case .brokenBlock: .protocolError
            case .frameTooLarge: .frameSizeError
            case .tooManyContinuations, .sectionTooLarge, .tooManySettings: .enhanceYourCalm
            }
        self.fail(fault.reason, code)
    }

    /// Something that we wrote did not become a frame, or a section has no block: a client that waits for it must not wait on, nor take
    /// what follows for it.
    func outOfStep() { self.fail("internal-error", .internalError) }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard self.hasFailed else {
            if let error = error as? NIOHTTP2Errors.StreamError {
                self.streams[error.streamID]?.failed()
            } else if !(error is any NIOHTTP2Error) {
                context.close(promise: nil)
            } else if self.isWriting, error is NIOHTTP2Errors.NoSuchStream || error is NIOHTTP2Errors.StreamClosed {
                // What was written came too late: the client has ended the stream, and the event says so.
            } else if self.isWriting || error is NIOHTTP2Errors.UnableToSerializeFrame {
                self.outOfStep()
            } else if !self.streamErrors.permits(now: .now()) {
                // The stream is reset by the library, and the event that it is closed follows.
                self.fail("stream-error-flood")
            }
            return
        }
        guard !self.isClosing else { return }
        self.site.metrics.http2Refused(HTTP2Fault.reason(error))
        self.close()
    }

    /// Ends our side, hears the client out for a moment so that it gets to see why, then closes.
    func close() {
        guard let context, !self.isClosing else { return }
        self.isClosing = true
        self.lifecycle.closed()
        self.frames.drop(upTo: self.limits.lingerBytes)
        self.endStreams("connection-closed")
        context.flush()
        context.close(mode: .output, promise: nil)
        self.nextWakeUp = .now() + self.limits.lingerTime
        self.timer?.move(to: self.nextWakeUp)
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.isClosing = true
        self.lifecycle.closed()
        self.endStreams("client-closed")
        self.timer?.cancel()
        context.fireChannelInactive()
    }

    func endStreams(_ outcome: String) {
        let streams = self.streams
        self.streams = [:]
        self.starting.removeAll()
        for stream in streams.values { stream.closed(outcome) }
    }
}
