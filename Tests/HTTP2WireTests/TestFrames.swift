import HTTPFields
import NIOCore
import Testing

@testable import HTTP2Wire

/// Frames as a client writes them.
enum TestFrames {
    static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)
    /// GET https /, without an authority.
    static let get: [UInt8] = [0x82, 0x87, 0x84]
    static let post: [UInt8] = [0x83, 0x87, 0x84]
    static let endStream: UInt8 = 1
    static let acknowledgement: UInt8 = 1
    static let endHeaders: UInt8 = 4
    static let padded: UInt8 = 8

    static func frame(
        _ type: UInt8, _ flags: UInt8 = 0, _ stream: HTTP2StreamID = 0, _ payload: [UInt8] = []
    ) -> [UInt8] {
        var buffer = ByteBuffer()
        FrameHeader(length: payload.count, type: type, flags: flags, stream: stream).write(to: &buffer)
        return Array(buffer: buffer) + payload
    }

    static func join(_ parts: [UInt8]...) -> [UInt8] { parts.flatMap { $0 } }

    static func times(_ count: Int, _ frames: [UInt8]) -> [UInt8] { (0..<count).flatMap { _ in frames } }

    static func number(_ value: UInt32) -> [UInt8] { Array(buffer: ByteBuffer(integer: value)) }

    static func setting(_ parameter: UInt16, _ value: UInt32) -> [UInt8] {
        Array(buffer: ByteBuffer(integer: parameter)) + Self.number(value)
    }

    static func settings(_ entries: [UInt8] = []) -> [UInt8] { Self.frame(4, 0, 0, entries) }

    static func headers(
        _ stream: HTTP2StreamID, _ flags: UInt8 = endStream | endHeaders, _ block: [UInt8] = get
    ) -> [UInt8] {
        Self.frame(1, flags, stream, block)
    }

    static func data(_ stream: HTTP2StreamID, _ count: Int, _ flags: UInt8 = 0) -> [UInt8] {
        Self.frame(0, flags, stream, Array(repeating: 7, count: count))
    }

    static func window(_ stream: HTTP2StreamID, _ increment: UInt32) -> [UInt8] {
        Self.frame(8, 0, stream, Self.number(increment))
    }

    static func reset(_ stream: HTTP2StreamID, _ code: UInt32 = 8) -> [UInt8] {
        Self.frame(3, 0, stream, Self.number(code))
    }

    static func ping(_ flags: UInt8 = 0) -> [UInt8] { Self.frame(6, flags, 0, Array(repeating: 1, count: 8)) }
}

/// A machine, what it tells of, and what it writes.
struct TestServer {
    static let limits = ServerConnection.Limits(
        fields: FieldBlockLimits(sectionBytes: 4_000, fields: 20), concurrentStreams: 3, streamWindow: 100_000,
        connectionWindow: 200_000, continuations: 8, emptyDataFrames: 4, streamFaults: 10)

    var machine: ServerConnection
    var events: [String] = []
    var kinds: [FrameKind] = []
    var fault: ConnectionFault?

    /// - Parameter begun: preface and settings of both sides are through.
    init(_ limits: ServerConnection.Limits = TestServer.limits, settings: [UInt8] = [], begun: Bool = true) {
        self.machine = ServerConnection(limits: limits)
        guard begun else { return }
        self.machine.begin()
        self.hear(TestFrames.preface, TestFrames.settings(settings), TestFrames.frame(4, 1))
        self.events = []
        self.kinds = []
        _ = self.written()
    }

    mutating func hear(_ frames: [UInt8]..., parts: Int = 1 << 20) {
        let bytes = frames.flatMap { $0 }
        var kinds: [FrameKind] = []
        for start in stride(from: 0, to: bytes.count, by: parts) where self.fault == nil {
            self.machine.receive(ByteBuffer(bytes: bytes[start..<min(start + parts, bytes.count)]))
            do throws(ConnectionFault) {
                while let event = try self.machine.next(began: { kinds.append($0) }) { self.note(event) }
            } catch {
                self.fault = error
            }
        }
        self.kinds += kinds
    }

