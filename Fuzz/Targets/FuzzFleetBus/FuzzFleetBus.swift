import Crypto
import FleetBus
import Foundation
import FuzzDriver
import NIOCore

@main
enum FuzzFleetBus {
    static func main() {
        runFuzzer { fuzz(UnsafeBufferPointer(start: $0, count: $1)) }
    }
}

/// The first byte chooses what the rest is: what a server sent, in some cut; or an entry, a report or a record.
///
/// Whatever the bytes: no crash; replies are the same for every cut, within their bounds, and a failure is final; an order that
/// nobody signed is never believed; what is read of a report or a record is encoded to the same bytes.
private func fuzz(_ input: UnsafeBufferPointer<UInt8>) -> CInt {
    guard let choice: UInt8 = input.first else { return 0 }
    let bytes: [UInt8] = Array(input.dropFirst())
    switch choice % 4 {
    case 0, 1:
        let whole: Outcome = read(bytes, segment: max(bytes.count, 1))
        precondition(read(bytes, segment: 1 + Int(choice)) == whole, "the cut decides")
        precondition(read(bytes, segment: 1) == whole, "single bytes decide")
        for value in whole.values { checkStream(value) }
    case 2: checkEntry(bytes)
    default:
        if let record = FollowRecord(encoded: bytes) { precondition(record.encoded == bytes, "one encoding") }
        checkReport(bytes)
    }
    return 0
}

private struct Outcome: Equatable {
    var values: [RESPValue] = []
    var failure: RESPError?

    static func == (left: Outcome, right: Outcome) -> Bool {
        // Doubles may be no numbers, which equal nothing.
        left.failure == right.failure && "\(left.values)" == "\(right.values)"
    }
}

private let limits: RESPLimits = {
    var limits = RESPLimits()
    limits.depth = 4
    limits.text = 512
    limits.values = 64
    limits.bytes = 1024
    limits.line = 128
    return limits
}()

private func read(_ bytes: [UInt8], segment: Int) -> Outcome {
    var decoder = RESPDecoder(limits: limits)
    var outcome = Outcome()
    for start in stride(from: 0, to: bytes.count, by: segment) {
        decoder.receive(ByteBuffer(bytes: bytes[start..<min(start + segment, bytes.count)]))
        do throws(RESPError) {
            while let value: RESPValue = try decoder.next() {
                precondition(outcome.failure == nil, "a failure is final")
                outcome.values.append(value)
            }
            precondition(outcome.failure == nil, "a failure is repeated")
        } catch {
            precondition(outcome.failure == nil || outcome.failure == error, "a failure stays the same")
            outcome.failure = error
        }
        precondition(decoder.bufferedBytes <= limits.text + limits.line + segment + 2, "little is held back")
    }
    return outcome
}

private func checkStream(_ value: RESPValue) {
    guard let entries = StreamEntry.read(value) ?? StreamEntry.list(value) else { return }
    for (entry, next) in zip(entries, entries.dropFirst()) { precondition(entry.id < next.id, "ids grow") }
    for entry in entries { precondition(StreamID("\(entry.id)") == entry.id, "an id is its text") }
}

private let key = Curve25519.Signing.PrivateKey()
private let signer = Signer(name: "ops", key: SignerKey(key), rights: .some(hosts: ["www.test"], tags: ["a*"]))

/// An order with the input as its targets, and the input as an order.
private func checkEntry(_ bytes: [UInt8]) {
    precondition(
        (try? PurgeEntry.open(bytes, fleet: "test", signers: [signer.key: signer])) == nil, "nobody signed this")
    guard let generation = Generation(Array(repeating: 1, count: 16)), let kind = bytes.first,
        let text = String(validating: bytes.dropFirst(), as: UTF8.self), !text.isEmpty, text.utf8.count < 16_384
    else { return }
    let target: FleetPurge.Target =
        switch kind % 4 {
        case 0: .url(text)
        case 1: .prefix(text)
        case 2: .host(text)
        default: .tag(text)
        }
    let order = PurgeEntry(
        fleet: "test", signer: signer.key, counter: 7, time: 8, generation: generation,
        purge: FleetPurge(targets: [target], isSoft: kind > 127))
    guard let signed = try? order.signed(by: key),
        let read = try? PurgeEntry.open(signed, fleet: "test", signers: [signer.key: signer])
    else { preconditionFailure("what was signed can be read") }
    precondition(read.0 == order, "and is the same")
    if signer.rights.allow(order.purge), kind % 4 < 3 {
        precondition(target.hostName == "www.test", "rights are those of the host")
    }
}

private func checkReport(_ bytes: [UInt8]) {
    guard let report = EdgeReport.open(bytes, verify: { _, _, _ in true }) else { return }
    if let heartbeat = EdgeHeartbeat(report) {
        // What a list computes with: nothing of it may overflow.
        _ = (
            heartbeat.hitRatio, report.time - heartbeat.busTime,
            heartbeat.certificates.map { $0.notAfter - report.time }
        )
    }
    guard let acknowledgement = EdgeAcknowledgement(report) else { return }
    precondition(EdgeAcknowledgement(acknowledgement.report) == acknowledgement, "one meaning")
}
