import KeyProtocol
import NIOCore
import NIOEmbedded
import NIOSSL
import PeerLink
import RecordLayer
import TLSWire
import TestSockets
import Testing

@testable import EdgeTLS

/// The machine of a keyless handshake, with the TLS engine in it and a client of swift-nio-ssl at the other end.
@Suite struct KeylessHandshakeTests {
    private static func failure(_ step: KeylessHandshake.Step) -> TerminationFailure? {
        if case .failed(let failure) = step.next { failure } else { nil }
    }

    private static func request(_ step: KeylessHandshake.Step, ski number: UInt8 = 7) throws -> SignTLS13Request {
        guard case .sign(let request, let ski) = step.next else {
            Issue.record("unexpected \(step)")
            throw CancellationError()
        }
        #expect(ski == [UInt8](repeating: number, count: 20))
        #expect(step.write == nil)
        return request
    }

    /// With the flight written; returns what the client answers to it.
    private static func shake(
        _ machine: inout KeylessHandshake, _ peers: KeylessPeers
    ) throws -> ByteBuffer {
        let request = try Self.request(machine.received(try peers.fromClient()))
        let step = machine.signed(try peers.sign(request))
        #expect(step.next == .read)
        return try peers.answer(to: step.write)
    }

    /// Data both ways.
    private static func exchange(
        _ machine: inout KeylessHandshake, _ step: KeylessHandshake.Step, _ peers: KeylessPeers,
        tickets: Bool = true, location: SourceLocation = #_sourceLocation
    ) throws {
        guard case .established(let established) = step.next else {
            Issue.record("unexpected \(step)", sourceLocation: location)
            return
        }
        #expect((established.tickets.readableBytes > 0) == tickets, sourceLocation: location)
        var session = machine.takeSession()
        #expect(session?.applicationProtocol == Array("http/1.1".utf8), sourceLocation: location)
        try peers.client.writeOutbound(ByteBuffer(string: "ping"))
        let ping = session?.receive(established.received + (try peers.fromClient()))
        #expect(ping?.applicationData == ByteBuffer(string: "ping"), sourceLocation: location)
        if established.tickets.readableBytes > 0, let sealed = try session?.sendPostHandshake(established.tickets) {
            _ = try peers.answer(to: sealed)
        }
        if let sealed = try session?.send(ByteBuffer(string: "pong")) { try peers.client.writeInbound(sealed) }
        let pong: ByteBuffer? = try peers.client.readInbound()
        #expect(pong == ByteBuffer(string: "pong"), sourceLocation: location)
    }

    private static let badRecord = TerminationFailure.refused("decryption failed or bad record mac")

    // MARK: What goes well

    @Test(arguments: [1, 7, 100, 1000]) func inAnySplit(size: Int) throws {
        let peers = try KeylessPeers()
        defer { peers.close() }
        var machine = try peers.machine()
        /// Feeds all but the last part, and gives that back.
        func feed(_ bytes: ByteBuffer, _ machine: inout KeylessHandshake) -> ByteBuffer {
            var bytes = bytes
            while bytes.readableBytes > size, let part = bytes.readSlice(length: size) {
                #expect(machine.received(part) == .init(next: .read))
            }
            return bytes
        }
        let request = try Self.request(machine.received(feed(try peers.fromClient(), &machine)))
        let flight = machine.signed(try peers.sign(request))
        #expect(flight.next == .read)
        let last = feed(try peers.answer(to: flight.write), &machine)
        try Self.exchange(&machine, machine.received(last), peers)
    }

    @Test func withoutTickets() throws {
        let peers = try KeylessPeers(ticketLifetime: .zero)
        defer { peers.close() }
        var machine = try peers.machine()
        let answer = try Self.shake(&machine, peers)
        try Self.exchange(&machine, machine.received(answer), peers, tickets: false)
    }

