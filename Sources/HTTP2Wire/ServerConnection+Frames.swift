import NIOCore

/// A client's frames, each by its type (RFC 9113 §6).
extension ServerConnection {
    private static let maximumSettings = 64

    /// What has to be known before a frame is waited for.
    func check(_ header: FrameHeader) throws(ConnectionFault) {
        guard self.hasSettings || header.type == FrameHeader.settings && !header.has(FrameHeader.acknowledgement)
        else { throw .badPreface }
        if let block {
            guard header.type == FrameHeader.continuation, header.stream == block.id else { throw .misplacedFrame }
            guard header.length <= FrameHeader.leastMaximum else { throw .frameSize }
            guard block.continuations < self.limits.continuations else { throw .tooManyContinuations }
            guard block.bytes.readableBytes + header.length <= self.maximumBlock else { throw .sectionTooLarge }
            return
        }
        // What we let clients send: the default (§4.2).
        guard header.length <= FrameHeader.leastMaximum else { throw .frameSize }
        switch header.type {
        case FrameHeader.data: guard header.stream != .connection else { throw .misplacedFrame }
        case FrameHeader.headers:
            guard header.stream.isOfClient else { throw .misplacedFrame }
            if header.stream <= self.lastStream, !self.isOpen(header.stream), !self.isDropped(header.stream) {
                throw .streamClosed
            }
        case FrameHeader.priorityFrame:
            guard header.stream != .connection else { throw .misplacedFrame }
            // A fault of the stream, which need not be open; an error of the connection may be made of it (§5.4.2).
            guard header.length == 5 else { throw .frameSize }
        case FrameHeader.reset:
            guard !self.isIdle(header.stream) else { throw .misplacedFrame }
            guard header.length == 4 else { throw .frameSize }
        case FrameHeader.settings:
            guard header.stream == .connection else { throw .misplacedFrame }
            guard header.length <= 6 * Self.maximumSettings else { throw .tooManySettings }
            let isWhole = header.has(FrameHeader.acknowledgement) ? header.length == 0 : header.length % 6 == 0
            guard isWhole else { throw .frameSize }
        case FrameHeader.ping:
            guard header.stream == .connection else { throw .misplacedFrame }
            guard header.length == 8 else { throw .frameSize }
        case FrameHeader.goAway:
            guard header.stream == .connection else { throw .misplacedFrame }
            guard header.length >= 8 else { throw .frameSize }
        case FrameHeader.windowUpdate:
            guard header.length == 4 else { throw .frameSize }
            guard header.stream == .connection || !self.isIdle(header.stream) else { throw .misplacedFrame }
        case FrameHeader.pushPromise, FrameHeader.continuation: throw .misplacedFrame
        default: break
        }
    }

    /// Even a block that is decoded only to be refused has a bound, before it is decoded.
    private var maximumBlock: Int { self.limits.fields.decodedBytes }

    /// It has never been open. A client's may become so.
    private func isIdle(_ id: HTTP2StreamID) -> Bool {
        id == .connection || !id.isOfClient || id > self.lastStream && !self.isDropped(id)
    }

    /// Frames on it that are on their way are no fault.
    private func isDropped(_ id: HTTP2StreamID) -> Bool {
        id > self.lastServed || self.resetStreams.contains(id)
    }

    /// A whole frame other than DATA, which was checked.
    mutating func take(_ header: FrameHeader, _ payload: ByteBuffer) throws(ConnectionFault) -> Event? {
        switch header.type {
        case FrameHeader.headers: return try self.takeHeaders(header, payload)
        case FrameHeader.continuation: return try self.takeContinuation(header, payload)
        case FrameHeader.windowUpdate: return try self.takeWindowUpdate(header, payload)
        case FrameHeader.settings:
            guard header.has(FrameHeader.acknowledgement) else { return try self.takeSettings(payload) }
            return self.takeSettingsAcknowledgement()
        case FrameHeader.ping:
            let data = payload.getInteger(at: payload.readerIndex, as: UInt64.self) ?? 0
            if header.has(FrameHeader.acknowledgement) { return .pong(data) }
            self.writePing(data, isAcknowledgement: true)
        case FrameHeader.reset:
            guard let index = self.streams.index(of: header.stream) else { return nil }
            self.remove(at: index)
            return .reset(
                header.stream,
                HTTP2ErrorCode(rawValue: payload.getInteger(at: payload.readerIndex, as: UInt32.self) ?? 0))
        // PRIORITY and GOAWAY ask nothing of us, unknown frames are to be dropped (§5.5).
        default: break
        }
        return nil
    }

    // MARK: Field blocks

