import NIOCore
import NIOSSL
import RecordLayer
import TLSWire

/// What the TLS library did, put together as a session to lend. Everything it says twice must agree.
struct SessionExport {
    var session: ExportedSession
    /// By a ticket.
    var resumed: Bool

    /// After the server's flight in TLS 1.3: the client's Finished is still to come.
    static func tls13(
        _ transcript: HandshakeTranscript, _ secrets: LoggedSecrets, libraryVersion: NIOSSL.TLSVersion?
    ) throws(HandoffFailure) -> SessionExport {
        guard let hello = transcript.serverHello, let suite = transcript.suite,
            let clientHandshake = secrets.clientHandshake, let serverHandshake = secrets.serverHandshake,
            let client = secrets.clientApplication, let server = secrets.serverApplication
        else { throw .export("a secret was not logged") }
        guard libraryVersion == .tlsv13 else { throw .export("the library negotiated another version") }
        do {
            let flight = try transcript.flight(clientSecret: clientHandshake, serverSecret: serverHandshake)
            let session = try ExportedSession(
                suite: suite, applicationProtocol: flight.applicationProtocol,
                secrets: .tls13(client: client, server: server, finished: flight.clientFinished))
            return SessionExport(session: session, resumed: hello.selectsPreSharedKey)
        } catch {
            throw .export("\(error)")
        }
    }

    /// After the library verified the client's Finished in TLS 1.2. Each side has protected one record, its Finished.
    static func tls12(
        _ transcript: HandshakeTranscript, _ secrets: LoggedSecrets, resumed: Bool,
        libraryVersion: NIOSSL.TLSVersion?, libraryProtocol: String?
    ) throws(HandoffFailure) -> SessionExport {
        guard let hello = transcript.serverHello, let suite = transcript.suite,
            let clientRandom = transcript.clientRandom, let master = secrets.master
        else { throw .export("a secret was not logged") }
        guard libraryVersion == .tlsv12 else { throw .export("the library negotiated another version") }
        guard libraryProtocol.map({ Array($0.utf8) }) == hello.applicationProtocol else {
            throw .export("the library negotiated another protocol")
        }
        do {
            let keys = try TLS12KeySchedule.keys(
                suite: suite, masterSecret: master, clientRandom: clientRandom, serverRandom: hello.random)
            let session = try ExportedSession(
                suite: suite, applicationProtocol: hello.applicationProtocol,
                secrets: .tls12(client: keys.client, server: keys.server), clientSequence: 1, serverSequence: 1)
            return SessionExport(session: session, resumed: resumed)
        } catch {
            throw .export("\(error)")
        }
    }
}