    /// A request that comes with the Finished is the session's, not the engine's.
    @Test func whatFollowsTheFinishedIsLeft() throws {
        let peers = try KeylessPeers()
        defer { peers.close() }
        var machine = try peers.machine()
        let answer = try Self.shake(&machine, peers)
        try peers.client.writeOutbound(ByteBuffer(string: "GET"))
        let get = try peers.fromClient()
        let step = machine.received(answer + get)
        guard case .established(let established) = step.next else {
            Issue.record("unexpected \(step)")
            return
        }
        #expect(established.received == get)
        var session = machine.takeSession()
        let reception = session?.receive(established.received)
        #expect(reception?.applicationData == ByteBuffer(string: "GET"))
        let again = machine.takeSession() == nil
        #expect(again)
    }

    /// A client whose first key share is of no use is asked for another one, and the key holder for no signature until it has come.
    @Test func aHelloRetryRequest() throws {
        let peers = try KeylessPeers { $0.curves = [.secp521r1, .x25519] }
        defer { peers.close() }
        var machine = try peers.machine()
        let retry = machine.received(try peers.fromClient())
        #expect(retry.next == .read)
        #expect(retry.write?.recordTypes.first == 22)
        let request = try Self.request(machine.received(try peers.answer(to: retry.write)))
        let flight = machine.signed(try peers.sign(request))
        try Self.exchange(&machine, machine.received(try peers.answer(to: flight.write)), peers)
    }

    // MARK: The key holder

    /// The alert is protected with keys that the client has when it has read the ServerHello.
    @Test func withoutASignatureTheClientIsTold() throws {
        let failures: [TerminationFailure] = [
            .keyHolder(.timedOut), .keyHolder(.notConnected), .keyHolder(.refused(.keyNotFound)),
            .turnedAway(.waitedInVain),
        ]
        for failure in failures {
            let peers = try KeylessPeers()
            defer { peers.close() }
            var machine = try peers.machine()
            _ = try Self.request(machine.received(try peers.fromClient()))
            let step = machine.notSigned(failure)
            #expect(Self.failure(step) == failure)
            #expect(step.write?.recordTypes.first == 22)
            let error = try peers.complaint(about: step.write).error
            #expect(error.contains("INTERNAL_ERROR"), "\(error)")
            let isOver = machine.isOver
            #expect(isOver)
        }
    }

    @Test func aSecondAnswerChangesNothing() throws {
        let peers = try KeylessPeers()
        defer { peers.close() }
        var machine = try peers.machine()
        let request = try Self.request(machine.received(try peers.fromClient()))
        let flight = machine.signed(try peers.sign(request))
        #expect(machine.signed(try peers.sign(request)) == .init(next: .wait))
        #expect(machine.notSigned(.keyHolder(.timedOut)) == .init(next: .wait))
        let answer = try peers.answer(to: flight.write)
        let step = machine.received(answer)
        #expect(machine.signed(try peers.sign(request)) == .init(next: .wait))
        try Self.exchange(&machine, step, peers)
    }

    /// In the middle of a handshake the key holder turns out to have another certificate: the client gets that one, and notices nothing.
    @Test func anotherCertificateWhileItIsAsked() throws {
        let peers = try KeylessPeers()
        defer { peers.close() }
        var machine = try peers.machine()
        let first = try Self.request(machine.received(try peers.fromClient()))
        try peers.renew()
        let may = machine.mayStartOver
        #expect(may)
        var last = try Self.request(machine.startOver(with: peers.certificate), ski: 8)
        #expect(last.transcriptHash != first.transcriptHash)
        // Keys may be replaced again before a busy machine gets to the handshake, and there is an end to it.
        for _ in 1..<KeylessHandshake.maximumStartsOver {
            let mayAgain = machine.mayStartOver
            #expect(mayAgain)
            try peers.renew()
            let before = last
            last = try Self.request(machine.startOver(with: peers.certificate), ski: 8)
            #expect(last.transcriptHash != before.transcriptHash)
        }
        let mayAgain = machine.mayStartOver
        #expect(!mayAgain)
        let flight = machine.signed(try peers.sign(last))
        try Self.exchange(&machine, machine.received(try peers.answer(to: flight.write)), peers)
    }