    private mutating func takeHeaders(_ header: FrameHeader, _ payload: ByteBuffer) throws(ConnectionFault) -> Event? {
        var payload = payload
        if header.has(FrameHeader.padded) {
            guard let padding = payload.readInteger(as: UInt8.self), Int(padding) <= payload.readableBytes else {
                throw .brokenFrame
            }
            payload.moveWriterIndex(to: payload.writerIndex - Int(padding))
        }
        if header.has(FrameHeader.priority) {
            guard payload.readableBytes >= 5 else { throw .brokenFrame }
            payload.moveReaderIndex(forwardBy: 5)
        }
        let endsStream = header.has(FrameHeader.endStream)
        if header.has(FrameHeader.endHeaders) {
            return try self.takeSection(payload, on: header.stream, endsStream: endsStream)
        }
        guard payload.readableBytes <= self.maximumBlock else { throw .sectionTooLarge }
        // A part of a block is not to hold the memory of a whole read.
        self.block = OpenBlock(
            id: header.stream, endsStream: endsStream, bytes: ByteBufferAllocator().buffer(buffer: payload))
        return nil
    }

    private mutating func takeContinuation(
        _ header: FrameHeader, _ payload: ByteBuffer
    ) throws(ConnectionFault) -> Event? {
        guard var block = self.block else { return nil }
        self.block = nil
        block.bytes.writeImmutableBuffer(payload)
        block.continuations += 1
        guard header.has(FrameHeader.endHeaders) else {
            self.block = block
            return nil
        }
        return try self.takeSection(block.bytes, on: block.id, endsStream: block.endsStream)
    }

    /// Whatever becomes of it, a block is decoded: the client's table is ours (RFC 9113 §4.3).
    private mutating func takeSection(
        _ bytes: ByteBuffer, on id: HTTP2StreamID, endsStream: Bool
    ) throws(ConnectionFault) -> Event? {
        let section: FieldBlock
        do throws(FieldBlockFault) {
            section = try self.decoder.decode(bytes)
        } catch {
            switch error {
            case .compression(let fault): throw .compression(fault)
            case .tooLarge: throw .sectionTooLarge
            }
        }
        self.emptyDataFrames = 0
        if let index = self.streams.index(of: id) {
            guard !self.streams[index].clientEnded else { return try self.fail(.halfClosed, at: index) }
            guard endsStream else { return try self.fail(.trailersWithoutEnd, at: index) }
            self.endRequest(at: index)
            return .trailers(section, on: id)
        }
        if self.isDropped(id) { return nil }
        // It was open when the frame began, and its response has ended since: streams are only ever opened upwards.
        guard id > self.lastStream else { throw .streamClosed }
        self.lastStream = id
        // A client that has not read our settings may not know better.
        guard self.streams.count < self.limits.concurrentStreams || !self.settingsAreKnown else {
            throw .tooManyStreams
        }
        self.streams.append(
            StreamRecord(
                id, clientEnded: endsStream, receive: self.streamTarget, send: self.client.initialWindow))
        return .request(section, on: id, endsStream: endsStream)
    }

    private mutating func endRequest(at index: Int) {
        self.streams[index].clientEnded = true
        if self.streams[index].isOver { self.remove(at: index) }
    }

    // MARK: DATA

    /// - Returns: nil if more bytes are needed; an event, or that there is none yet.
    mutating func beginData(_ header: FrameHeader) throws(ConnectionFault) -> Event?? {
        var (left, padding) = (header.length, 0)
        if header.has(FrameHeader.padded) {
            guard header.length > 0 else { throw .frameSize }
            let place = self.input.readerIndex + FrameHeader.count
            guard let count = self.input.getInteger(at: place, as: UInt8.self) else { return nil }
            padding = Int(count)
            left -= 1 + padding
            guard left >= 0 else { throw .brokenFrame }
            self.input.moveReaderIndex(forwardBy: 1)
        }
        self.input.moveReaderIndex(forwardBy: FrameHeader.count)
        // All of the payload counts, whatever becomes of it (§6.9).
        guard self.receive.received(header.length) else { throw .flowControl }
        let endsStream = header.has(FrameHeader.endStream)
        self.emptyDataFrames = left == 0 && !endsStream ? self.emptyDataFrames + 1 : 0
        guard self.emptyDataFrames <= self.limits.emptyDataFrames else { throw .tooManyEmptyFrames }
        guard let index = self.streams.index(of: header.stream) else {
            if self.isIdle(header.stream) { throw .misplacedFrame }
            guard self.isDropped(header.stream) else { throw .streamClosed }
            return self.drop(header, left + padding)
        }
        if self.streams[index].clientEnded {
            _ = self.drop(header, left + padding)
            return .some(try self.fail(.halfClosed, at: index))
        }
        guard self.streams[index].receive.received(header.length) else {
            _ = self.drop(header, left + padding)
            return .some(try self.fail(.flowControl, at: index))
        }
        let overhead = header.length - left
        self.streams[index].receive.taken(overhead)
        if overhead > 0 { self.taken(overhead) }
        self.reading = .data(header.stream, left: left, padding: padding, endsStream: endsStream)
        return .some(nil)
    }

