public import NIOCore
import TLSWire

/// Opens TLS 1.3 records one by one, with no session around them.
///
/// For a key holder, which has to read what its own TLS library sealed: the flight, whose messages belong to the transcript
/// that verify_data covers, and the tickets that it hands over in the clear.
///
/// It can't be copied: it is the one owner of its cipher's state.
public struct RecordReader: ~Copyable, Sendable {
    private var opener: RecordOpener

    /// A record's type and content, without padding.
    public struct Record: Sendable, Equatable {
        /// Raw, since it is whatever was protected.
        public var type: UInt8
        public var content: ByteBuffer
    }

    /// - Parameters:
    ///   - secret: the traffic secret of the side and epoch that the records are from.
    ///   - sequence: of the next record.
    /// - Throws: if the suite is not one of TLS 1.3, or the secret not as long as its hash.
    public init(suite: RecordSuite, secret: Secret, sequence: UInt64 = 0) throws(ExportedSessionError) {
        guard suite.version == .tls13 else { throw .wrongVersion }
        guard secret.count == suite.hash.length else { throw .secretLength }
        opener = RecordOpener(suite: suite, secret: secret, sequence: sequence)
    }

    /// Takes the next record off the bytes and opens it; nil, and nothing taken, if it isn't all there.
    ///
    /// - Throws: if the record is not a protected one, or is not authentic. It stays where it is.
    public mutating func next(_ bytes: inout ByteBuffer) throws(RecordError) -> Record? {
        guard let header = RecordHeader(in: bytes, at: bytes.readerIndex) else { return nil }
        guard header.contentType == ContentType.applicationData.rawValue else {
            throw .unexpectedContentType(header.contentType)
        }
        guard header.payloadLength <= opener.maximumPayloadLength else { throw .recordOverflow }
        guard bytes.readableBytes >= RecordHeader.length + header.payloadLength else { return nil }
        var content = ByteBuffer()
        let opened: RecordOpener.Opened = try opener.open(bytes, at: bytes.readerIndex, header: header, into: &content)
        bytes.moveReaderIndex(forwardBy: RecordHeader.length + header.payloadLength)
        content.moveWriterIndex(forwardBy: opened.length)
        return Record(type: opened.type, content: content)
    }
}
