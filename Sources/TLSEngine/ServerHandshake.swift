public import NIOCore
public import RecordLayer
public import TLSWire

/// The server's side of one TLS handshake: bytes in, bytes out. No socket, no thread, no clock of its own (the age of tickets is by
/// the system's, inside BoringSSL).
///
/// Each value stands for one state, and each call consumes it and gives the next one, so that nothing can be called at the wrong time:
///
///     ServerHandshake --receive--> needsInput(ServerHandshake)
///                                  needsSignature(AwaitedSignature) --complete--> ...
///                                  exported(ServerSession, AwaitedFinished?)
///                                  failed(HandshakeEnd)
///
/// A value may go from thread to thread, and each is the only one that refers to its handshake. Which inputs are whose:
/// - the client's violations: whatever BoringSSL refuses, records of no known type, more than ``maximumBytes``. They end the handshake
///   with an alert;
/// - the signer's: no signature, or one that can't be;
/// - ours: whatever else BoringSSL fails at. It ends this handshake, with `internal_error`, and never the process.
public struct ServerHandshake: ~Copyable, Sendable {
    /// Bytes that a client may send for one handshake: two hellos of 16 KiB, refused early data of as much, and the rest.
    public static let maximumBytes = 64 * 1024

    private let machine: HandshakeMachine

    /// - Throws: if there is no memory.
    public init(_ context: ServerContext) throws(EngineError) {
        self.machine = try HandshakeMachine(context)
    }

    fileprivate init(_ machine: HandshakeMachine) { self.machine = machine }

    /// Nil before the server has chosen.
    public var facts: HandshakeFacts? { self.machine.facts }

    /// Takes whole records off the front of the input, as many as the handshake takes. What is left is the caller's: a record that
    /// is not all there, for the next call; or, if the session is exported, what follows the handshake.
    public consuming func receive(_ input: inout ByteBuffer) -> HandshakeTurn {
        let machine: HandshakeMachine = self.machine
        return .init(machine, machine.read(&input))
    }

    /// Gives it up.
    ///
    /// - Returns: the alert for the client; empty if BoringSSL has sent one.
    public consuming func abort(_ alert: Alert.Description) -> ByteBuffer {
        self.machine.sendAlert(alert)
        return self.machine.takeOutput()
    }
}

/// What a step of a handshake came to. Outputs are for the client, as they are.
public enum HandshakeTurn: ~Copyable, Sendable {
    /// The client has to say more.
    case needsInput(ServerHandshake, output: ByteBuffer)
    /// There is nothing to send before the signature. What the client sends meanwhile has to wait.
    case needsSignature(AwaitedSignature)
    /// The session is the taker's. In TLS 1.3 the client's Finished is still to come, and to be checked by the taker as
    /// ``RecordLayer/ExportedSession`` says, or by the ``AwaitedFinished``, which makes the tickets
    /// (``ServerPolicy/verifiesFinished``). In TLS 1.2 the handshake is done, and there is none.
    case exported(ServerSession, AwaitedFinished?, output: ByteBuffer)
    case failed(HandshakeEnd)

    fileprivate init(_ machine: HandshakeMachine, _ state: HandshakeMachine.State) {
        switch state {
        case .wantsSignature:
            guard let request = machine.request else {
                self = .failed(HandshakeEnd(.engine("no signature is wanted"), machine))
                return
            }
            self = .needsSignature(AwaitedSignature(request: request, machine: machine))
        case .wantsInput where !machine.hasSentFlight:
            self = .needsInput(ServerHandshake(machine), output: machine.takeOutput())
        case .wantsInput, .completed:
            do throws(HandshakeFailure) {
                self = try Self.exported(machine, isTLS13: machine.hasSentFlight)
            } catch {
                self = .failed(HandshakeEnd(error, machine))
            }
        case .failed(let failure):
            self = .failed(HandshakeEnd(failure, machine))
        }
    }

