import Crypto
import FuzzDriver
import NIOCore
import TLSWire

@testable import NativeHandshake

@main
enum FuzzNativeOrigin {
    static func main() {
        runFuzzer { fuzz(UnsafeBufferPointer(start: $0, count: $1)) }
    }
}

/// What a hostile client sends to an origin. The first byte chooses what the key store answers and how the rest is cut into
/// segments; the rest is what the connection received.
///
/// Whatever the bytes: no crash, nobody is established (no input can guess a Finished), an error has a reason, and nothing
/// but alerts and the origin's own messages goes out.
private func fuzz(_ input: UnsafeBufferPointer<UInt8>) -> CInt {
    guard let choice: UInt8 = input.first else { return 0 }
    let bytes: [UInt8] = Array(input.dropFirst())
    let whole: NativeError? = play(bytes, segment: max(bytes.count, 1), choice)
    let cut: NativeError? = play(bytes, segment: 1 + Int(choice >> 3), choice)
    precondition(whole?.reason == cut?.reason, "the cut decides")
    return 0
}

private func play(_ bytes: [UInt8], segment: Int, _ choice: UInt8) -> NativeError? {
    let kind: NativeKeyKind = choice & 1 == 0 ? .p256 : .rsa
    var reader = NativeFrameReader(from: .client)
    var machine = NativeOriginMachine()
    do throws(NativeError) {
        for start in stride(from: 0, to: bytes.count, by: segment) {
            reader.receive(ByteBuffer(bytes: bytes[start..<min(start + segment, bytes.count)]))
            while machine.wantsFrame, let frame = try reader.next() {
                precondition(frame.record.readableBytes <= 4 + NativeNumbers.maximumProtectedBody)
                var action: NativeOriginMachine.Action? = try machine.receive(frame)
                while let present = action { action = try answer(present, &machine, kind, choice) }
            }
        }
    } catch {
        precondition(!error.reason.isEmpty && !error.description.isEmpty)
        if let alert = error.alert { precondition(alert.record.readableBytes == 5) }
        return error
    }
    _ = machine.takeSteps()
    return nil
}

private func answer(
    _ action: NativeOriginMachine.Action, _ machine: inout NativeOriginMachine, _ kind: NativeKeyKind, _ choice: UInt8
) throws(NativeError) -> NativeOriginMachine.Action? {
    switch action {
    case .wait: return nil
    case .chooseSite(let hello):
        precondition(hello.nonce.count == 32 && (try? ServerName(hello.serverName.rawValue)) == hello.serverName)
        return try machine.serve(try NativeOrigin(chain: [[1, 2, 3]], keyKind: kind))
    case .sign(let content):
        precondition(content.starts(with: [UInt8](repeating: 0x20, count: 64)))
        return try machine.signed([UInt8](repeating: 9, count: 64))
    case .decrypt:
        switch choice >> 1 & 3 {
        case 0: return try machine.decrypted(nil)
        case 1: return try machine.decrypted([])
        case 2: return try machine.decrypted([UInt8](repeating: 5, count: 32))
        default: return try machine.decrypted([UInt8](repeating: 5, count: 64))
        }
    case .send(let output):
        precondition(output.readableBytes > 0)
        return nil
    case .established: preconditionFailure("established by chance")
    }
}
