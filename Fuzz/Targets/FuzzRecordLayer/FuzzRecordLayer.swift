import FuzzDriver
import NIOCore
import TLSWire

@testable import RecordLayer

@main
enum FuzzRecordLayer {
    static func main() {
        runFuzzer { fuzz(UnsafeBufferPointer(start: $0, count: $1)) }
    }
}

/// The first byte chooses suite and state, the second limits and where sequence numbers begin, the third how bytes are
/// cut; the rest is a script of what the client sends and what the caller asks for.
///
/// Whatever the script: no crash; only data that the client sealed is delivered, in its order, and none beyond a record
/// that was tampered with; none before a right Finished; nothing at all after the end; replies stay small; all that the
/// session writes opens in order at the client; and the cut changes nothing.
private func fuzz(_ input: UnsafeBufferPointer<UInt8>) -> CInt {
    guard input.count >= 3 else { return 0 }
    let whole: Outcome = Play(input).run(segment: 1 + Int(input[2]) * 16)
    require(Play(input).run(segment: nil) == whole, "the cut decides")
    return 0
}
