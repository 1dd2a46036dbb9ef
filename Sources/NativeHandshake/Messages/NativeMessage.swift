import NIOCore

/// The handshake's messages by their number: the first byte of a handshake record's body.
enum NativeMessageType: UInt8 {
    case hello = 1
    case certificateInformation = 2
    case proof = 3
    case keyGenerationInformation = 4
    case secondRandom = 5
    case finished = 6
}

/// A handshake message's coding: body only, without the type byte.
protocol NativeMessage {
    static var type: NativeMessageType { get }
    /// - Throws: ``NativeError/malformed(_:)``, also for bytes left over.
    init(body: inout ByteBuffer) throws(NativeError)
    func write(into body: inout ByteBuffer)
}

extension NativeMessage {
    /// The message in a record.
    func record() -> ByteBuffer {
        var record = ByteBuffer()
        record.writeInteger(NativeRecordType.handshake.rawValue)
        record.writeInteger(NativeNumbers.version)
        record.writeInteger(UInt16(0))
        record.writeInteger(Self.type.rawValue)
        self.write(into: &record)
        record.setInteger(UInt16(record.readableBytes - NativeNumbers.headerLength), at: 2)
        return record
    }

    /// Takes the message out of a frame.
    static func decode(_ frame: NativeFrame) throws(NativeError) -> Self {
        guard frame.type == .handshake else { throw .unexpectedMessage }
        var body: ByteBuffer = frame.body
        guard let type: UInt8 = body.readInteger() else { throw .malformed("empty message") }
        guard type == Self.type.rawValue else { throw .unexpectedMessage }
        let message = try Self(body: &body)
        guard body.readableBytes == 0 else { throw .malformed("bytes left over") }
        return message
    }
}

extension ByteBuffer {
    /// The next bytes.
    mutating func take(_ count: Int, _ field: String) throws(NativeError) -> [UInt8] {
        guard let bytes: [UInt8] = self.readBytes(length: count) else { throw .malformed(field) }
        return bytes
    }

    mutating func takeInteger<Integer: FixedWidthInteger>(
        _ field: String, as type: Integer.Type = Integer.self
    ) throws(NativeError) -> Integer {
        guard let value: Integer = self.readInteger() else { throw .malformed(field) }
        return value
    }

    /// The next bytes behind their length, whose own length is `Length`.
    mutating func takeVector<Length: FixedWidthInteger>(
        _ length: Length.Type, _ allowed: ClosedRange<Int>, _ field: String
    ) throws(NativeError) -> ByteBuffer {
        let count = Int(try self.takeInteger(field, as: length))
        guard allowed.contains(count), let slice: ByteBuffer = self.readSlice(length: count) else {
            throw .malformed(field)
        }
        return slice
    }
}
