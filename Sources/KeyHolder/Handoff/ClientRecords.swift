import NIOCore
import TLSWire

/// What an edge may hand over of a client's bytes at each turn. ``ClientRecordsError`` says whose violation anything else is.
enum ClientRecords {
    /// The ClientHello in exactly these bytes: records of one whole message, and nothing else.
    static func hello(in bytes: ByteBuffer) throws(ClientRecordsError) -> ClientHello {
        var reader = ClientHelloReader(maximumBytes: max(1, bytes.readableBytes))
        guard case .hello(let hello) = reader.receive(bytes) else { throw .notOneHello }
        // The reader stops where the message ends: is that the end of the bytes, too?
        var payload: Int = 0
        var start: [UInt8] = []
        try self.forEach(in: bytes) { header, index in
            guard header.contentType == ContentType.handshake.rawValue else { return false }
            let missing: Int = min(4 - start.count, header.payloadLength)
            start += bytes.getBytes(at: index, length: missing) ?? []
            payload += header.payloadLength
            return header.payloadLength > 0
        }
        guard start.count == 4, payload == start[1...].reduce(0, { $0 << 8 | Int($1) }) + 4 else { throw .notOneHello }
        return hello
    }

    /// Checks the turns before the session is exported: whole records, none with data, and in TLS 1.2 no more than one
    /// behind the client's ChangeCipherSpec, which is its Finished. What follows that belongs to the session, and what the
    /// library answered to it would be protected with keys that are the edge's by then.
    struct Turns {
        private var hasChangedCipherSpec: Bool = false
        private var isComplete: Bool = false

        mutating func check(_ bytes: ByteBuffer, isTLS12: Bool) throws(ClientRecordsError) {
            try ClientRecords.forEach(in: bytes) { header, _ in
                guard !self.isComplete, let type = ContentType(rawValue: header.contentType), type != .applicationData
                else { return false }
                guard isTLS12 else { return true }
                if self.hasChangedCipherSpec {
                    guard type != .changeCipherSpec else { return false }
                    self.isComplete = true
                }
                if type == .changeCipherSpec { self.hasChangedCipherSpec = true }
                return true
            }
        }
    }

    /// - Parameter body: Gets each header and the index of the payload; says whether the record may stand there.
    private static func forEach(
        in bytes: ByteBuffer, _ body: (RecordHeader, Int) -> Bool
    ) throws(ClientRecordsError) {
        var index: Int = bytes.readerIndex
        while index < bytes.writerIndex {
            guard let header = RecordHeader(in: bytes, at: index) else { throw .partialRecord }
            let start: Int = index + RecordHeader.length
            guard header.payloadLength <= RecordHeader.maximumCiphertextLength else {
                throw .recordTooLong(header.payloadLength)
            }
            guard start + header.payloadLength <= bytes.writerIndex else { throw .partialRecord }
            guard body(header, start) else { throw .unexpectedRecord(header.contentType) }
            index = start + header.payloadLength
        }
    }
}

/// What is wrong with the bytes that an edge handed over.
enum ClientRecordsError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The edge's: it has read the hello before.
    case notOneHello
    /// The edge's: it cuts the records.
    case partialRecord
    /// The client's: an edge hands on records in the order in which they come.
    case recordTooLong(Int)
    case unexpectedRecord(UInt8)

    /// What the client is told of it; nil where it is the edge's.
    var alert: Alert.Description? {
        switch self {
        case .notOneHello, .partialRecord: nil
        case .recordTooLong: .recordOverflow
        case .unexpectedRecord: .unexpectedMessage
        }
    }

    var description: String {
        switch self {
        case .notOneHello: "not one whole ClientHello"
        case .partialRecord: "not whole records"
        case .recordTooLong(let length): "a record of \(length) bytes"
        case .unexpectedRecord(let type): "a record of type \(type) where none belongs"
        }
    }
}