    /// The same certificate at another address: the same signature is asked for again. What came meanwhile still waits.
    @Test func theSameCertificateAtAnotherAddress() throws {
        let peers = try KeylessPeers()
        defer { peers.close() }
        var machine = try peers.machine()
        let first = try Self.request(machine.received(try peers.fromClient()))
        #expect(machine.received(.record(23, [UInt8](repeating: 0, count: 40))) == .init(next: .wait))
        let second = try Self.request(machine.startOver(with: peers.certificate))
        #expect(second == first)
        #expect(Self.failure(machine.signed(try peers.sign(second))) == Self.badRecord)
    }

    /// What the client has been sent can't be taken back.
    @Test func behindAHelloRetryRequestThereIsNoOtherBeginning() throws {
        let peers = try KeylessPeers { $0.curves = [.secp521r1, .x25519] }
        defer { peers.close() }
        var machine = try peers.machine()
        let retry = machine.received(try peers.fromClient())
        _ = try Self.request(machine.received(try peers.answer(to: retry.write)))
        let may = machine.mayStartOver
        #expect(!may)
    }

    @Test func aSignatureThatComesAfterTheClientHasLeft() throws {
        let peers = try KeylessPeers()
        defer { peers.close() }
        var machine = try peers.machine()
        let request = try Self.request(machine.received(try peers.fromClient()))
        machine.abandon()
        #expect(machine.signed(try peers.sign(request)) == .init(next: .wait))
        #expect(machine.notSigned(.keyHolder(.timedOut)) == .init(next: .wait))
    }

    /// The client finds out, and the log names the key holder.
    @Test func theSignatureOfAnotherKey() throws {
        let peers = try KeylessPeers()
        defer { peers.close() }
        var machine = try peers.machine()
        let request = try Self.request(machine.received(try peers.fromClient()))
        let flight = machine.signed(try KeylessPeers.signWithAnotherKey(request))
        let complaint = try peers.complaint(about: flight.write)
        #expect(complaint.error.contains("BAD_SIGNATURE"), "\(complaint.error)")
        let step = machine.received(complaint.sent)
        #expect(step == .init(next: .failed(.wrongSignature)))
        #expect(TerminationFailure.wrongSignature.isOurs && TerminationFailure.wrongSignature.meansOutdated)
    }

    /// A client that says so of a good signature is not believed.
    @Test func aClientThatOnlySaysSo() throws {
        let peers = try KeylessPeers()
        defer { peers.close() }
        var machine = try peers.machine()
        _ = try Self.shake(&machine, peers)
        let step = machine.received(.record(21, [2, Alert.Description.decryptError.rawValue]))
        #expect(step == .init(next: .failed(.alert(Alert.Description.decryptError.rawValue))))
    }

    @Test func aSignatureThatCanBeNone() throws {
        for signature in [[UInt8](), [UInt8](repeating: 1, count: 70_000)] {
            let peers = try KeylessPeers()
            defer { peers.close() }
            var machine = try peers.machine()
            _ = try Self.request(machine.received(try peers.fromClient()))
            let step = machine.signed(signature)
            if let failure = Self.failure(step) {
                #expect(failure.isOurs, "\(failure)")
                #expect(try peers.complaint(about: step.write).error.contains("INTERNAL_ERROR"))
            } else {
                // Short ones go to the client, which judges them.
                #expect(signature.isEmpty)
                #expect(machine.received(try peers.complaint(about: step.write).sent).next == .failed(.wrongSignature))
            }
        }
    }

    // MARK: The client

    private static func alert(_ step: KeylessHandshake.Step) -> UInt8? {
        guard let write = step.write, write.readableBytes == 7 else { return nil }
        return write.readableBytesView.last
    }

    @Test func garbageInTheFirstPlace() throws {
        let cases: [(ByteBuffer, Alert.Description)] = [
            (.record(99, [1]), .unexpectedMessage),
            (.record(23, [1, 2, 3]), .unexpectedMessage),
            (.record(22, [2, 0, 0, 0]), .unexpectedMessage),
            (.record(22, [1, 0, 0, 2, 3, 3]), .decodeError),
        ]
        for (bytes, alert) in cases {
            let peers = try KeylessPeers()
            defer { peers.close() }
            var machine = try peers.machine()
            let step = machine.received(bytes)
            #expect(Self.alert(step) == alert.rawValue, "\(step)")
            #expect(Self.failure(step)?.isOurs == false, "\(step)")
            #expect(machine.received(bytes) == .init(next: .wait))
        }
    }

