import NIOCore
import TLSWire

/// One flight of the client's that the key holder is to hear: gathers whole records until nothing can be missing that the
/// key holder needs to go on.
///
/// Sent whole, so that a client that sends single bytes costs one request and not one each.
struct ClientFlight {
    enum Kind: Equatable {
        /// The first ClientHello, which was parsed already.
        case hello
        /// After a HelloRetryRequest: the second ClientHello, maybe behind a ChangeCipherSpec and refused early data.
        case secondHello(skippingEarlyData: Bool)
        /// TLS 1.2: up to the first handshake record behind the ChangeCipherSpec, which is the Finished.
        case tls12
    }

    enum Progress: Equatable {
        case needsMore
        /// These bytes, records and nothing else, are what the key holder is to hear now.
        case complete(ByteBuffer)
        case failed(TerminationFailure)
    }

    let kind: Kind
    private var bytes = ByteBuffer()
    /// The handshake message in the clear: its first four bytes, then how many of its bytes are missing.
    private var header: UInt32 = 0
    private var headerBytes = 0
    private var missing = 0
    private(set) var changedCipher: Bool
    private var earlyData = 0

    /// As many bytes of refused early data as the record layer would skip (``RecordLimits``): two full records.
    private static let earlyDataLimit = 2 * (RecordHeader.length + (1 << 14) + 256)

    /// - Parameter changedCipher: TLS 1.2: whether the client's ChangeCipherSpec came in an earlier flight.
    init(_ kind: Kind, changedCipher: Bool = false) {
        self.kind = kind
        self.changedCipher = changedCipher
    }

    /// Takes whole records off the input until the flight is complete. What follows stays.
    mutating func gather(_ input: inout ByteBuffer) -> Progress {
        while true {
            guard let header = RecordHeader(in: input, at: input.readerIndex) else { return .needsMore }
            if let failure = self.judge(header) { return .failed(failure) }
            let length = RecordHeader.length + header.payloadLength
            guard let record = input.readSlice(length: length) else { return .needsMore }
            if header.contentType == ContentType.applicationData.rawValue {
                self.earlyData += length
                guard self.earlyData <= Self.earlyDataLimit else { return .failed(.tooMuchEarlyData) }
                continue
            }
            if header.contentType == ContentType.changeCipherSpec.rawValue, record.readableBytesView.last != 1 {
                return .failed(.unexpectedRecord(header.contentType))
            }
            let isComplete = self.completes(header, record)
            if isComplete, self.bytes.readableBytes == 0 { return .complete(record) }
            self.bytes.writeImmutableBuffer(record)
            if isComplete { return .complete(self.bytes) }
        }
    }

    /// From its header alone, so that nothing is kept for a record that will be refused.
    private func judge(_ header: RecordHeader) -> TerminationFailure? {
        let limit = self.changedCipher ? RecordHeader.maximumCiphertextLength : RecordHeader.maximumPlaintextLength
        switch (ContentType(rawValue: header.contentType), self.kind) {
        case (.changeCipherSpec, _) where self.changedCipher || header.payloadLength != 1:
            return .unexpectedRecord(header.contentType)
        case (.handshake, _), (.alert, _), (.changeCipherSpec, _):
            guard header.payloadLength <= limit else { return .recordTooLong(header.payloadLength) }
            let bytes = self.bytes.readableBytes + RecordHeader.length + header.payloadLength
            return bytes > HandoffLimits.flightBytes ? .flightTooLarge(bytes) : nil
        case (.applicationData, .secondHello(skippingEarlyData: true)):
            let limit = RecordHeader.maximumPlaintextLength + 256
            return header.payloadLength > limit ? .recordTooLong(header.payloadLength) : nil
        default:
            return .unexpectedRecord(header.contentType)
        }
    }

    private mutating func completes(_ header: RecordHeader, _ record: ByteBuffer) -> Bool {
        switch ContentType(rawValue: header.contentType) {
        case .handshake where self.kind == .tls12: return self.changedCipher
        case .handshake: return self.completesMessage(record)
        case .changeCipherSpec:
            self.changedCipher = self.changedCipher || self.kind == .tls12
            return false
        // The key holder has to judge it, and a fatal one is all that will come.
        default: return true
        }
    }

    /// Whether the message that began in this record or before ends in it.
    private mutating func completesMessage(_ record: ByteBuffer) -> Bool {
        var payload: ByteBuffer = record
        payload.moveReaderIndex(forwardBy: RecordHeader.length)
        while self.headerBytes < 4 {
            guard let byte: UInt8 = payload.readInteger() else { return false }
            self.header = self.header << 8 | UInt32(byte)
            self.headerBytes += 1
            self.missing = Int(self.header & 0xFF_FFFF)
        }
        self.missing -= payload.readableBytes
        return self.missing <= 0
    }
}
