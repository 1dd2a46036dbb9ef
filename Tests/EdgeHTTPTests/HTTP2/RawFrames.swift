import NIOCore
import NIOHPACK
import TestWire

/// Frames as bytes, for what a library would not send.
enum RawFrames {
    static let preface = ByteBuffer(string: "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")

    enum Kind: UInt8 {
        case data = 0, headers, priority, reset, settings, pushPromise, ping, goAway, windowUpdate, continuation
    }

    static let endStream: UInt8 = 0x1
    static let acknowledge: UInt8 = 0x1
    static let endHeaders: UInt8 = 0x4

    static func frame(_ kind: Kind, flags: UInt8 = 0, stream: UInt32 = 0, _ payload: [UInt8] = []) -> ByteBuffer {
        var buffer = ByteBuffer()
        buffer.writeInteger(UInt32(payload.count) << 8 | UInt32(kind.rawValue))
        buffer.writeInteger(flags)
        buffer.writeInteger(stream)
        buffer.writeBytes(payload)
        return buffer
    }

    /// The fields as literals that touch no table, so that every block stands for itself.
    static func block(_ fields: [(String, String)]) -> [UInt8] {
        var bytes: [UInt8] = []
        for (name, value) in fields {
            bytes.append(0x00)
            for text in [name, value] {
                var length = text.utf8.count
                if length < 127 {
                    bytes.append(UInt8(length))
                } else {
                    bytes.append(127)
                    length -= 127
                    while length >= 128 {
                        bytes.append(UInt8(length & 0x7F) | 0x80)
                        length >>= 7
                    }
                    bytes.append(UInt8(length))
                }
                bytes.append(contentsOf: text.utf8)
            }
        }
        return bytes
    }

    static func get(_ path: String = "/", _ fields: [(String, String)] = []) -> [UInt8] {
        self.block(
            [(":method", "GET"), (":scheme", "https"), (":path", path), (":authority", ProxyBench.host)] + fields)
    }

    struct Frame {
        var kind: Kind?
        var flags: UInt8
        var stream: UInt32
        var payload: ByteBuffer

        /// Of HEADERS.
        var status: String? {
            get throws {
                var decoder = HPACKDecoder(allocator: ByteBufferAllocator())
                var block = self.payload
                return try decoder.decodeHeaders(from: &block).first(name: ":status")
            }
        }

        /// Of RST_STREAM and GOAWAY.
        var errorCode: UInt32? {
            switch self.kind {
            case .reset: self.payload.getInteger(at: self.payload.readerIndex)
            case .goAway: self.payload.getInteger(at: self.payload.readerIndex + 4)
            default: nil
            }
        }
    }
}

extension Wire {
    func readFrame() async throws -> RawFrames.Frame {
        var head = try await self.read(9)
        let lengthAndKind = head.readInteger(as: UInt32.self) ?? 0
        let flags = head.readInteger(as: UInt8.self) ?? 0
        let stream = head.readInteger(as: UInt32.self) ?? 0
        let payload = try await self.read(Int(lengthAndKind >> 8))
        return RawFrames.Frame(
            kind: RawFrames.Kind(rawValue: UInt8(lengthAndKind & 0xFF)), flags: flags, stream: stream, payload: payload)
    }

    /// Reads until a frame of this kind comes.
    func readFrame(_ kind: RawFrames.Kind) async throws -> RawFrames.Frame {
        while true {
            let frame = try await self.readFrame()
            if frame.kind == kind { return frame }
        }
    }

    /// Preface and settings of both sides.
    func beginHTTP2(acknowledging: Bool = true) async throws {
        try await self.send(RawFrames.preface)
        try await self.send(RawFrames.frame(.settings))
        _ = try await self.readFrame(.settings)
        if acknowledging { try await self.send(RawFrames.frame(.settings, flags: RawFrames.acknowledge)) }
    }
}
