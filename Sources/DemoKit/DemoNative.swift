import Diagnosis
import NIOCore
import NativeClient
import NativeHandshake
import Synchronization
import TLSWire
import X509

/// The demo's native requests: both of the published key agreements, with both kinds of keys, and their steps.
struct DemoNative: Sendable {
    struct Outcome: Sendable {
        var status: Int
        var body: String
        var duration: Duration
        /// Numbered steps, for `--explain`.
        var steps: [String]
    }

    var site: DemoSiteFiles
    var port: Int
    var variant: NativeVariant
    var rootPEM: String
    /// Whether steps show the first bytes of secrets.
    var explains: Bool

    func run() async throws -> Outcome {
        let target = try ClientTarget(url: "https://\(self.site.domain)/", connect: "127.0.0.1:\(self.port)")
        var options = NativeOptions(
            serverName: target.serverName, host: target.connectHost, port: target.connectPort, variant: self.variant)
        options.roots = try ClientRoots(pem: self.rootPEM)
        options.timeout = .seconds(10)
        options.showsSecrets = self.explains
        let steps = Mutex([String]())
        let body = Mutex(ByteBuffer())
        let narrator = NativeNarrator(variant: self.variant, domain: self.site.domain)
        let began = ContinuousClock.now
        let status: Int = try await NativeFetch(options: options, target: target, headOnly: false).run(
            report: { event in steps.withLock { $0 += narrator.lines(event.event) } }, head: { _ in },
            body: { part in _ = body.withLock { $0.writeImmutableBuffer(part) } })
        return Outcome(
            status: status, body: String(buffer: body.withLock { $0 }), duration: ContinuousClock.now - began,
            steps: steps.withLock { $0 } + [
                narrator.line("205", "client and origin exchange data with that key; the edge has none")
            ])
    }
}

/// Tells the published text's steps as the client sees them happen: 101-103 at the edge, 201-205 at the origin, 301-308
/// or 401-406 for the two key agreements.
///
/// How the text divides the work among the numbers is inferred, see docs/native-handshake.md. What the origin does shows
/// in what it sends: its Finished proves that it has the key.
struct NativeNarrator: Sendable {
    var variant: NativeVariant
    var domain: String

    func lines(_ event: NativeEvent) -> [String] {
        switch event {
        case .connected, .certificates, .directoryAgrees, .directoryUnavailable, .established: []
        case .chainVerified(let path):
            [
                self.line(
                    self.number(304, 403),
                    "client: the chain is good for \(self.domain), up to \(path.last?.subject ?? "?")")
            ]
        case .step(let step): self.lines(step)
        }
    }

    private func lines(_ step: NativeStep) -> [String] {
        switch (step, self.variant) {
        case (.helloMade(let nonce), .originDerived):
            [
                self.line("301", "client: handshake request for \(self.domain), nonce \(nonce)"),
                self.line("302 101 201", "edge: reads the domain, forwards the request to the origin"),
            ]
        case (.helloMade(let nonce), .clientDerived):
            [
                self.line("401", "client: handshake request for \(self.domain), nonce \(nonce)"),
                self.line("401 101 201", "edge: reads the domain, forwards the request to the origin"),
            ]
        case (.certificateInformationRead(let suite, let kind, let count, let random), .originDerived):
            [
                self.line(
                    "303 202",
                    "origin: certificate information: \(count) certificate(s), \(kind), \(suite), nonce \(random)"),
                self.line("303 102", "edge: forwards it to the client"),
            ]
        case (.certificateInformationRead(let suite, let kind, let count, let random), .clientDerived):
            [
                self.line("402 202", "origin: certificate information: \(count) certificate(s), \(kind), \(suite)"),
                self.line("402 202", "origin: in it the second random \(random)"),
                self.line("402 102", "edge: forwards it to the client"),
            ]
        case (.proofVerified(let bytes), _):
            [self.line("", "client: verified the origin's signature (\(bytes) bytes) over everything so far")]
        case (.firstRandomMade(let random), _):
            [self.line(self.number(304, 403), "client: makes the first random \(random)")]
        case (.symmetricKeyDerived(let key), _):
            [self.line(self.number(308, 403), "client: derives the symmetric key \(key) from both randoms")]
        case (.secretEncrypted(let bytes), .originDerived):
            [
                self.line("304", "client: encrypts the first random to the origin's public key, \(bytes) bytes"),
                self.line("305 103 203", "edge: forwards this key-generation information to the origin"),
            ]
        case (.secretEncrypted(let bytes), .clientDerived):
            [
                self.line("404", "client: encrypts the symmetric key to the origin's public key, \(bytes) bytes"),
                self.line("405 103 203", "edge: forwards this key-generation information to the origin"),
            ]
        case (.secondRandomRead(let random), _):
            [
                self.line("306 204", "origin: decrypts the first random with the private key, makes the second random"),
                self.line("306 204", "origin: derives the symmetric key from both"),
                self.line("307", "origin: sends the second random \(random), signed; the edge forwards it"),
            ]
        case (.finishedVerified, .originDerived):
            [self.line("308", "client: the origin has proved to have the same key")]
        case (.finishedVerified, .clientDerived):
            [
                self.line("406 204", "origin: decrypts the symmetric key with the private key"),
                self.line("406", "client: the origin has proved to have the same key"),
            ]
        default: []
        }
    }

    private func number(_ originDerived: Int, _ clientDerived: Int) -> String {
        "\(self.variant == .originDerived ? originDerived : clientDerived)"
    }

    func line(_ numbers: String, _ text: String) -> String {
        let padding = String(repeating: " ", count: max(0, 11 - numbers.count))
        return "    \(numbers)\(padding)  \(text)"
    }
}
