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

/// The machine with real handshakes of swift-nio-ssl, cut at every place.
@Suite struct ForwardedHandshakeTests {
    private static func machine(earlyData: Bool = false) -> ForwardedHandshake {
        ForwardedHandshake(protocols: ["http/1.1"], earlyDataOffered: earlyData)
    }

    /// One whole handshake: what the key holder was asked and answered, and what the client sent when.
    private struct Recording {
        var hello = ByteBuffer()
        var exchanges: [(asked: ByteBuffer, answer: HandshakeProgress)] = []
        /// What the client sent after each of the answers.
        var clientFlights: [ByteBuffer] = []
        var tickets = ByteBuffer()
    }

    /// Shakes hands; the client sends "ping" as soon as it can.
    private static func record(_ peers: HandoffPeers) throws -> Recording {
        var recording = Recording()
        var machine = Self.machine()
        recording.hello = try peers.fromClient()
        var step = machine.start(recording.hello)
        while true {
            switch step.next {
            case .begin(let asked), .proceed(let asked):
                let answer = try peers.progress(asked)
                recording.exchanges.append((asked, answer))
                step = machine.answered(answer)
                var flight = try peers.answer(to: step.write)
                if case .exported = answer.state {
                    try peers.client.writeOutbound(ByteBuffer(string: "ping"))
                    flight = flight + (try peers.fromClient())
                }
                recording.clientFlights.append(flight)
                if case .read = step.next { step = machine.received(flight) }
            case .established(let established):
                recording.tickets = established.tickets
                return recording
            default:
                Issue.record("unexpected \(step)")
                return recording
            }
        }
    }

    /// Plays a recording to a new machine, with the client's flight of one number cut in two.
    private func replay(_ recording: Recording, cutting number: Int, at position: Int) throws {
        var machine = Self.machine()
        var step = machine.start(recording.hello)
        // What comes when the session is there already.
        var later = ByteBuffer()
        for (index, exchange) in recording.exchanges.enumerated() {
            switch step.next {
            case .begin(let asked), .proceed(let asked): #expect(asked == exchange.asked)
            default: Issue.record("unexpected \(step) before exchange \(index)")
            }
            step = machine.answered(exchange.answer)
            #expect(step.write ?? ByteBuffer() == exchange.answer.serverBytes)
            let flight = recording.clientFlights[index]
            if case .established(let established) = step.next {
                // TLS 1.2: what comes after it belongs to the session.
                #expect(established.tickets.readableBytes == 0)
                later = flight
                continue
            }
            #expect(step.next == .read)
            guard index == number else {
                step = machine.received(flight)
                continue
            }
            step = machine.received(flight.prefix(position))
            if step.next == .read {
                step = machine.received(flight.dropFirst(position))
            } else {
                later = flight.dropFirst(position)
                _ = machine.received(later)
            }
            #expect(step.write == nil)
        }
        guard case .established(let established) = step.next else {
            Issue.record("unexpected \(step) at the end")
            return
        }
        #expect(established.tickets == recording.tickets)
        guard var session = machine.takeSession() else {
            Issue.record("no session")
            return
        }
        // The cut may lie behind the Finished: then the rest comes after the hand-over.
        let reception = session.receive(established.received + later)
        #expect(reception.applicationData.map { String(buffer: $0) } == "ping")
        let canSend = session.canSend
        #expect(canSend)
    }

    @Test func tls13() throws {
        let peers = try HandoffPeers()
        defer { peers.close() }
        let recording = try Self.record(peers)
        #expect(recording.exchanges.count == 1)
        #expect(recording.exchanges.first?.asked == recording.hello)
        let flight = try #require(recording.clientFlights.last)
        #expect(recording.tickets == HandoffPeers.tickets)
        for position in 0...flight.readableBytes { try self.replay(recording, cutting: 0, at: position) }
    }

    @Test func helloRetryRequest() throws {
        let peers = try HandoffPeers(serverGroups: [TLSGroup.secp384r1])
        defer { peers.close() }
        let recording = try Self.record(peers)
        #expect(recording.exchanges.count == 2)
        #expect(recording.exchanges.last?.asked.recordTypes == [20, 22])
        for position in 0...recording.clientFlights[0].readableBytes {
            try self.replay(recording, cutting: 0, at: position)
        }
        for position in 0...recording.clientFlights[1].readableBytes {
            try self.replay(recording, cutting: 1, at: position)
        }
    }

    @Test(arguments: [RecordSuite.ecdheECDSAAES128GCMSHA256, .ecdheECDSAChaCha20Poly1305SHA256])
    func tls12(suite: RecordSuite) throws {
        let peers = try HandoffPeers(version: .tlsv12, suite: suite)
        defer { peers.close() }
        let recording = try Self.record(peers)
        #expect(recording.exchanges.count == 2)
        // Key exchange, ChangeCipherSpec, Finished in one request.
        #expect(recording.exchanges.last?.asked.recordTypes == [22, 20, 22])
        #expect(recording.tickets.readableBytes == 0)
        for position in 0...recording.clientFlights[0].readableBytes {
            try self.replay(recording, cutting: 0, at: position)
        }
    }

    /// RFC 7918: the client sends data right behind its Finished, before it has the server's.
    @Test func falseStart() throws {
        let peers = try HandoffPeers(version: .tlsv12)
        defer { peers.close() }
        let recording = try Self.record(peers)
        var machine = Self.machine()
        _ = machine.start(recording.hello)
        _ = machine.answered(recording.exchanges[0].answer)
        let ahead: ByteBuffer = .record(23, [UInt8](repeating: 9, count: 100))
        let step = machine.received(recording.clientFlights[0] + ahead)
        #expect(step.next == .proceed(recording.exchanges[1].asked))
        // And more while the key holder works.
        #expect(machine.received(ahead).next == .wait)
        let last = machine.answered(recording.exchanges[1].answer)
        #expect(last.next == .established(.init(tickets: ByteBuffer(), received: ahead + ahead)))
    }

    /// The second hello may come behind early data that was sent with the first (RFC 8446 §4.2.10).
    @Test func earlyDataBeforeTheSecondHello() throws {
        let peers = try HandoffPeers(serverGroups: [TLSGroup.secp384r1])
        defer { peers.close() }
        let recording = try Self.record(peers)
        let early: ByteBuffer = .record(23, [UInt8](repeating: 9, count: 16_000))
        var machine = Self.machine(earlyData: true)
        #expect(machine.start(recording.hello + early).next == .begin(recording.hello))
        #expect(machine.answered(recording.exchanges[0].answer).next == .read)
        #expect(machine.received(early).next == .read)
        #expect(machine.received(recording.clientFlights[0]).next == .proceed(recording.exchanges[1].asked))

        var greedy = Self.machine(earlyData: true)
        _ = greedy.start(recording.hello + early + early)
        let step = greedy.answered(recording.exchanges[0].answer)
        #expect(step.next == .read)
        #expect(greedy.received(early).next == .failed(.tooMuchEarlyData, informs: true))

        var unasked = Self.machine()
        _ = unasked.start(recording.hello)
        _ = unasked.answered(recording.exchanges[0].answer)
        let refused = unasked.received(early)
        #expect(refused.next == .failed(.unexpectedRecord(23), informs: true))
        #expect(refused.write == Alert(.unexpectedMessage).record())
    }
}
