public import NIOCore

/// What the server says. Frames are put together in memory, from where ``nextOutput(all:)`` takes them.
extension ServerConnection {
    /// The server's first frames (RFC 9113 §3.4), and the rest of the connection's window. Once.
    public mutating func begin() {
        guard !self.hasBegun else { return }
        self.hasBegun = true
        let settings: [(UInt16, Int)] = [
            (0x3, self.limits.concurrentStreams), (0x4, self.limits.streamWindow),
            (0x6, self.limits.fields.sectionBytes),
        ]
        self.writeFrame(FrameHeader(length: 6 * settings.count, type: FrameHeader.settings)) { buffer in
            for (parameter, value) in settings {
                buffer.writeMultipleIntegers(parameter, UInt32(clamping: value))
            }
        }
        self.grant()
    }

    /// Something is there to be taken.
    public var hasOutput: Bool { !self.output.isEmpty }
    /// A buffer that nothing is added to.
    public var hasCompleteOutput: Bool { self.output.hasComplete }

    /// The next bytes for the client.
    ///
    /// - Parameter all: also those to which more frames may be added.
    public mutating func nextOutput(all: Bool) -> ByteBuffer? { self.output.next(all: all) }

    // MARK: Responses

    /// A head of any kind, in HEADERS and CONTINUATION frames. Goes out at once: no window holds it back.
    ///
    /// - Parameter write: writes the block, as ``FieldBlockWriter`` does, behind what is in the buffer.
    /// - Returns: nil if the stream is gone, or its response complete.
    @discardableResult
    public mutating func writeHeaders(
        on id: HTTP2StreamID, endsStream: Bool, _ write: (inout ByteBuffer) -> Void
    ) -> Sent? {
        guard let index = self.streams.index(of: id), !self.streams[index].endIsGiven else { return nil }
        self.writeBlock(endsStream: endsStream, on: id, write)
        guard endsStream else { return Sent(id: id, count: 0, ends: false, isOver: false) }
        self.streams[index].give(end: true)
        return self.endResponse(at: index, 0)
    }

    /// Content. What ends a response goes out at once if it fits into one frame and both windows. Everything else waits for ``sendNext()``, so that
    /// streams take turns, and what waits of each of them can be bounded.
    ///
    /// - Returns: what went out at once; nil if the stream is gone, or its response complete.
    public mutating func writeData(_ bytes: ByteBuffer, on id: HTTP2StreamID, endsStream: Bool) -> Sent? {
        guard let index = self.streams.index(of: id), !self.streams[index].endIsGiven else { return nil }
        if endsStream { self.streams[index].give(end: true) }
        let isWaiting = self.streams[index].isWaiting
        if endsStream, !isWaiting, bytes.readableBytes <= self.room(at: index) {
            self.sendData(bytes, at: index, ends: true)
            return self.endResponse(at: index, bytes.readableBytes)
        }
        // An end without content goes with the last part that waits.
        if bytes.readableBytes > 0 {
            self.streams[index].wait(bytes)
            if !isWaiting { self.waiting += 1 }
        }
        return Sent(id: id, count: 0, ends: false, isOver: false)
    }

    /// A response's whole content, where it fits into one frame and both windows: written in its place, without a buffer of its own.
    ///
    /// - Parameters:
    ///   - count: in bytes, as many as `write` writes.
    /// - Returns: nil if it does not fit, or the stream is gone; then nothing was written.
    public mutating func writeWholeData(
        _ count: Int, on id: HTTP2StreamID, _ write: (inout ByteBuffer) -> Void
    ) -> Sent? {
        guard let index = self.streams.index(of: id), !self.streams[index].endIsGiven,
            !self.streams[index].isWaiting, count <= self.room(at: index)
        else { return nil }
        self.streams[index].give(end: true)
        self.streams[index].sendWindow -= count
        self.sendWindow -= count
        let header = FrameHeader(length: count, type: FrameHeader.data, flags: FrameHeader.endStream, stream: id)
        self.output.write(FrameHeader.count + count) { buffer in
            header.write(to: &buffer)
            write(&buffer)
        }
        return self.endResponse(at: index, count)
    }

    /// The section behind the content, and the response's end.
    public mutating func writeTrailers(_ block: ByteBuffer, on id: HTTP2StreamID) -> Sent? {
        guard let index = self.streams.index(of: id), !self.streams[index].endIsGiven else { return nil }
        self.streams[index].give(end: true)
        if self.streams[index].isWaiting {
            self.streams[index].wait(trailers: block)
            return Sent(id: id, count: 0, ends: false, isOver: false)
        }
        self.writeBlock(endsStream: true, on: id) { $0.writeImmutableBuffer(block) }
        return self.endResponse(at: index, 0)
    }

