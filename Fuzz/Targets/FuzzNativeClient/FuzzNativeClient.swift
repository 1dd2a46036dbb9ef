import Crypto
import FuzzDriver
import NIOCore
import TLSWire

@testable import NativeHandshake

@main
enum FuzzNativeClient {
    static func main() {
        runFuzzer { fuzz(UnsafeBufferPointer(start: $0, count: $1)) }
    }
}

private let key = P256.Signing.PrivateKey()

/// What somebody in the origin's place sends to a client. The first byte chooses the variant, how many records come from an
/// honest origin first, and whether the stream is the target instead; the rest is what comes then.
///
/// Whatever the bytes: no crash, an error has a reason, nobody is established by them, and no data comes out of a stream.
private func fuzz(_ input: UnsafeBufferPointer<UInt8>) -> CInt {
    guard let choice: UInt8 = input.first else { return 0 }
    let bytes = ByteBuffer(bytes: input.dropFirst())
    let variant: NativeVariant = choice & 1 == 0 ? .originDerived : .clientDerived
    do throws(NativeError) {
        if choice & 2 == 0 {
            try shake(bytes, variant, honest: Int(choice >> 2 & 7))
        } else {
            try stream(bytes)
        }
    } catch {
        precondition(!error.reason.isEmpty && !error.description.isEmpty)
        if let alert = error.alert { precondition(alert.record.readableBytes == 5) }
    }
    return 0
}

private func stream(_ bytes: ByteBuffer) throws(NativeError) {
    let schedule = NativeKeySchedule(.chaCha20Poly1305SHA256)
    var session = NativeSession(
        sealer: NativeSealer(schedule, secret: SymmetricKey(size: .bits256)),
        opener: NativeOpener(schedule, secret: SymmetricKey(size: .bits256)))
    var reader = NativeFrameReader(from: .origin)
    reader.receive(bytes)
    while let frame = try reader.next() {
        _ = try session.receive(frame)
        preconditionFailure("a forged record opened")
    }
}

private func shake(_ bytes: ByteBuffer, _ variant: NativeVariant, honest: Int) throws(NativeError) {
    guard let name = try? ServerName("www.example.test") else { preconditionFailure("the name") }
    var client = NativeClientMachine(variant: variant, serverName: name)
    var origin = NativeOriginMachine()
    var toOrigin: ByteBuffer = try client.start()
    var reader = NativeFrameReader(from: .origin)
    var left: Int = honest
    while left > 0, toOrigin.readableBytes > 0 {
        for frame in try records(play(&origin, toOrigin)) where left > 0 {
            left -= 1
            toOrigin = ByteBuffer()
            // The last honest record of all would establish; it is not sent.
            if frame.record.getInteger(at: 4, as: UInt8.self) == 6 { continue }
            try take(frame, &client, &toOrigin)
        }
    }
    reader.receive(bytes)
    while let frame = try reader.next() { try take(frame, &client, &toOrigin) }
}

private func records(_ bytes: ByteBuffer) throws(NativeError) -> [NativeFrame] {
    var reader = NativeFrameReader(from: .origin)
    reader.receive(bytes)
    var frames: [NativeFrame] = []
    while let frame = try reader.next() { frames.append(frame) }
    return frames
}

private func take(
    _ frame: NativeFrame, _ client: inout NativeClientMachine, _ output: inout ByteBuffer
) throws(NativeError) {
    switch try client.receive(frame) {
    case .wait: break
    case .verifyChain(let chain):
        precondition((1...NativeNumbers.maximumCertificates).contains(chain.count))
        let publicKey = try OriginPublicKey(subjectPublicKeyInfo: Array(key.publicKey.derRepresentation))
        if case .send(let bytes) = try client.chainVerified(publicKey) { output = bytes }
    case .send(let bytes): output = bytes
    case .established: preconditionFailure("established by chance")
    }
}

/// What an honest origin answers.
private func play(_ origin: inout NativeOriginMachine, _ input: ByteBuffer) throws(NativeError) -> ByteBuffer {
    var output = ByteBuffer()
    var reader = NativeFrameReader(from: .client)
    reader.receive(input)
    while origin.wantsFrame, let frame = try reader.next() {
        var action: NativeOriginMachine.Action? = try origin.receive(frame)
        while let present = action {
            switch present {
            case .wait: action = nil
            case .chooseSite: action = try origin.serve(try NativeOrigin(chain: [[1, 2, 3]], keyKind: .p256))
            case .sign(let content):
                guard let signature = try? key.signature(for: SHA256.hash(data: content)) else {
                    throw .internalFailure("signature")
                }
                action = try origin.signed(Array(signature.derRepresentation))
            case .decrypt: action = try origin.decrypted(nil)
            case .send(var bytes), .established(.some(var bytes), _):
                output.writeBuffer(&bytes)
                action = nil
            case .established(nil, _): action = nil
            }
        }
    }
    return output
}
