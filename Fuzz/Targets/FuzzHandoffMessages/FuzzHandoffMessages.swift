import FuzzDriver
import KeyProtocol
import NIOCore

@main
enum FuzzHandoffMessages {
    static func main() {
        runFuzzer { fuzz(UnsafeBufferPointer(start: $0, count: $1)) }
    }
}

/// The first byte chooses the message; the rest is what the other side received as its payload.
///
/// Whatever the bytes: no crash, and what is accepted encodes to the same bytes.
private func fuzz(_ input: UnsafeBufferPointer<UInt8>) -> CInt {
    guard let choice: UInt8 = input.first else { return 0 }
    let payload = ByteBuffer(bytes: input.dropFirst())
    switch choice & 3 {
    case 0:
        if let begin = try? HandshakeBegin(decoding: payload) {
            precondition((try? begin.encoded()) == payload, "one request, one encoding")
            precondition(begin.clientBytes.readableBytes > 0 && !begin.applicationProtocols.isEmpty)
        }
    case 1:
        if let turn = try? HandshakeContinue(decoding: payload) {
            precondition((try? turn.encoded()) == payload, "one request, one encoding")
        }
    case 2:
        if let forget = try? HandshakeForget(decoding: payload) {
            precondition(forget.encoded() == payload, "one request, one encoding")
        }
    default:
        if let progress = try? HandshakeProgress(decoding: payload) {
            precondition((try? progress.encoded()) == payload, "one answer, one encoding")
        }
    }
    return 0
}
