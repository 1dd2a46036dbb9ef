import Channels
import KeyProtocol
import NIOCore
import PeerLink
import RecordLayer
import TLSWire
import TestSockets
import Testing

@testable import EdgeTLS

/// What clients, and key holders, may do wrong in a handshake.
@Suite struct HandoffViolationTests {
    private static let hello = ByteBuffer(bytes: TestHello().records())

    private static func machine(earlyData: Bool = false, after received: ByteBuffer = hello) -> ForwardedHandshake {
        var machine = ForwardedHandshake(protocols: ["http/1.1"], earlyDataOffered: earlyData)
        _ = machine.start(received)
        return machine
    }

    /// A machine that has the session and waits for the Finished.
    private static func awaitingFinished(
        _ session: borrowing MadeUpSession, earlyData: Bool = false
    ) -> ForwardedHandshake {
        var machine = Self.machine(earlyData: earlyData)
        let step = machine.answered(session.progress(tickets: Self.tickets))
        #expect(step == .init(write: ByteBuffer(string: "flight"), next: .read))
        return machine
    }

    private static let tickets = ByteBuffer(bytes: [4, 0, 0, 2, 7, 7])

    /// The alert in a record of the session's.
    private static func alert(_ step: ForwardedHandshake.Step, _ session: borrowing MadeUpSession) throws -> UInt8? {
        var client = try session.client()
        guard case .alert(let code) = client.receive(try #require(step.write)).end else { return nil }
        return code
    }

    private static func failure(_ step: ForwardedHandshake.Step) -> TerminationFailure? {
        if case .failed(let failure, _) = step.next { failure } else { nil }
    }

    // MARK: The client, before the session

    @Test func helloThatFitsNoPacket() {
        var machine = ForwardedHandshake(protocols: ["http/1.1"], earlyDataOffered: false)
        let hello = ByteBuffer(bytes: TestHello(padding: 64_500).records())
        let step = machine.start(hello)
        guard case .failed(.flightTooLarge, informs: false) = step.next else {
            Issue.record("unexpected \(step)")
            return
        }
        #expect(step.write == Alert(.decodeError).record())
    }

    /// As a key holder may answer whose site allows it; where the site's mode does not, the key holder is told to forget.
    @Test(arguments: [0x009C, 0x009D, 0xC02F] as [UInt16]) func keyExchangeByRSA(suite: UInt16) {
        let body: [UInt8] =
            [3, 3] + [UInt8](repeating: 1, count: 32) + [0, UInt8(suite >> 8), UInt8(suite & 0xFF), 0]
        let flight: ByteBuffer = .record(22, [2, 0, 0, UInt8(body.count)] + body)
        for needsForwardSecrecy in [true, false] {
            var machine = ForwardedHandshake(
                protocols: ["http/1.1"], earlyDataOffered: false, needsForwardSecrecy: needsForwardSecrecy)
            _ = machine.start(Self.hello)
            let step = machine.answered(HandshakeProgress(handshake: 1, state: .needsMore, serverBytes: flight))
            if needsForwardSecrecy, suite >> 8 == 0 {
                #expect(step.next == .failed(.noForwardSecrecy, informs: true))
                #expect(step.write == Alert(.handshakeFailure).record())
            } else {
                #expect(step == .init(write: flight, next: .read))
            }
        }
    }

    // MARK: An authority's check of the name

    private static func check() -> ForwardedHandshake {
        var machine = ForwardedHandshake(
            protocols: ["http/1.1"], earlyDataOffered: false, offersProtocols: true, isAuthorityCheck: true)
        _ = machine.start(Self.hello)
        return machine
    }

    @Test func withoutAnOrderAnAuthorityGetsItsAlert() {
        var machine = Self.check()
        let step = machine.keyHolderFailed(.refused(.certificateNotFound))
        #expect(step.next == .failed(.noOrder, informs: false))
        #expect(step.write == Alert(.noApplicationProtocol).record())
        // Of another client the same answer is the key holder's fault.
        var other = Self.machine()
        #expect(other.keyHolderFailed(.refused(.certificateNotFound)).write == Alert(.internalError).record())
    }

    /// A key holder that lends a session for one, whatever its protocol, is not believed: nothing is served on it.
    @Test func noSessionComesOfACheck() throws {
        let session = try MadeUpSession()
        var machine = Self.check()
        let step = machine.answered(session.progress())
        #expect(Self.failure(step) == .badAnswer("a session for an authority's check"))
    }

    /// What the client speaks is not HTTP then.
    @Test func aSessionWithoutAProtocolForAClientThatOffersSome() throws {
        let session = try MadeUpSession(applicationProtocol: nil)
        for offers in [true, false] {
            var machine = ForwardedHandshake(protocols: ["http/1.1"], earlyDataOffered: false, offersProtocols: offers)
            _ = machine.start(Self.hello)
            let step = machine.answered(session.progress())
            if offers {
                guard case .badAnswer = Self.failure(step) else {
                    Issue.record("unexpected \(step)")
                    continue
                }
                #expect(step.write == Alert(.internalError).record())
            } else {
                #expect(step.next == .read)
            }
        }
    }

    @Test func helloInManyRecordsGoesAsItIs() {
        let records = ByteBuffer(bytes: TestHello(padding: 30_000).records(of: 100))
        var machine = ForwardedHandshake(protocols: ["http/1.1"], earlyDataOffered: false)
        #expect(machine.start(records + .record(20, [1])).next == .begin(records))
    }

    @Test func keepsABoundedAmountWhileTheKeyHolderWorks() {
        var machine = Self.machine()
        let record: ByteBuffer = .record(23, [UInt8](repeating: 0, count: 16_384))
        var steps = 0
        while machine.received(record).next == .wait, steps < 100 { steps += 1 }
        #expect(steps == HeldInput.maximumBytes / record.readableBytes)
        let isOver = machine.isOver
        #expect(isOver)
    }

    private static let tls12Flight: ByteBuffer = {
        // ServerHello of TLS 1.2 without extensions.
        let body: [UInt8] = [3, 3] + [UInt8](repeating: 5, count: 32) + [0, 0xC0, 0x2B, 0]
        return .record(22, [2, 0, 0, UInt8(body.count)] + body)
    }()

    private static func tls12() -> ForwardedHandshake {
        var machine = Self.machine()
        let progress = HandshakeProgress(handshake: 7, state: .needsMore, serverBytes: Self.tls12Flight)
        #expect(machine.answered(progress).next == .read)
        return machine
    }

    @Test(arguments: [
        (ByteBuffer.record(23, [1, 2]), TerminationFailure.unexpectedRecord(23)),
        (.record(24, [1]), .unexpectedRecord(24)),
        (.record(255, [1]), .unexpectedRecord(255)),
        (.record(20, [1]) + .record(20, [1]), .unexpectedRecord(20)),
        (.record(20, [2]), .unexpectedRecord(20)),
        (.record(20, [1, 1]), .unexpectedRecord(20)),
        (.record(22, [UInt8](repeating: 0, count: 16_385)).prefix(5), .recordTooLong(16_385)),
        (.record(20, [1]) + .record(22, [UInt8](repeating: 0, count: 18_433)).prefix(5), .recordTooLong(18_433)),
    ])
    func wrongRecordsInATurn(bytes: ByteBuffer, failure: TerminationFailure) {
        var machine = Self.tls12()
        let step = machine.received(bytes)
        #expect(step.next == .failed(failure, informs: true))
        #expect(step.write == failure.alert.map { Alert($0).record() })
        #expect(machine.received(bytes).next == .wait)
    }

    @Test func flightThatFitsNoPacket() {
        var machine = Self.tls12()
        let record: ByteBuffer = .record(22, [UInt8](repeating: 0, count: 16_384))
        for _ in 0..<3 { #expect(machine.received(record).next == .read) }
        guard case .failed(.flightTooLarge, informs: true) = machine.received(record).next else {
            Issue.record("taken")
            return
        }
    }

    /// The key holder allows no more for one handshake, whatever the flights are.
    @Test func flightsThatAreTooMuchInSum() {
        var machine = Self.tls12()
        let flight: ByteBuffer =
            .record(22, [UInt8](repeating: 0, count: 16_384)) + .record(20, [1]) + .record(22, [1])
        let nothing = HandshakeProgress(handshake: 7, state: .needsMore, serverBytes: ByteBuffer())
        #expect(machine.received(flight).next == .proceed(flight))
        #expect(machine.answered(nothing).next == .read)
        // Behind the ChangeCipherSpec, which counts for the rest of the handshake, one record is a flight.
        let record: ByteBuffer = .record(22, [UInt8](repeating: 0, count: 16_384))
        for _ in 0..<2 {
            #expect(machine.received(record).next == .proceed(record))
            #expect(machine.answered(nothing).next == .read)
        }
        guard case .failed(.flightTooLarge, informs: true) = machine.received(record).next else {
            Issue.record("taken")
            return
        }
    }

    @Test func alertsAreTheKeyHoldersToJudge() {
        var machine = Self.tls12()
        let warning = Alert(level: .warning, description: .userCanceled).record()
        for turn in 0..<HandoffLimits.turns {
            #expect(machine.received(warning).next == .proceed(warning), "\(turn)")
            let nothing = HandshakeProgress(handshake: 7, state: .needsMore, serverBytes: ByteBuffer())
            #expect(machine.answered(nothing) == .init(write: nil, next: .read))
        }
        #expect(machine.received(warning).next == .failed(.tooManyTurns, informs: true))
    }

    @Test func resumedTLS12IsProtectedEarly() {
        var machine = Self.machine()
        let flight = Self.tls12Flight + .record(20, [1]) + .record(22, [UInt8](repeating: 1, count: 40))
        let progress = HandshakeProgress(handshake: 7, state: .needsMore, serverBytes: flight)
        #expect(machine.answered(progress) == .init(write: flight, next: .read))
        // An alert in the clear would be a bad record to the client.
        #expect(machine.received(.record(23, [1])) == .init(next: .failed(.unexpectedRecord(23), informs: true)))
    }

    // MARK: The client's Finished

    @Test(arguments: [RecordSuite.aes128GCMSHA256, .aes256GCMSHA384, .chaCha20Poly1305SHA256])
    func wrongFinished(suite: RecordSuite) throws {
        var session = try MadeUpSession(suite)
        var machine = Self.awaitingFinished(session)
        let length = suite.hash.length
        let step = machine.received(
            try session.record(.handshake, [20, 0, 0, UInt8(length)] + [UInt8](repeating: 4, count: length)))
        #expect(step.next == .failed(.records(.finishedMismatch), informs: false))
        #expect(try Self.alert(step, session) == Alert.Description.decryptError.rawValue)
    }

    @Test func forgedFinished() throws {
        var session = try MadeUpSession()
        let record = try session.finished()
        for index in [0, 5, record.readableBytes - 1] {
            var machine = Self.awaitingFinished(session)
            var forged = record
            let byte: UInt8 = try #require(forged.getInteger(at: index))
            forged.setInteger(byte ^ 1, at: index)
            let step = machine.received(forged)
            #expect(Self.failure(step) == (index == 0 ? .records(.unexpectedContentType(22)) : .records(.badRecordMAC)))
        }
    }

    @Test func dataBeforeTheFinished() throws {
        var session = try MadeUpSession()
        var machine = Self.awaitingFinished(session)
        let step = machine.received(try session.record(.applicationData, [1, 2, 3]))
        #expect(step.next == .failed(.records(.unexpectedContentType(23)), informs: false))
        #expect(try Self.alert(step, session) == Alert.Description.unexpectedMessage.rawValue)
    }

    @Test func theFinishedOnceMore() throws {
        var session = try MadeUpSession()
        var machine = Self.awaitingFinished(session)
        let finished = try session.finished()
        let data = try session.record(.applicationData, [1, 2, 3])
        let step = machine.received(finished + finished + data)
        #expect(step.next == .established(.init(tickets: Self.tickets, received: finished + data)))
        guard var opened = machine.takeSession() else {
            Issue.record("no session")
            return
        }
        let reception = opened.receive(finished + data)
        #expect(reception.end == .failed(.badRecordMAC))
    }

    @Test func changeCipherSpecs() throws {
        var session = try MadeUpSession()
        let finished = try session.finished()
        let ccs: ByteBuffer = .record(20, [1])
        var machine = Self.awaitingFinished(session)
        #expect(
            machine.received(ccs + ccs + finished).next
                == .established(.init(tickets: Self.tickets, received: ByteBuffer())))
        var many = Self.awaitingFinished(session)
        #expect(Self.failure(many.received(ccs + ccs + ccs + ccs + ccs)) == .records(.changeCipherSpec))
        var wrong = Self.awaitingFinished(session)
        #expect(Self.failure(wrong.received(.record(20, [2]))) == .records(.changeCipherSpec))
        var long = Self.awaitingFinished(session)
        #expect(Self.failure(long.received(.record(20, [1, 1]))) == .records(.changeCipherSpec))
    }

    @Test func oversizedRecordsAreRefusedByTheirHeader() throws {
        let session = try MadeUpSession()
        var machine = Self.awaitingFinished(session)
        let header: ByteBuffer = .record(23, [UInt8](repeating: 0, count: 16_641)).prefix(5)
        #expect(machine.received(header).next == .failed(.records(.recordOverflow), informs: false))
    }

    /// As many pieces as it has bytes, and no more.
    @Test func aFinishedInPaddedPieces() throws {
        var session = try MadeUpSession()
        var machine = Self.awaitingFinished(session)
        var step = ForwardedHandshake.Step(next: .read)
        let message: [UInt8] = [20, 0, 0, 32] + [UInt8](repeating: 0, count: 32)
        var pieces = 0
        for byte in message where step.next == .read {
            step = machine.received(try session.record(.handshake, [byte], padding: 16_000))
            pieces += 1
        }
        #expect(step.next == .failed(.records(.finishedMismatch), informs: false))
        #expect(pieces == message.count)
        var other = Self.awaitingFinished(session)
        session = try MadeUpSession()
        #expect(Self.failure(other.received(try session.record(.handshake, []))) != nil)
    }

    @Test func refusedEarlyDataIsSkipped() throws {
        var session = try MadeUpSession()
        let early: ByteBuffer = .record(23, [UInt8](repeating: 9, count: 1000))
        let finished = try session.finished()
        var machine = Self.machine(earlyData: true, after: Self.hello + early)
        #expect(machine.answered(session.progress()).next == .read)
        #expect(
            machine.received(early + finished).next
                == .established(.init(tickets: ByteBuffer(), received: ByteBuffer())))
        var unasked = Self.machine(after: Self.hello + early)
        let step = unasked.answered(session.progress(flight: ByteBuffer(string: "flight")))
        #expect(Self.failure(step) == .records(.badRecordMAC))
        // The flight goes first, then the alert.
        #expect(step.write?.getString(at: 0, length: 6) == "flight")
    }