    /// Puts one frame of what waits on its way: streams take turns.
    ///
    /// - Returns: nil if nothing waits that may go.
    public mutating func sendNext() -> Sent? {
        guard self.waiting > 0, self.sendWindow > 0 else { return nil }
        let first = self.streams.firstIndex { $0.id > self.turn } ?? 0
        for offset in self.streams.indices {
            let index = (first + offset) % self.streams.count
            guard let part = self.streams[index].takePart(upTo: self.room(at: index)) else { continue }
            let id = self.streams[index].id
            self.turn = id
            let isLast = !self.streams[index].isWaiting
            if isLast { self.waiting -= 1 }
            let trailers = self.streams[index].takeTrailers()
            let ends = isLast && self.streams[index].endIsGiven
            self.sendData(part, at: index, ends: ends && trailers == nil)
            if let trailers { self.writeBlock(endsStream: true, on: id) { $0.writeImmutableBuffer(trailers) } }
            guard ends else { return Sent(id: id, count: part.readableBytes, ends: false, isOver: false) }
            return self.endResponse(at: index, part.readableBytes)
        }
        return nil
    }

    /// How many bytes of content a frame on the stream may have now. Clients that take larger frames get none: others have their turn.
    private func room(at index: Int) -> Int {
        max(0, min(self.sendWindow, self.streams[index].sendWindow, FrameHeader.leastMaximum))
    }

    private mutating func sendData(_ part: ByteBuffer, at index: Int, ends: Bool) {
        self.streams[index].sendWindow -= part.readableBytes
        self.sendWindow -= part.readableBytes
        self.output.writeData(part, endsStream: ends, on: self.streams[index].id)
    }

    private mutating func endResponse(at index: Int, _ count: Int) -> Sent {
        self.streams[index].serverEnded = true
        let sent = Sent(
            id: self.streams[index].id, count: count, ends: true, isOver: self.streams[index].isOver)
        if sent.isOver { self.remove(at: index) }
        return sent
    }

    private mutating func writeBlock(endsStream: Bool, on id: HTTP2StreamID, _ write: (inout ByteBuffer) -> Void) {
        // RFC 7541 §4.2: nothing is ever put into the table, so the smallest size is said once and for all.
        let saysTableSize = self.client.hasSmallTable && !self.saysTableSize
        if saysTableSize { self.saysTableSize = true }
        self.output.writeHeaders(endsStream: endsStream, on: id, maximum: self.client.maximumFrameSize) { buffer in
            if saysTableSize { buffer.writeInteger(0x20 as UInt8) }
            write(&buffer)
        }
    }

    // MARK: Ends

    /// RST_STREAM. Nothing if the stream is gone.
    public mutating func reset(_ id: HTTP2StreamID, _ code: HTTP2ErrorCode) {
        guard let index = self.streams.index(of: id) else { return }
        if !self.streams[index].clientEnded { self.remember(id) }
        self.remove(at: index)
        self.writeFrame(FrameHeader(length: 4, type: FrameHeader.reset, stream: id)) {
            $0.writeInteger(code.rawValue)
        }
    }

    /// GOAWAY.
    ///
    /// - Parameter last: the last stream that is served; frames of later ones are dropped.
    public mutating func goAway(_ last: HTTP2StreamID, _ code: HTTP2ErrorCode) {
        self.lastServed = min(self.lastServed, last)
        self.writeFrame(FrameHeader(length: 8, type: FrameHeader.goAway)) {
            $0.writeMultipleIntegers(last.rawValue, code.rawValue)
        }
    }

    public mutating func ping(_ data: UInt64) { self.writePing(data, isAcknowledgement: false) }

    // MARK: Windows

    /// Content of a request was passed on, or dropped: the connection's window is opened again for it. The stream need not be open.
    public mutating func taken(_ count: Int, on id: HTTP2StreamID) {
        if let index = self.streams.index(of: id) { self.streams[index].receive.taken(count) }
        self.taken(count)
    }

    /// Lets the client send on, for what was taken of the stream.
    ///
    /// - Returns: whether there is a frame for it.
    public mutating func openWindow(of id: HTTP2StreamID) -> Bool {
        guard let index = self.streams.index(of: id), !self.streams[index].clientEnded,
            let increment = self.streams[index].receive.grant(of: self.streamTarget)
        else { return false }
        self.writeWindowUpdate(increment, on: id)
        return true
    }

    mutating func taken(_ count: Int) {
        self.receive.taken(count)
        self.grant()
    }

    private mutating func grant() {
        guard let increment = self.receive.grant(of: self.limits.connectionWindow) else { return }
        self.writeWindowUpdate(increment, on: .connection)
    }

    // MARK: Frames

    private mutating func writeWindowUpdate(_ increment: Int, on id: HTTP2StreamID) {
        self.writeFrame(FrameHeader(length: 4, type: FrameHeader.windowUpdate, stream: id)) {
            $0.writeInteger(UInt32(increment))
        }
    }

    mutating func writePing(_ data: UInt64, isAcknowledgement: Bool) {
        let flags = isAcknowledgement ? FrameHeader.acknowledgement : 0
        self.writeFrame(FrameHeader(length: 8, type: FrameHeader.ping, flags: flags)) { $0.writeInteger(data) }
    }

    mutating func writeSettingsAcknowledgement() {
        self.writeFrame(FrameHeader(length: 0, type: FrameHeader.settings, flags: FrameHeader.acknowledgement)) { _ in
        }
    }

    private mutating func writeFrame(_ header: FrameHeader, _ payload: (inout ByteBuffer) -> Void) {
        self.output.write(FrameHeader.count + header.length) { buffer in
            header.write(to: &buffer)
            payload(&buffer)
        }
    }
}
