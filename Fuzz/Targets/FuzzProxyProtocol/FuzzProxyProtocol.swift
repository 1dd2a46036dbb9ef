import Admission
import FuzzDriver
import NIOCore

@main
enum FuzzProxyProtocol {
    static func main() {
        runFuzzer { fuzz(UnsafeBufferPointer(start: $0, count: $1)) }
    }
}

/// The input is what a connection begins with.
///
/// Whatever the bytes: no crash, the same verdict for every cut, nothing taken before the header is whole and nothing
/// behind it; what a header says can be written and read again.
private func fuzz(_ input: UnsafeBufferPointer<UInt8>) -> CInt {
    let bytes: [UInt8] = Array(input)
    let whole: Verdict = read(bytes)
    for length in 0...min(bytes.count, 300) {
        switch (read(Array(bytes.prefix(length))), whole) {
        case (.unfinished, _): break
        case (.refused, .refused): break
        case (.header(let outcome, let used), .header(let wholeOutcome, let wholeUsed)):
            precondition(outcome == wholeOutcome && used == wholeUsed, "the cut decides")
        default: preconditionFailure("a verdict is final")
        }
    }
    guard case .header(let outcome, let used) = whole else { return 0 }
    precondition(used <= ProxyProtocolReader.maximumBytes && used <= bytes.count)
    guard case .proxied(let header) = outcome else { return 0 }
    for version in [ProxyProtocolVersion.v1, .v2] {
        guard let written: ByteBuffer = header.encoded(version) else { preconditionFailure("what was read is written") }
        precondition(
            read(Array(written.readableBytesView)) == .header(outcome, used: written.readableBytes),
            "a header is what it says")
    }
    return 0
}

private enum Verdict: Equatable {
    case unfinished
    case refused
    case header(ProxyProtocolReader.Outcome, used: Int)
}

private func read(_ bytes: [UInt8]) -> Verdict {
    var buffer = ByteBuffer(bytes: bytes)
    do {
        guard let outcome: ProxyProtocolReader.Outcome = try ProxyProtocolReader.read(&buffer) else {
            precondition(buffer.readableBytes == bytes.count, "nothing is taken of an unfinished header")
            return .unfinished
        }
        return .header(outcome, used: bytes.count - buffer.readableBytes)
    } catch {
        return .refused
    }
}
