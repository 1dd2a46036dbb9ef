import NIOCore

/// What a frame is, as far as limits on frames are concerned.
public enum FrameKind: Equatable, Sendable {
    case data, continuation
    /// RST_STREAM.
    case reset
    /// PING, SETTINGS and PRIORITY.
    case control
    /// HEADERS, WINDOW_UPDATE, GOAWAY, and types that no RFC here knows.
    case other

    init(_ header: FrameHeader) {
        self =
            switch header.type {
            case FrameHeader.data: .data
            case FrameHeader.continuation: .continuation
            case FrameHeader.reset: .reset
            case FrameHeader.ping, FrameHeader.settings, FrameHeader.priorityFrame: .control
            default: .other
            }
    }
}

/// The nine bytes in front of each frame (RFC 9113 §4.1).
struct FrameHeader {
    static let count = 9
    /// SETTINGS_MAX_FRAME_SIZE as it begins, and the least there may be (RFC 9113 §6.5.2).
    static let leastMaximum = 16_384
    static let greatestMaximum = 16_777_215

    /// Of the payload.
    var length: Int
    var type: UInt8
    var flags: UInt8
    var stream: HTTP2StreamID

    static let data: UInt8 = 0x0
    static let headers: UInt8 = 0x1
    static let priorityFrame: UInt8 = 0x2
    static let reset: UInt8 = 0x3
    static let settings: UInt8 = 0x4
    static let pushPromise: UInt8 = 0x5
    static let ping: UInt8 = 0x6
    static let goAway: UInt8 = 0x7
    static let windowUpdate: UInt8 = 0x8
    static let continuation: UInt8 = 0x9

    /// Of HEADERS and DATA; the same bit is the acknowledgement in SETTINGS and PING.
    static let endStream: UInt8 = 0x1
    static let acknowledgement: UInt8 = 0x1
    static let endHeaders: UInt8 = 0x4
    static let padded: UInt8 = 0x8
    static let priority: UInt8 = 0x20

    init(length: Int, type: UInt8, flags: UInt8 = 0, stream: HTTP2StreamID = .connection) {
        self.length = length
        self.type = type
        self.flags = flags
        self.stream = stream
    }

    /// - Returns: nil if there are fewer than nine bytes.
    init?(_ bytes: ByteBuffer, at index: Int) {
        guard let lengthAndType = bytes.getInteger(at: index, as: UInt32.self),
            let flags = bytes.getInteger(at: index + 4, as: UInt8.self),
            let stream = bytes.getInteger(at: index + 5, as: UInt32.self)
        else { return nil }
        self.init(
            length: Int(lengthAndType >> 8), type: UInt8(truncatingIfNeeded: lengthAndType), flags: flags,
            stream: HTTP2StreamID(rawValue: stream & 0x7FFF_FFFF))
    }

    func has(_ flag: UInt8) -> Bool { self.flags & flag != 0 }

    func write(to buffer: inout ByteBuffer) {
        buffer.writeMultipleIntegers(UInt32(self.length) << 8 | UInt32(self.type), self.flags, self.stream.rawValue)
    }

    /// Over a header that stands there already.
    func set(in buffer: inout ByteBuffer, at index: Int) {
        buffer.setInteger(UInt32(self.length) << 8 | UInt32(self.type), at: index)
        buffer.setInteger(self.flags, at: index + 4)
        buffer.setInteger(self.stream.rawValue, at: index + 5)
    }
}
