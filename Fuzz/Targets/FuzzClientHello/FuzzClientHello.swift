import FuzzDriver
import NIOCore
import TLSWire

@main
enum FuzzClientHello {
    static func main() {
        runFuzzer { fuzz(UnsafeBufferPointer(start: $0, count: $1)) }
    }
}

/// The first byte chooses the cap and how the rest is cut into segments; the rest is what a connection received.
///
/// Whatever the bytes: no crash, the same verdict for every cut, all bytes given back after a hello, none after a
/// rejection.
private func fuzz(_ input: UnsafeBufferPointer<UInt8>) -> CInt {
    guard let choice: UInt8 = input.first else { return 0 }
    let bytes: [UInt8] = Array(input.dropFirst())
    let cap: Int = choice & 1 == 0 ? 1 << 16 : 300
    let segment: Int = 1 + Int(choice >> 1)

    let whole: Outcome = read(bytes, segment: max(bytes.count, 1), cap: cap)
    precondition(read(bytes, segment: segment, cap: cap) == whole, "the cut decides")
    precondition(read(bytes, segment: 1, cap: cap) == whole, "single bytes decide")
    return 0
}

private struct Outcome: Equatable {
    var action: ClientHelloReader.Action
    var received: [UInt8]
}

private func read(_ bytes: [UInt8], segment: Int, cap: Int) -> Outcome {
    var reader = ClientHelloReader(maximumBytes: cap)
    var outcome = Outcome(action: .needMore, received: [])
    for start in stride(from: 0, to: bytes.count, by: segment) {
        let part = ByteBuffer(bytes: bytes[start..<min(start + segment, bytes.count)])
        let action: ClientHelloReader.Action = reader.receive(part)
        if outcome.action != .needMore { precondition(action == outcome.action, "a verdict is final") }
        outcome.action = action
    }
    outcome.received = Array(reader.takeReceivedBytes().readableBytesView)
    if case .reject(let rejection) = outcome.action {
        precondition(outcome.received.isEmpty, "nothing is kept after a rejection")
        precondition(!rejection.reason.isEmpty && !rejection.description.isEmpty)
        _ = rejection.alert
    } else {
        precondition(outcome.received == bytes, "every byte comes back")
    }
    if case .hello(let hello) = outcome.action {
        precondition(hello.random.count == 32 && !hello.cipherSuites.isEmpty && !hello.supportedVersions.isEmpty)
        if let name: ServerName = hello.serverName {
            precondition((try? ServerName(name.rawValue)) == name, "a name is its own normal form")
        }
    }
    return outcome
}