    /// What comes while the key holder works waits, and there is a bound to it.
    @Test func garbageWhileTheKeyHolderWorks() throws {
        let peers = try KeylessPeers()
        defer { peers.close() }
        var machine = try peers.machine()
        let request = try Self.request(machine.received(try peers.fromClient()))
        #expect(machine.received(.record(23, [UInt8](repeating: 0, count: 40))) == .init(next: .wait))
        let step = machine.signed(try peers.sign(request))
        #expect(Self.failure(step) == Self.badRecord)
        // The flight goes first, so that the client can read the alert.
        #expect(step.write?.recordTypes.starts(with: [22, 20, 23]) == true)
        let error = try peers.complaint(about: step.write).error
        #expect(error.contains("BAD_RECORD_MAC"), "\(error)")

        let other = try KeylessPeers()
        defer { other.close() }
        var flooded = try other.machine()
        _ = try Self.request(flooded.received(try other.fromClient()))
        let record: ByteBuffer = .record(23, [UInt8](repeating: 0, count: 16_384))
        var steps = 0
        while true {
            let step = flooded.received(record)
            guard step.next == .wait else {
                guard case .flightTooLarge? = Self.failure(step) else {
                    Issue.record("unexpected \(step)")
                    return
                }
                break
            }
            steps += 1
        }
        #expect(steps == HeldInput.maximumBytes / record.readableBytes)
    }

    /// Nothing of the session is had without it, whatever else the client sends.
    @Test func aForgedFinished() throws {
        for place in [5, 30, 57] {
            let peers = try KeylessPeers()
            defer { peers.close() }
            var machine = try peers.machine()
            var answer = try Self.shake(&machine, peers)
            // Behind a ChangeCipherSpec.
            let start = try #require(answer.recordTypes == [20, 23] ? 6 : nil)
            let byte: UInt8 = try #require(answer.getInteger(at: answer.readerIndex + start + place))
            answer.setInteger(byte ^ 1, at: answer.readerIndex + start + place)
            let step = machine.received(answer)
            #expect(Self.failure(step) == Self.badRecord, "\(step)")
            let session = machine.takeSession() == nil
            #expect(session)
        }
    }

    @Test func garbageInPlaceOfTheFinished() throws {
        let cases: [(ByteBuffer, String)] = [
            (.record(23, [UInt8](repeating: 0, count: 60)), "BAD_RECORD_MAC"),
            (.record(22, [20, 0, 0, 0]), "UNEXPECTED_MESSAGE"),
            (.record(23, [UInt8](repeating: 0, count: 17_000)).prefix(5), "RECORD_OVERFLOW"),
        ]
        for (bytes, name) in cases {
            let peers = try KeylessPeers()
            defer { peers.close() }
            var machine = try peers.machine()
            _ = try Self.shake(&machine, peers)
            let step = machine.received(bytes)
            guard case .refused? = Self.failure(step) else {
                Issue.record("unexpected \(step)")
                continue
            }
            let complaint = try peers.complaint(about: step.write).error
            #expect(complaint.contains(name), "\(complaint)")
        }
        // One that is a warning elsewhere: an end all the same, and not of our making.
        let canceling = try KeylessPeers()
        defer { canceling.close() }
        var canceled = try canceling.machine()
        _ = try Self.shake(&canceled, canceling)
        let end = canceled.received(.record(21, [1, Alert.Description.userCanceled.rawValue]))
        #expect(Self.failure(end) == .alert(Alert.Description.userCanceled.rawValue))
        #expect(end.write == nil)
        // Its own alert, in the clear: the reason is kept, and there is no answer.
        let peers = try KeylessPeers()
        defer { peers.close() }
        var machine = try peers.machine()
        let finished = try Self.shake(&machine, peers)
        let alert = machine.received(.record(21, [2, Alert.Description.badCertificate.rawValue]) + finished)
        #expect(alert == .init(next: .failed(.alert(Alert.Description.badCertificate.rawValue))))
    }
}