    private mutating func note(_ event: ServerConnection.Event) {
        switch event {
        case .request(let block, let id, let ends):
            self.add("request \(id.rawValue)\(ends ? " ends" : "")", FieldBlockTests.list(block))
        case .trailers(let block, let id): self.add("trailers \(id.rawValue)", FieldBlockTests.list(block))
        case .data(let bytes, let id, let ends):
            // The cuts of one frame make no difference.
            let name = "data \(id.rawValue) "
            var count = bytes.readableBytes
            if let last = self.events.last, last.hasPrefix(name), let before = Int(last.dropFirst(name.count)) {
                count += before
                self.events.removeLast()
            }
            self.events.append("\(name)\(count)\(ends ? " ends" : "")")
        case .reset(let id, let code): self.events.append("reset \(id.rawValue) \(code.rawValue)")
        case .fault(let fault, let id): self.events.append("fault \(id.rawValue) \(fault)")
        case .settingsAcknowledged: self.events.append("acknowledged")
        case .pong(let data): self.events.append("pong \(data)")
        case .windowOpened: self.events.append("window")
        }
    }

    private mutating func add(_ name: String, _ fields: [String]) {
        self.events.append(([name] + fields).joined(separator: ", "))
    }

    /// The bytes that were written since.
    mutating func writtenBytes() -> [UInt8] {
        var bytes: [UInt8] = []
        while let buffer = self.machine.nextOutput(all: true) { bytes += Array(buffer: buffer) }
        return bytes
    }

    /// The frames that were written since, each as its type, stream, flags and what it says.
    mutating func written() -> [String] {
        var buffer = ByteBuffer(bytes: self.writtenBytes())
        var frames: [String] = []
        while let header = FrameHeader(buffer, at: buffer.readerIndex) {
            buffer.moveReaderIndex(forwardBy: FrameHeader.count)
            guard var payload = buffer.readSlice(length: header.length) else {
                frames.append("broken")
                break
            }
            let ends = header.has(FrameHeader.endStream) ? " ends" : ""
            let id = header.stream.rawValue
            let number = payload.getInteger(at: payload.readerIndex, as: UInt32.self) ?? 0
            switch header.type {
            case FrameHeader.data: frames.append("data \(id) \(header.length)\(ends)")
            case FrameHeader.headers:
                let whole = header.has(FrameHeader.endHeaders) ? "" : " open"
                frames.append("headers \(id) \(header.length)\(ends)\(whole)")
            case FrameHeader.continuation:
                frames.append("continuation \(id) \(header.length)\(header.has(FrameHeader.endHeaders) ? "" : " open")")
            case FrameHeader.reset: frames.append("reset \(id) \(number)")
            case FrameHeader.windowUpdate: frames.append("window \(id) \(number)")
            case FrameHeader.ping: frames.append("ping\(ends)")
            case FrameHeader.goAway:
                payload.moveReaderIndex(forwardBy: 4)
                frames.append("goaway \(number) \(payload.readInteger(as: UInt32.self) ?? 99)")
            case FrameHeader.settings: frames.append("settings\(ends) \(header.length)")
            default: frames.append("type \(header.type)")
            }
        }
        return frames
    }

    /// A head of one byte.
    mutating func head(_ id: HTTP2StreamID, ends: Bool = false) {
        self.machine.writeHeaders(on: id, endsStream: ends) { $0.writeInteger(0x88 as UInt8) }
    }

    @discardableResult
    mutating func body(_ id: HTTP2StreamID, _ count: Int, ends: Bool = true) -> ServerConnection.Sent? {
        self.machine.writeData(ByteBuffer(repeating: 1, count: count), on: id, endsStream: ends)
    }

    /// Everything that may go.
    @discardableResult
    mutating func sendAll() -> [ServerConnection.Sent] {
        var all: [ServerConnection.Sent] = []
        while let sent = self.machine.sendNext() { all.append(sent) }
        return all
    }
}
