import FuzzDriver
import NIOCore
import RecordLayer

@main
enum FuzzExportedSession {
    static func main() {
        runFuzzer { fuzz(UnsafeBufferPointer(start: $0, count: $1)) }
    }
}

/// The input is what an edge received as a session.
///
/// Whatever the bytes: no crash; what is accepted encodes to the same bytes, and makes a session that takes records.
private func fuzz(_ input: UnsafeBufferPointer<UInt8>) -> CInt {
    let bytes = ByteBuffer(bytes: input)
    guard let exported = try? ExportedSession(decoding: bytes) else { return 0 }
    var encoded = ByteBuffer()
    exported.encode(into: &encoded)
    precondition(encoded == bytes, "one session, one encoding")
    precondition(encoded.readableBytes <= ExportedSession.maximumEncodedLength)
    var session = RecordSession(exported)
    // A record of zeros is never authentic.
    let reception: Reception = session.receive(ByteBuffer(bytes: [23, 3, 3, 0, 32] + [UInt8](repeating: 0, count: 32)))
    precondition(reception.applicationData == nil && !reception.handshakeCompleted)
    return 0
}
