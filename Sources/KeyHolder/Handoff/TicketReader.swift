import NIOCore
import RecordLayer
import TLSWire

/// Takes the session tickets out of what the TLS library wrote after a TLS 1.3 handshake.
///
/// The library holds them back until it has application data to write; what it is given is ``dummy``, which stays here.
struct TicketReader {
    static let dummy = ByteBuffer(bytes: [0])

    let suite: RecordSuite
    /// The server's application traffic secret, of the first generation.
    let secret: Secret

    /// The NewSessionTicket messages in the clear, one after another.
    ///
    /// - Parameter records: All that the library wrote after the client's Finished, ending with the dummy.
    /// - Throws: if there is anything else, or not all of it: the edge goes on from the same secret with the first record,
    ///   so only what it can do over may have been said.
    func tickets(in records: ByteBuffer) throws(HandoffFailure) -> ByteBuffer {
        do {
            var reader = try RecordReader(suite: self.suite, secret: self.secret)
            var records: ByteBuffer = records
            var messages = ByteBuffer()
            var hasDummy: Bool = false
            while let record = try reader.next(&records) {
                switch ContentType(rawValue: record.type) {
                case .handshake where !hasDummy:
                    messages.writeImmutableBuffer(record.content)
                case .applicationData where !hasDummy:
                    guard record.content == Self.dummy else { throw HandoffFailure.export("unexpected data") }
                    hasDummy = true
                default:
                    throw HandoffFailure.export("unexpected record behind the Finished")
                }
            }
            guard hasDummy, records.readableBytes == 0, Self.areTickets(messages) else {
                throw HandoffFailure.export("unexpected message behind the Finished")
            }
            return messages
        } catch let error as HandoffFailure {
            throw error
        } catch {
            throw .export("\(error)")
        }
    }

    private static func areTickets(_ messages: ByteBuffer) -> Bool {
        var messages: ByteBuffer = messages
        while let header: UInt32 = messages.readInteger() {
            guard header >> 24 == UInt32(HandshakeType.newSessionTicket.rawValue),
                messages.readSlice(length: Int(header & 0xFF_FFFF)) != nil
            else { return false }
        }
        return messages.readableBytes == 0
    }
}
