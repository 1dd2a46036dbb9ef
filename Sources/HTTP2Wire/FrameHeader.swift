import NIOCore

/// The nine bytes in front of each frame (RFC 9113 §4.1).
struct FrameHeader {
    static let count = 9

    /// Of the payload.
    var length: Int
    var type: UInt8
    var flags: UInt8
    var stream: UInt32

    static let data: UInt8 = 0x0
    static let headers: UInt8 = 0x1
    static let priorityFrame: UInt8 = 0x2
    static let reset: UInt8 = 0x3
    static let settings: UInt8 = 0x4
    static let ping: UInt8 = 0x6
    static let continuation: UInt8 = 0x9

    /// Of HEADERS and DATA; the same bit is the acknowledgement in SETTINGS.
    static let endStream: UInt8 = 0x1
    static let acknowledgement: UInt8 = 0x1
    static let endHeaders: UInt8 = 0x4
    static let padded: UInt8 = 0x8
    static let priority: UInt8 = 0x20

    init(length: Int, type: UInt8, flags: UInt8, stream: UInt32) {
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
            stream: stream & 0x7FFF_FFFF)
    }

    func write(to buffer: inout ByteBuffer) {
        buffer.writeMultipleIntegers(
            UInt32(self.length) << 8 | UInt32(self.type), self.flags, self.stream)
    }
}