    private static func exported(
        _ machine: HandshakeMachine, isTLS13: Bool
    ) throws(HandshakeFailure) -> HandshakeTurn {
        guard let facts = machine.facts else { throw .engine("nothing is negotiated") }
        let session: ExportedSession = isTLS13 ? try machine.exportTLS13() : try machine.exportTLS12()
        // The last time that the library's output is looked at.
        let output: ByteBuffer = machine.takeOutput()
        return .exported(
            ServerSession(session: session, facts: facts), isTLS13 ? AwaitedFinished(machine) : nil, output: output)
    }
}

/// A handshake that goes on when its signature is there. Dropped, it ends without a word to the client.
public struct AwaitedSignature: ~Copyable, Sendable {
    public let request: SignatureRequest
    private let machine: HandshakeMachine

    fileprivate init(request: SignatureRequest, machine: HandshakeMachine) {
        self.request = request
        self.machine = machine
    }

    public var facts: HandshakeFacts? { self.machine.facts }

    /// - Parameter signature: over all of the request's content, as the scheme has it. A wrong one goes to the client, which ends
    ///   the handshake with `decrypt_error`: ``ServerContext/verifies(_:for:)``.
    public consuming func complete(_ signature: [UInt8]) -> HandshakeTurn {
        let machine: HandshakeMachine = self.machine
        return .init(machine, machine.sign(signature))
    }

    /// There will be none.
    ///
    /// - Returns: for the client: the ServerHello that was held back, and the alert.
    public consuming func abort(_ alert: Alert.Description = .internalError) -> ByteBuffer {
        self.machine.sendAlert(alert)
        return self.machine.takeOutput()
    }
}

/// A session for the taker's record layer, and what was chosen for it.
public struct ServerSession: Equatable, Sendable {
    public var session: ExportedSession
    public var facts: HandshakeFacts
}

/// A handshake that has failed.
public struct HandshakeEnd: Equatable, Sendable {
    public var failure: HandshakeFailure
    /// The alert, and what comes before it; empty if the client is the one that ended it.
    public var output: ByteBuffer
    /// Nil if it did not get so far.
    public var facts: HandshakeFacts?

    fileprivate init(_ failure: HandshakeFailure, _ machine: HandshakeMachine) {
        self.failure = failure
        self.facts = machine.facts
        // What the client did has been answered. No session was exported, so the library may still protect what it writes.
        switch failure {
        case .notSigned, .engine: machine.sendAlert(.internalError)
        case .clientAlert, .refused: break
        }
        self.output = machine.takeOutput()
    }
}

/// A handshake of TLS 1.3 whose session is exported and whose client has still to answer.
///
/// It has nothing to send: the session's taker protects records with the same keys, and two that do would repeat nonces.
public struct AwaitedFinished: ~Copyable, Sendable {
    private let machine: HandshakeMachine

    fileprivate init(_ machine: HandshakeMachine) { self.machine = machine }

    public enum Turn: ~Copyable, Sendable {
        /// The Finished is not there yet.
        case needsInput(AwaitedFinished)
        /// The client's Finished is verified. NewSessionTicket messages (RFC 8446 §4.6.1), whole and in the clear, one after
        /// another, for the taker to protect; empty without tickets.
        case completed(tickets: ByteBuffer)
        /// No tickets. The alert is what the client is to be told, if it is; the session's taker protects it, and comes to the same end
        /// by itself where it reads the same records.
        case failed(HandshakeFailure, alert: Alert.Description?)
    }

    /// Takes whole records off the front of the input, up to the one with the client's Finished. What is left is not for here.
    public consuming func receive(_ input: inout ByteBuffer) -> Turn {
        let machine: HandshakeMachine = self.machine
        switch machine.read(&input) {
        case .wantsInput: return .needsInput(AwaitedFinished(machine))
        case .completed: return .completed(tickets: machine.tickets)
        case .failed(let failure):
            return .failed(failure, alert: machine.alertSent.flatMap(Alert.Description.init))
        case .wantsSignature: return .failed(.engine("a signature after the flight"), alert: .internalError)
        }
    }
}
