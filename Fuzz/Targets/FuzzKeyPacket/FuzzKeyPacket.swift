import FuzzDriver
import KeyProtocol
import NIOCore
import TLSWire

@main
enum FuzzKeyPacket {
    static func main() {
        runFuzzer { fuzz(UnsafeBufferPointer(start: $0, count: $1)) }
    }
}

/// The first byte chooses how the rest is cut into segments; the rest is what a connection received.
///
/// Whatever the bytes: no crash, the same packets for every cut, never more than one packet held back; what was decoded
/// can be encoded and decodes to the same; payloads that a function accepts are encoded to the same bytes.
private func fuzz(_ input: UnsafeBufferPointer<UInt8>) -> CInt {
    guard let choice: UInt8 = input.first else { return 0 }
    let bytes: [UInt8] = Array(input.dropFirst())

    let whole: Outcome = read(bytes, segment: max(bytes.count, 1))
    precondition(read(bytes, segment: 1 + Int(choice)) == whole, "the cut decides")
    precondition(read(bytes, segment: 1) == whole, "single bytes decide")

    for case .packet(let packet) in whole.events {
        checkRoundTrip(packet)
        checkPayload(packet.body.payload)
    }
    return 0
}

private struct Outcome: Equatable {
    var events: [KeyPacketEvent] = []
    var failure: KeyFramingError?
}

private func read(_ bytes: [UInt8], segment: Int) -> Outcome {
    var decoder = KeyPacketDecoder()
    var outcome = Outcome()
    for start in stride(from: 0, to: bytes.count, by: segment) {
        decoder.receive(ByteBuffer(bytes: bytes[start..<min(start + segment, bytes.count)]))
        do throws(KeyFramingError) {
            while let event: KeyPacketEvent = try decoder.next() {
                precondition(outcome.failure == nil, "a failure is final")
                outcome.events.append(event)
            }
            precondition(outcome.failure == nil, "a failure is repeated")
        } catch {
            precondition(outcome.failure == nil || outcome.failure == error, "a failure stays the same")
            outcome.failure = error
        }
        precondition(decoder.bufferedBytes < 8 + 65_536, "no more than one packet is held back")
    }
    return outcome
}

private func checkRoundTrip(_ packet: KeyPacket) {
    for padded in [false, true] {
        var bytes = ByteBuffer()
        guard (try? packet.encode(into: &bytes, padded: padded)) != nil else {
            preconditionFailure("what was decoded can be encoded")
        }
        var decoder = KeyPacketDecoder()
        decoder.receive(bytes)
        precondition((try? decoder.next()) == .packet(packet), "and decodes to the same")
        precondition(decoder.bufferedBytes == 0, "with nothing left over")
    }
    _ = packet.body.errorCode
}

private func checkPayload(_ payload: ByteBuffer) {
    if let request = try? SignTLS13Request(decoding: payload) {
        precondition(request.encoded() == payload)
    }
    if let request = try? LeaseRequest(decoding: payload) {
        precondition(request.encoded() == payload)
    }
    if let answer = try? LeaseAnswer(decoding: payload) {
        precondition(answer.encoded() == payload)
    }
    if let answer = try? CertificateAnswer(decoding: payload) {
        precondition((try? answer.encoded()) == payload)
    }
}
