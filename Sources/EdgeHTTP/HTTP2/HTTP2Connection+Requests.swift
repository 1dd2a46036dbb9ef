import Channels
import HTTP2Wire
import HTTPFields
import HTTPForwarding
import NIOCore

/// From a section of fields to a request that begins, or is answered at once.
extension HTTP2Connection {
    func received(_ section: FieldBlock, endsStream: Bool, on id: HTTP2StreamID) {
        self.closeEnded()
        guard !self.isClosing else { return }
        guard self.sections.hasRoom(for: section.heldBytes) else {
            return self.refuse(id, .refusedStream, "held-fields")
        }
        let takesAnother = self.takesAnother()
        // The client may be gone at that flush.
        guard !self.isClosing else { return }
        guard takesAnother else { return self.refuse(id, .refusedStream, "unread-answers") }
        let admission = self.lifecycle.opened(id, kept: self.places.taken(now: .now()))
        if admission == .refuse { return self.refuse(id, .refusedStream, "too-many-streams") }
        self.place?.works()
        self.budget.opened()
        let stream = HTTP2Stream(
            id, number: self.lifecycle.requests, on: self, limits: self.limits, requestEnded: endsStream)
        self.streams.append(stream)
        _ = stream.holds(section.heldBytes)
        self.begin(stream, section)
        guard !self.isClosing else { return }
        if admission == .serveLast { self.take(self.lifecycle.leave(now: .now())) }
    }

    func receivedTrailers(_ section: FieldBlock, on id: HTTP2StreamID) {
        guard let stream = self.streams[stream: id] else { return }
        if section.isTooLarge || section.trailerMalformation != nil {
            self.site.metrics.http2Refused(section.trailerMalformation?.rawValue ?? "head-too-large")
            self.resetProvoked(id)
        } else if stream.holds(section.heldBytes) {
            stream.receivedEnd(section.fields)
            self.markForReading(stream)
        } else {
            self.refuse(id, .enhanceYourCalm, "held-fields")
        }
        self.closeIfOver(stream)
    }

    /// One read may bring hundreds of requests that are answered at once. What they get is sent in between, and when the
    /// client does not take it the rest is refused: it may ask again (RFC 9113 §8.7).
    private func takesAnother() -> Bool {
        self.begunInRead += 1
        guard self.begunInRead > Self.requestsBetweenFlushes else { return true }
        if self.begunInRead.isMultiple(of: Self.requestsBetweenFlushes) { self.flush() }
        return self.isWritable
    }

    private static let requestsBetweenFlushes = 32

    /// Begins what reads brought, but for requests that were also taken back. Many may be answered at once: other connections
    /// have their turn in between, and the rest waits for a client that takes what it gets.
    func startRequests() {
        var started = 0
        while !self.startsLater, let stream = self.starting.first {
            guard started < Self.requestsPerTurn else {
                self.startLater()
                break
            }
            self.starting.removeFirst()
            guard self.isUnderWay(stream) else { continue }
            started += 1
            stream.start(on: self.client)
            self.forwardComplete()
        }
        // Their time runs.
        for stream in self.starting where self.isUnderWay(stream) { stream.lookAfter() }
    }

    private func isUnderWay(_ stream: HTTP2Stream) -> Bool { self.streams[stream: stream.id] === stream }

    func startLater() {
        guard !self.startsLater else { return }
        self.startsLater = true
        self.turns.later { [weak self] in
            guard let self else { return }
            self.startsLater = false
            // Otherwise they begin as soon as it is.
            guard self.isWritable else { return }
            // As for a read: one flush for all of them.
            self.isReading = true
            self.startRequests()
            self.isReading = false
            self.lookAfterMarked()
            self.flushIfDue()
        }
    }

    private static let requestsPerTurn = 16

    private func begin(_ stream: HTTP2Stream, _ section: FieldBlock) {
        guard !section.isTooLarge else {
            guard self.streamErrors.permits(now: .now()) else { return self.fail("stream-error-flood") }
            return self.answer(LocalResponse.headTooLarge, to: section, on: stream)
        }
        guard stream.knowsBody(section) else { return stream.awaitBody(section) }
        self.judge(section, endsStream: stream.requestEnded, on: stream)
    }

    /// It is known whether the request has a body.
    func judge(_ section: FieldBlock, endsStream: Bool, on stream: HTTP2Stream) {
        switch self.rules.judge(section, endsStream: endsStream) {
        case .judged(.accept(let request)):
            stream.prepare(request)
            self.starting.append(stream)
        case .judged(.answerOptions):
            self.answer(.options, to: section, on: stream)
        case .judged(.refuse(let refusal)):
            self.answer(LocalResponse(refusal), to: section, on: stream)
        case .malformed(let malformation):
            self.log.record(
                Self.line(section), LocalResponse(400, reason: malformation.rawValue, text: ""), number: stream.number)
            self.resetProvoked(stream.id)
        }
    }

    /// Neither a body nor its end came.
    func bodyIsLate(_ section: FieldBlock, on stream: HTTP2Stream) {
        self.site.metrics.clientTooSlow(reading: false)
        self.answer(.bodyTimeout, to: section, on: stream)
    }

    /// A body of another length than the request says (RFC 9113 §8.1.1).
    func lengthDiffers(_ id: HTTP2StreamID) {
        self.site.metrics.http2Refused(HTTP2Malformation.lengthDiffers.rawValue)
        self.resetProvoked(id)
    }

    /// For a malformed message. The client may do that again and again, and each reset frees a stream of those that it may
    /// have under way: they are counted.
    private func resetProvoked(_ id: HTTP2StreamID) {
        guard self.streamErrors.permits(now: .now()) else { return self.fail("stream-error-flood") }
        self.reset(id, .protocolError)
    }

    private func answer(_ local: LocalResponse, to section: FieldBlock, on stream: HTTP2Stream) {
        let line = Self.line(section)
        self.log.record(line, local, number: stream.number)
        stream.write(local, isHead: line.method == "HEAD")
    }

    private static func line(_ section: FieldBlock) -> RequestLine {
        RequestLine(
            .http2, method: section.method.map { section.fields.text($0) } ?? "-",
            target: section.path.map { section.fields.slice($0) } ?? ByteBuffer(), fields: section.fields)
    }

    /// The stream is gone, and what it had with it.
    private func reset(_ id: HTTP2StreamID, _ code: HTTP2ErrorCode) {
        self.machine.reset(id, code)
        self.setNeedsFlush()
        self.closed(id)
    }

    private func refuse(_ id: HTTP2StreamID, _ code: HTTP2ErrorCode, _ reason: String) {
        self.site.metrics.http2Refused(reason)
        self.reset(id, code)
    }
}
