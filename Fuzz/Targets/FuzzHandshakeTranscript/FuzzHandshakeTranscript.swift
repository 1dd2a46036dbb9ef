import CLibFuzzer
import NIOCore
import RecordLayer

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

@main
enum FuzzHandshakeTranscript {
    static func main() {
        var count: CInt = CommandLine.argc
        var arguments = CommandLine.unsafeArgv.withMemoryRebound(
            to: UnsafeMutablePointer<CChar>?.self, capacity: Int(count)
        ) { Optional($0) }
        exit(LLVMFuzzerRunDriver(&count, &arguments) { fuzz(UnsafeBufferPointer(start: $0, count: $1)) })
    }
}

/// A script of pieces: one byte for direction (lowest bit) and length (the others), then that many bytes; the client's
/// and the server's bytes of a handshake. The last bytes serve as secrets, too.
///
/// Whatever the bytes: no crash, the same facts and the same error for every cut, and never an expected Finished, since no
/// fuzzer finds a flight that opens.
private func fuzz(_ input: UnsafeBufferPointer<UInt8>) -> CInt {
    let whole: Outcome = read(input, inSingleBytes: false)
    let bytes = read(input, inSingleBytes: true)
    require(bytes == whole, "the cut decides: \(whole) \(bytes)")
    return 0
}

private struct Outcome: Equatable {
    var clientRandom: [UInt8]?
    var suite: RecordSuite?
    var hasHelloRetryRequest = false
    var error: HandshakeTranscriptError?
}

private func read(_ input: UnsafeBufferPointer<UInt8>, inSingleBytes: Bool) -> Outcome {
    var script: Slice<UnsafeBufferPointer<UInt8>> = input[...]
    var transcript = HandshakeTranscript(maximumBytes: 4096)
    var outcome = Outcome()
    do throws(HandshakeTranscriptError) {
        while let head: UInt8 = script.popFirst() {
            let piece: [UInt8] = Array(script.prefix(Int(head >> 1)))
            script = script.dropFirst(piece.count)
            for part in inSingleBytes ? piece.map({ [$0] }) : [piece] {
                if head & 1 == 0 {
                    try transcript.receive(ByteBuffer(bytes: part))
                } else {
                    try transcript.send(ByteBuffer(bytes: part))
                }
            }
        }
    } catch {
        outcome.error = error
    }
    outcome.clientRandom = transcript.clientRandom
    outcome.suite = transcript.suite
    outcome.hasHelloRetryRequest = transcript.hasHelloRetryRequest
    require(outcome.clientRandom.map { $0.count == 32 } ?? true)
    require((transcript.suite == nil) == (transcript.serverHello == nil))
    if outcome.error == nil {
        let secret = Secret([UInt8](repeating: input.last ?? 0, count: transcript.suite?.hash.length ?? 32))
        let finished = try? transcript.clientFinished(clientSecret: secret, serverSecret: secret)
        require(finished == nil, "a flight was forged")
    }
    return outcome
}

/// A precondition that says which one it was in a release build, too.
private func require(_ condition: Bool, _ message: @autoclosure () -> String = "an invariant") {
    guard condition else { fatalError(message()) }
}
