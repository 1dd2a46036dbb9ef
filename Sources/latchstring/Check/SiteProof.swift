import FoundationEssentials
import KeyProtocol
import NIOCore
import PeerLink
import TLSWire
import X509

/// Asks a key holder for a site's certificate and for one signature, and proves that they belong together.
struct SiteProof {
    struct Failure: Error {
        var text: String
        var remedy: String?
    }

    /// What a key holder showed for one domain.
    struct Proven {
        var leaf: Certificate
        var chainLength: Int
        var scheme: SignatureScheme
        /// The warning or the good news about validity.
        var validity: (outcome: CheckLine.Outcome, text: String)
    }

    let edge: String
    let keyHolder: String
    let now: Date

    /// - Parameter ask: sends one request to the key holder and returns its answer.
    func run(
        _ domain: ServerNamePattern, ask: (KeyMessage) async throws -> KeyMessage
    ) async throws(Failure) -> Proven {
        // Any name that the wildcard stands for finds the site.
        let name = domain.isWildcard ? "latchstring-check.\(domain.base.rawValue)" : domain.base.rawValue
        let answer = try await self.certificate(name, domain: domain, ask: ask)
        let chain: [Certificate]
        do { chain = try CertificateChecks.chain(der: answer.chain) } catch {
            throw Failure(text: "its certificate cannot be used: \(error.reason)", remedy: nil)
        }
        let leaf = chain[0]
        if let position = CertificateChecks.brokenLink(in: chain) {
            throw Failure(
                text: "certificate \(position) of its chain did not issue the one before it",
                remedy: "Order the chain in the key holder's file: leaf first, each followed by its issuer.")
        }
        guard CertificateChecks.covers(CertificateChecks.domains(of: leaf), domain) else {
            throw Failure(
                text: "its certificate does not cover this domain",
                remedy: "Use a certificate that has it, or remove the domain from the site.")
        }
        let validity = CertificateChecks.validity(of: leaf, now: self.now)
        if validity.outcome == .fail {
            throw Failure(text: "its certificate is \(validity.text)", remedy: "Have the certificate renewed.")
        }
        guard answer.ski == CertificateChecks.ski(of: leaf) else {
            throw Failure(
                text: "the key identifier that the key holder names is not that of the certificate's key",
                remedy: "Restart the key holder, and check its file.")
        }
        guard answer.modes.contains(.keyless) else {
            throw Failure(text: "its key holder does not lend it for keyless", remedy: "Look at the key holder's file.")
        }
        guard let scheme = answer.schemes.first(where: { SignatureProof.isForTLS13($0) }) else {
            throw Failure(
                text: "its key can sign nothing that TLS 1.3 takes",
                remedy: "Use a P-256, P-384, P-521, Ed25519 or RSA key of 2048 bits or more.")
        }
        try await self.sign(name, scheme: scheme, leaf: leaf, ask: ask)
        return Proven(leaf: leaf, chainLength: chain.count, scheme: scheme, validity: validity)
    }

    private func certificate(
        _ name: String, domain: ServerNamePattern, ask: (KeyMessage) async throws -> KeyMessage
    ) async throws(Failure) -> CertificateAnswer {
        let request = KeyMessage(
            opcode: .custom, function: KeyFunction.certificate.rawValue, serverName: name)
        let message: KeyMessage
        do { message = try await ask(request) } catch { throw self.refusal(error, of: "its certificate", for: domain) }
        do { return try CertificateAnswer(decoding: message.payload) } catch {
            throw Failure(text: "the key holder's certificate answer cannot be read: \(error)", remedy: nil)
        }
    }

    /// One signature over a context that no client ever saw, so it is good for nothing but this proof.
    private func sign(
        _ name: String, scheme: SignatureScheme, leaf: Certificate, ask: (KeyMessage) async throws -> KeyMessage
    ) async throws(Failure) {
        var generator = SystemRandomNumberGenerator()
        let hash: [UInt8] = (0..<32).map { _ in UInt8.random(in: 0...255, using: &generator) }
        let request = KeyMessage(
            opcode: .custom, payload: SignTLS13Request(scheme: scheme, transcriptHash: hash).encoded(),
            function: KeyFunction.signTLS13.rawValue, serverName: name)
        let message: KeyMessage
        do { message = try await ask(request) } catch { throw self.refusal(error, of: "a signature", for: nil) }
        let signature = Array(message.payload.readableBytesView)
        switch SignatureProof.verify(signature, scheme: scheme, transcriptHash: hash, publicKey: leaf.publicKey) {
        case .genuine: return
        case .forged:
            throw Failure(
                text:
                    "the key holder's signature does not verify with the certificate: key and chain do not belong together",
                remedy: "Run `latchstring check` on the key holder's file.")
        case .wrongScheme:
            throw Failure(
                text: "the key holder offers \(scheme.name), which does not go with the certificate's key",
                remedy: "Run `latchstring check` on the key holder's file.")
        }
    }

    private func refusal(_ error: any Error, of what: String, for domain: ServerNamePattern?) -> Failure {
        guard case LinkFailure.refused(let code) = error else {
            return Failure(text: "no answer to a request for \(what): \(error)", remedy: "Is the key holder up?")
        }
        switch code {
        case .keyNotFound:
            let site = domain.map { "a site for \($0), and a grant" } ?? "a grant"
            return Failure(
                text: "the key holder refuses \(what): \(code.name)",
                remedy: "It needs \(site) with operations: [keyless] for edge \(self.edge) in its file.")
        case .expired:
            return Failure(text: "the key holder refuses \(what): expired", remedy: "Have the certificate renewed.")
        default:
            return Failure(
                text: "the key holder refuses \(what): \(code.name)", remedy: "Its log and audit lines say why.")
        }
    }
}
