import FuzzDriver
import NIOCore
import StreamWire

@main
enum FuzzStreamLink {
    static func main() {
        runFuzzer { fuzz(UnsafeBufferPointer(start: $0, count: $1)) }
    }
}

/// The first byte chooses how the rest is cut, and which end gets it (above 127: the opener, with two streams under way); the rest is what came over a link.
///
/// Whatever the bytes: no crash, the same frames for every cut, a frame is written as it was read; and one end never holds more for the peer, nor
/// owes it more frames, than its limits say.
private func fuzz(_ input: UnsafeBufferPointer<UInt8>) -> CInt {
    guard let choice: UInt8 = input.first else { return 0 }
    let bytes: [UInt8] = Array(input.dropFirst())
    let whole: Outcome = read(bytes, segment: max(bytes.count, 1))
    precondition(read(bytes, segment: 1 + Int(choice & 0x7F)) == whole, "the cut decides")
    precondition(read(bytes, segment: 1) == whole, "single bytes decide")
    for frame in whole.frames { checkRoundTrip(frame) }
    drive(whole.frames, isOpener: choice > 127)
    return 0
}

private struct Outcome: Equatable {
    var frames: [StreamFrame] = []
    var failure: StreamLinkError?
}

private func read(_ bytes: [UInt8], segment: Int) -> Outcome {
    var reader = StreamFrameReader()
    var outcome = Outcome()
    for start in stride(from: 0, to: bytes.count, by: segment) {
        reader.receive(ByteBuffer(bytes: bytes[start..<min(start + segment, bytes.count)]))
        do throws(StreamLinkError) {
            while let frame = try reader.next() {
                precondition(outcome.failure == nil, "a failure is final")
                outcome.frames.append(frame)
            }
            precondition(outcome.failure == nil, "a failure is repeated")
        } catch {
            precondition(outcome.failure == nil || outcome.failure == error, "a failure stays the same")
            outcome.failure = error
        }
        precondition(reader.bufferedBytes < StreamFrame.headerSize + StreamFrame.maximumBody, "one frame is held back")
    }
    return outcome
}

private func checkRoundTrip(_ frame: StreamFrame) {
    var bytes = ByteBuffer()
    frame.write(into: &bytes)
    var reader = StreamFrameReader()
    reader.receive(bytes)
    precondition((try? reader.next()) == frame && reader.bufferedBytes == 0, "what was read is written the same")
}

/// An owner that takes two streams of three, reads some of what there is now and then, and answers.
private func drive(_ frames: [StreamFrame], isOpener: Bool) {
    var limits = StreamMachine.Limits()
    limits.streams = 16
    limits.control = 64
    limits.growth = 1 << 17
    var machine = StreamMachine(role: isOpener ? .opener : .accepter, limits: limits)
    var unread: [StreamFrame.ID: Int] = [:]
    if isOpener { for _ in 0..<2 { _ = machine.open(introduction: ByteBuffer(string: "client")) } }
    var count = 0
    for frame in frames {
        count += 1
        let event: StreamMachine.Event?
        do throws(StreamLinkError) { event = try machine.receive(frame) } catch { break }
        switch event {
        case .opened(let id, _):
            if id % 3 == 0 { machine.reset(id, .busy) } else { machine.accept(id) }
        case .accepted(let id): machine.send(ByteBuffer(repeating: 1, count: 30_000), on: id)
        case .data(let id, let bytes):
            unread[id, default: 0] += bytes.readableBytes
            if count % 2 == 0 { read(&machine, &unread, id, part: count % 3) }
        case .ended(let id):
            if id % 2 == 0 { read(&machine, &unread, id, part: 0) }
            machine.send(ByteBuffer(string: "answer"), on: id)
            machine.end(id)
        // What came before a close is there to be read, and counts until it was.
        case .closed: break
        case .reset(let id, _): unread[id] = nil
        case .draining, .pong, nil: break
        }
        precondition(machine.streamCount <= limits.streams, "no more streams than are allowed")
        precondition(
            unread.values.reduce(0, +) <= limits.streams * limits.window + limits.growth,
            "no more is held than is allowed")
        if count % 5 == 0 {
            var output = ByteBuffer()
            machine.write(into: &output, upTo: 4096) { _, count in precondition(count > 0) }
            precondition(output.readableBytes <= 4096 + StreamFrame.headerSize * 2 + StreamFrame.maximumBody)
        }
    }
}

/// All of what is unread, or a half or a third of it.
private func read(
    _ machine: inout StreamMachine, _ unread: inout [StreamFrame.ID: Int], _ id: StreamFrame.ID, part: Int
) {
    let count = (unread[id] ?? 0) / (1 + part)
    machine.consumed(count, on: id)
    unread[id]? -= count
    if unread[id] == 0 { unread[id] = nil }
}
