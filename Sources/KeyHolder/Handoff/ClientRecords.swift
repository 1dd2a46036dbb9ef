import NIOCore
import TLSWire

/// What an edge may hand over of a client's bytes at each turn. Whatever else it hands over is the edge's violation: a
/// client's own are the TLS library's to answer.
enum ClientRecords {
    /// The ClientHello in exactly these bytes: records of one whole message, and nothing else.
    static func hello(in bytes: ByteBuffer) throws(ClientRecordsError) -> ClientHello {
        var reader = ClientHelloReader(maximumBytes: max(1, bytes.readableBytes))
        guard case .hello(let hello) = reader.receive(bytes) else { throw .notOneHello }
        // The reader stops where the message ends.
        var payload: Int = 0
        var length: Int?
        try self.forEach(in: bytes) { header, start in
            guard header.contentType == ContentType.handshake.rawValue else { return false }
            if length == nil, let first: UInt32 = bytes.getInteger(at: start) { length = 4 + Int(first & 0xFF_FFFF) }
            payload += header.payloadLength
            return true
        }
        // A length in more than one record is no client's way to write a hello.
        guard payload == length else { throw .notOneHello }
        return hello
    }

    /// Checks a turn before the session is exported: whole records, none with data.
    static func checkTurn(_ bytes: ByteBuffer) throws(ClientRecordsError) {
        try self.forEach(in: bytes) { header, _ in
            header.contentType >= ContentType.changeCipherSpec.rawValue
                && header.contentType <= ContentType.handshake.rawValue
        }
    }

    /// Takes the next whole record, header included, off the front.
    static func next(_ bytes: inout ByteBuffer) -> ByteBuffer? {
        guard let header = RecordHeader(in: bytes, at: bytes.readerIndex),
            header.payloadLength <= RecordHeader.maximumCiphertextLength
        else { return nil }
        return bytes.readSlice(length: RecordHeader.length + header.payloadLength)
    }

    /// - Parameter body: Gets each header and the index of the payload; says whether the record may stand there.
    private static func forEach(
        in bytes: ByteBuffer, _ body: (RecordHeader, Int) -> Bool
    ) throws(ClientRecordsError) {
        var index: Int = bytes.readerIndex
        while index < bytes.writerIndex {
            guard let header = RecordHeader(in: bytes, at: index) else { throw .partialRecord }
            let start: Int = index + RecordHeader.length
            guard header.payloadLength <= RecordHeader.maximumCiphertextLength,
                start + header.payloadLength <= bytes.writerIndex
            else { throw .partialRecord }
            guard body(header, start) else { throw .unexpectedRecord(header.contentType) }
            index = start + header.payloadLength
        }
    }
}

/// What is wrong with the bytes that an edge handed over.
enum ClientRecordsError: Error, Equatable, Sendable, CustomStringConvertible {
    case notOneHello
    case partialRecord
    case unexpectedRecord(UInt8)

    var description: String {
        switch self {
        case .notOneHello: "not one whole ClientHello"
        case .partialRecord: "not whole records"
        case .unexpectedRecord(let type): "a record of type \(type)"
        }
    }
}
