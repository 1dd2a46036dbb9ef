import FoundationEssentials
import KeyProtocol
import NIOCore
import PeerLink
import TLSWire
import X509

/// Asks a key holder for a site's certificate, and for one signature or one handshake, and proves that they belong together.
struct SiteProof {
    struct Failure: Error {
        var text: String
        var remedy: String?
    }

    /// What a key holder showed for one domain.
    struct Proven {
        /// Of all its certificates, preferred first; at least one.
        var leaves: [Certificate]
        var chainLengths: [Int]
        /// What proved it, as in `a signature (ed25519)`.
        var evidence: String
        /// The warning or the good news about the validity of the one that ends first.
        var validity: (outcome: CheckLine.Outcome, text: String)
    }

    let edge: String
    let keyHolder: String
    let now: Date

    /// - Parameters:
    ///   - mode: what the edge wants to use the site in: `keyless` or `handoff`.
    ///   - ask: sends one request to the key holder and returns its answer; always over one connection.
    func run(
        _ domain: ServerNamePattern, mode: TrustMode, ask: (KeyMessage) async throws -> KeyMessage
    ) async throws(Failure) -> Proven {
        // Any name that the wildcard stands for finds the site.
        let name = domain.isWildcard ? "latchstring-check.\(domain.base.rawValue)" : domain.base.rawValue
        let answer = try await self.certificate(name, domain: domain, mode: mode, ask: ask)
        guard answer.modes.contains(mode) else {
            throw Failure(
                text: "its key holder does not lend it for \(mode.rawValue)",
                remedy: "Its file needs operations: [\(mode.rawValue)] in the grant for edge \(self.edge).")
        }
        var chains: [[Certificate]] = []
        for chain in answer.chains { chains.append(try self.check(chain, domain)) }
        let leaves = chains.map { $0[0] }
        guard let firstToEnd = leaves.min(by: { $0.notValidAfter < $1.notValidAfter }) else {
            throw Failure(text: "it has no certificate", remedy: nil)
        }
        return Proven(
            leaves: leaves, chainLengths: chains.map(\.count),
            evidence: try await self.evidence(name, answer.chains, leaves, mode, ask: ask),
            validity: CertificateChecks.validity(of: firstToEnd, now: self.now))
    }

    private func check(_ shown: CertificateChain, _ domain: ServerNamePattern) throws(Failure) -> [Certificate] {
        let chain: [Certificate]
        do { chain = try CertificateChecks.chain(der: shown.certificates) } catch {
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
        guard shown.ski == CertificateChecks.ski(of: leaf) else {
            throw Failure(
                text: "the key identifier that the key holder names is not that of the certificate's key",
                remedy: "Restart the key holder, and check its file.")
        }
        return chain
    }

    /// A signature by the key of each certificate; or a handshake, in which the key holder shows one of them.
    private func evidence(
        _ name: String, _ chains: [CertificateChain], _ leaves: [Certificate], _ mode: TrustMode,
        ask: (KeyMessage) async throws -> KeyMessage
    ) async throws(Failure) -> String {
        guard mode != .handoff else {
            try await self.shakeHands(name, leaves: chains.map { $0.certificates[0] }, ask: ask)
            return "a TLS 1.3 handshake"
        }
        var evidence: [String] = []
        for (chain, leaf) in zip(chains, leaves) {
            guard let scheme = chain.schemes.first(where: { SignatureProof.isForTLS13($0) }) else {
                throw Failure(
                    text: "its key can sign nothing that TLS 1.3 takes",
                    remedy: "Use a P-256, P-384, P-521, Ed25519 or RSA key of 2048 bits or more.")
            }
            try await self.sign(name, scheme: scheme, ski: chain.ski, leaf: leaf, ask: ask)
            evidence.append("a signature (\(scheme.name))")
        }
        return evidence.joined(separator: " and ")
    }

    private func shakeHands(
        _ name: String, leaves: [[UInt8]], ask: (KeyMessage) async throws -> KeyMessage
    ) async throws(Failure) {
        let outcome: HandshakeProof.Outcome
        do {
            outcome = try await HandshakeProof.run(name) { function, payload in
                try await ask(
                    KeyMessage(opcode: .custom, payload: payload, function: function.rawValue, serverName: name)
                ).payload
            }
        } catch let failure as HandshakeProof.Failure {
            throw Failure(text: "no handshake: \(failure.reason)", remedy: "Its log and audit lines say why.")
        } catch let failure as LinkFailure {
            throw self.refusal(failure, of: "a handshake", mode: .handoff, for: nil)
        } catch {
            throw Failure(
                text: "the handshake fails: \(error)", remedy: "Run `latchstring check` on the key holder's file.")
        }
        guard leaves.contains(where: { $0 == outcome.leaf }) else {
            throw Failure(
                text: "in a handshake it shows another certificate than when it is asked for it",
                remedy: "Was it changed this moment? Check again.")
        }
    }

    private func certificate(
        _ name: String, domain: ServerNamePattern, mode: TrustMode, ask: (KeyMessage) async throws -> KeyMessage
    ) async throws(Failure) -> CertificateAnswer {
        let request = KeyMessage(
            opcode: .custom, function: KeyFunction.certificate.rawValue, serverName: name)
        let message: KeyMessage
        do { message = try await ask(request) } catch {
            throw self.refusal(error, of: "its certificate", mode: mode, for: domain)
        }
        do { return try CertificateAnswer(decoding: message.payload) } catch {
            throw Failure(text: "the key holder's certificate answer cannot be read: \(error)", remedy: nil)
        }
    }

    /// One signature over a context that no client ever saw, so it is good for nothing but this proof.
    private func sign(
        _ name: String, scheme: SignatureScheme, ski: [UInt8], leaf: Certificate,
        ask: (KeyMessage) async throws -> KeyMessage
    ) async throws(Failure) {
        var generator = SystemRandomNumberGenerator()
        let hash: [UInt8] = (0..<32).map { _ in UInt8.random(in: 0...255, using: &generator) }
        let request = KeyMessage(
            opcode: .custom, payload: SignTLS13Request(scheme: scheme, transcriptHash: hash).encoded(),
            function: KeyFunction.signTLS13.rawValue, serverName: name, ski: ski)
        let message: KeyMessage
        do { message = try await ask(request) } catch {
            throw self.refusal(error, of: "a signature", mode: .keyless, for: nil)
        }
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

    private func refusal(_ error: any Error, of what: String, mode: TrustMode, for domain: ServerNamePattern?)
        -> Failure
    {
        guard case LinkFailure.refused(let code) = error else {
            return Failure(text: "no answer to a request for \(what): \(error)", remedy: "Is the key holder up?")
        }
        switch code {
        case .keyNotFound:
            let site = domain.map { "a site for \($0), and a grant" } ?? "a grant"
            return Failure(
                text: "the key holder refuses \(what): \(code.name)",
                remedy: "It needs \(site) with operations: [\(mode.rawValue)] for edge \(self.edge) in its file.")
        case .expired:
            return Failure(text: "the key holder refuses \(what): expired", remedy: "Have the certificate renewed.")
        default:
            return Failure(
                text: "the key holder refuses \(what): \(code.name)", remedy: "Its log and audit lines say why.")
        }
    }
}
