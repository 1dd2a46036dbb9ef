import RecordLayer
import Synchronization
import TLSEngine
import TLSWire

/// What authorities that check a name are shown, while orders are open: certificates, where they do so by a TLS handshake (RFC 8737), and
/// values of tokens, where by a request without TLS (RFC 8555 section 8.3).
///
/// A handshake with one of them uses no key of a site, exports nothing, and ends with itself. It is TLS 1.2, where the whole
/// handshake happens here; RFC 8737 has authorities take that.
final class ChallengeTable: Sendable {
    private let contexts = Mutex<[ServerName: HandoffContext]>([:])
    /// By name and token.
    private let tokens = Mutex<[ServerName: [String: String]]>([:])

    /// - Parameters:
    ///   - certificate: DER.
    ///   - key: PKCS #8 in DER, of a key made for this certificate alone.
    func show(_ certificate: [UInt8], key: [UInt8], for name: ServerName) throws(EngineError) {
        var policy = ServerPolicy()
        policy.versions = .tls12 ... .tls12
        policy.applicationProtocols = [Array(ClientHello.authorityCheckProtocol.utf8)]
        let credential = ServerCredential(chain: [certificate], key: .local(pkcs8: Secret(key)))
        let context = HandoffContext(
            server: try ServerContext([credential], policy: policy), credentials: [], lendsSessions: false)
        self.contexts.withLock { $0[name] = context }
    }

    func withdraw(_ name: ServerName) {
        self.contexts.withLock { _ = $0.removeValue(forKey: name) }
    }

    func show(token: String, value: String, for name: ServerName) {
        self.tokens.withLock { $0[name, default: [:]][token] = value }
    }

    func withdraw(token: String, for name: ServerName) {
        self.tokens.withLock { tokens in
            tokens[name]?[token] = nil
            if tokens[name]?.isEmpty == true { tokens[name] = nil }
        }
    }

    /// The value of a token; nil: no order that has it is open for the name.
    func value(of token: String, for name: ServerName) -> String? {
        self.tokens.withLock { $0[name]?[token] }
    }

    /// What an authority that sent this hello is shown; nil: no order is open for its name.
    func context(for hello: ClientHello) -> HandoffContext? {
        guard hello.isAuthorityCheck, let name = hello.serverName else { return nil }
        return self.contexts.withLock { $0[name] }
    }
}
