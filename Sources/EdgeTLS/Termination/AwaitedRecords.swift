import NIOCore
import RecordLayer
import TLSWire

/// A session whose client's Finished is still to come is given one record at a time, so that nothing beyond the Finished is opened
/// before there is a handler to take it.
extension RecordSession {
    /// Takes the next record off the input: what came of it. Nil if it is not all there.
    mutating func receiveRecord(from input: inout ByteBuffer) -> Reception? {
        guard let header = RecordHeader(in: input, at: input.readerIndex) else { return nil }
        let length = RecordHeader.length + header.payloadLength
        // A header that the session will refuse need not wait for its record.
        let isTooLong = header.payloadLength > RecordHeader.maximumPlaintextLength + 256
        guard isTooLong || input.readableBytes >= length,
            let record = input.readSlice(length: min(length, input.readableBytes))
        else { return nil }
        return self.receive(record)
    }
}

extension Reception {
    /// Why a handshake ends here, where its Finished was expected.
    var failure: TerminationFailure? {
        switch self.end {
        case nil: nil
        case .failed(let error): .records(error)
        case .alert(let code): .alert(code)
        case .closed: .closedEarly
        }
    }
}