    private mutating func drop(_ header: FrameHeader, _ count: Int) -> Event?? {
        self.taken(header.length)
        self.reading = .skip(count)
        return .some(nil)
    }

    /// - Returns: nil if there is no event; then `reading` says whether more bytes are needed.
    mutating func continueData(
        _ id: HTTP2StreamID, _ left: Int, _ padding: Int, _ endsStream: Bool
    ) -> Event? {
        let count = min(left, self.input.readableBytes)
        guard count > 0 || left == 0 else { return nil }
        let bytes = self.input.readSlice(length: count) ?? ByteBuffer()
        let isLast = count == left
        if isLast {
            if padding > 0 { self.reading = .skip(padding) } else { self.finishFrame() }
        } else {
            self.reading = .data(id, left: left - count, padding: padding, endsStream: endsStream)
        }
        guard let index = self.streams.index(of: id) else {
            // It was reset since the frame began.
            self.taken(count)
            return nil
        }
        let ends = isLast && endsStream
        if ends { self.endRequest(at: index) }
        return .data(bytes, on: id, endsStream: ends)
    }

    // MARK: Settings and windows

    private mutating func takeSettings(_ payload: ByteBuffer) throws(ConnectionFault) -> Event? {
        self.hasSettings = true
        let before = self.client.initialWindow
        try self.client.apply(payload)
        let change = self.client.initialWindow - before
        if change != 0 {
            // Below zero as well (§6.9.2).
            for index in self.streams.indices {
                self.streams[index].sendWindow += change
                guard self.streams[index].sendWindow <= Self.greatestWindow else { throw .flowControl }
            }
        }
        self.writeSettingsAcknowledgement()
        return change > 0 && self.waiting > 0 ? .windowOpened : nil
    }

    /// What the client may send on a stream of its own: not what our settings say before it knows them.
    var streamTarget: Int { self.settingsAreKnown ? self.limits.streamWindow : ReceiveWindow.initial }

    private mutating func takeSettingsAcknowledgement() -> Event? {
        guard !self.settingsAreKnown else { return nil }
        let change = self.limits.streamWindow - self.streamTarget
        self.settingsAreKnown = true
        for index in self.streams.indices { self.streams[index].receive.resize(by: change) }
        return .settingsAcknowledged
    }

    private mutating func takeWindowUpdate(
        _ header: FrameHeader, _ payload: ByteBuffer
    ) throws(ConnectionFault) -> Event? {
        let value = payload.getInteger(at: payload.readerIndex, as: UInt32.self) ?? 0
        let increment = Int(value & 0x7FFF_FFFF)
        if header.stream == .connection {
            guard increment > 0 else { throw .zeroIncrement }
            self.sendWindow += increment
            guard self.sendWindow <= Self.greatestWindow else { throw .flowControl }
            return self.waiting > 0 ? .windowOpened : nil
        }
        guard let index = self.streams.index(of: header.stream) else { return nil }
        guard increment > 0 else { return try self.fail(.zeroIncrement, at: index) }
        self.streams[index].sendWindow += increment
        guard self.streams[index].sendWindow <= Self.greatestWindow else {
            return try self.fail(.flowControl, at: index)
        }
        return self.streams[index].isWaiting ? .windowOpened : nil
    }

    // MARK: Ends of streams

    private mutating func fail(_ fault: StreamFault, at index: Int) throws(ConnectionFault) -> Event {
        self.streamFaults += 1
        guard self.streamFaults <= self.limits.streamFaults else { throw .tooManyStreamFaults }
        let id = self.streams[index].id
        self.reset(id, fault.code)
        return .fault(fault, on: id)
    }

    mutating func remove(at index: Int) {
        if self.streams[index].isWaiting { self.waiting -= 1 }
        self.streams.remove(at: index)
    }

    /// What is on its way for it is no fault.
    mutating func remember(_ id: HTTP2StreamID) {
        if self.resetStreams.count < max(1, self.limits.concurrentStreams) {
            self.resetStreams.append(id)
        } else {
            self.resetStreams[self.nextReset] = id
            self.nextReset = (self.nextReset + 1) % self.resetStreams.count
        }
    }
}