    @Test func alertsInPlaceOfTheFinished() throws {
        var session = try MadeUpSession()
        var machine = Self.awaitingFinished(session)
        #expect(machine.received(Alert(.badCertificate).record()).next == .failed(.alert(42), informs: false))
        var another = Self.awaitingFinished(session)
        #expect(
            another.received(try session.record(.alert, [2, 48])).next == .failed(.alert(48), informs: false))
        session = try MadeUpSession()
        var third = Self.awaitingFinished(session)
        #expect(third.received(try session.record(.alert, [1, 0])).next == .failed(.closedEarly, informs: false))
    }

    // MARK: Leaving

    @Test func leaving() throws {
        var machine = Self.machine()
        // No other party knows of it yet, as far as the edge can tell.
        var informs = machine.abandon()
        #expect(!informs)
        #expect(machine.answered(try MadeUpSession().progress()) == .init(next: .wait))
        var waiting = Self.awaitingFinished(try MadeUpSession())
        // The key holder has forgotten it.
        informs = waiting.abandon()
        #expect(!informs)
        let isOver = waiting.isOver
        #expect(isOver)
        var turn = Self.tls12()
        informs = turn.abandon()
        #expect(informs)
        var whole = Self.machine()
        let step = whole.answered(try MadeUpSession(.ecdheRSAAES128GCMSHA256).progress())
        #expect(step.next == .established(.init(tickets: ByteBuffer(), received: ByteBuffer())))
        informs = whole.abandon()
        #expect(!informs)
    }

    // MARK: The key holder

    @Test(arguments: [
        LinkFailure.notConnected, .timedOut, .lost("gone"), .refused(.keyNotFound), .badAnswer("no"), .overloaded,
    ])
    func keyHolderFails(failure: LinkFailure) {
        var machine = Self.machine()
        let step = machine.keyHolderFailed(failure)
        #expect(
            step == .init(write: Alert(.internalError).record(), next: .failed(.keyHolder(failure), informs: false)))
        var turn = Self.tls12()
        _ = turn.received(.record(22, [16, 0, 0, 0]) + .record(20, [1]) + .record(22, [1]))
        let last = turn.keyHolderFailed(failure)
        #expect(last.write == Alert(.internalError).record())
        #expect(Self.failure(last) == .keyHolder(failure))
    }

    @Test func keyHolderRefuses() {
        var machine = Self.machine()
        let alert = Alert(.handshakeFailure).record()
        let progress = HandshakeProgress(handshake: 7, state: .failed(reason: "no shared cipher"), serverBytes: alert)
        #expect(
            machine.answered(progress)
                == .init(write: alert, next: .failed(.refused("no shared cipher"), informs: false)))
    }

    @Test func answersWithoutSense() throws {
        func judge(_ state: HandshakeProgress.State, _ bytes: ByteBuffer = ByteBuffer()) -> ForwardedHandshake.Step {
            var machine = Self.machine()
            return machine.answered(HandshakeProgress(handshake: 7, state: state, serverBytes: bytes))
        }
        var steps = [
            judge(.needsMore), judge(.needsMore, ByteBuffer(string: "no record")),
            judge(.needsMore, .record(22, [2, 0, 1, 0])), judge(.needsMore, .record(22, [])),
            judge(.exported(session: ByteBuffer(string: "no session"), tickets: ByteBuffer()), Self.tls12Flight),
        ]
        var machine = Self.machine()
        steps.append(machine.answered(try MadeUpSession(.ecdheRSAAES128GCMSHA256).progress(tickets: Self.tickets)))
        machine = Self.machine()
        steps.append(machine.answered(try MadeUpSession(finishedToCome: false).progress()))
        machine = Self.machine()
        steps.append(machine.answered(try MadeUpSession(applicationProtocol: "h3").progress()))
        for step in steps {
            guard case .badAnswer = Self.failure(step) else {
                Issue.record("unexpected \(step)")
                continue
            }
            #expect(step.write == Alert(.internalError).record())
        }
    }
}
