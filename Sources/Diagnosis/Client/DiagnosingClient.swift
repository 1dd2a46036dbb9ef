public import NIOCore
import NIOHTTP1
public import NIOPosix
import NIOSSL
public import NativeClient
import SwiftASN1
import Synchronization
import TLSWire
import X509

#if canImport(Darwin)
    import Darwin
#elseif canImport(Musl)
    import Musl
#else
    import Glibc
#endif

/// A TLS and HTTP/1.1 client that tells what happens: one connection, one request, every step with its time.
public struct DiagnosingClient: Sendable {
    public struct Options: Sendable {
        public var target: ClientTarget
        public var roots: ClientRoots = .system
        /// TLS 1.2, TLS 1.3, or both.
        public var versions: ClosedRange<UInt16> = TLSVersion.tls12...TLSVersion.tls13
        /// Key exchange groups to offer, best first; nil offers the TLS library's own choice.
        public var groups: [UInt16]?
        /// ALPN protocols to offer. The request is made only if `http/1.1` or none is chosen.
        public var applicationProtocols: [String] = ["http/1.1"]
        /// Whether to ask with HEAD rather than GET.
        public var headOnly = false
        /// How long connecting may take, and how long nothing may happen after that.
        public var timeout: TimeAmount = .seconds(30)

        public init(target: ClientTarget) {
            self.target = target
        }
    }

    public var options: Options

    public init(options: Options) {
        self.options = options
    }

    /// Connects, shakes hands, asks, and reads the response to its end.
    ///
    /// - Parameter report: called for each event, in order, never twice at once. Reading waits for it, so a slow one slows
    ///   the server down rather than filling memory.
    /// - Returns: the response's status.
    public func run(
        on group: any EventLoopGroup = .singletonMultiThreadedEventLoopGroup,
        report: @escaping @Sendable (TimedClientEvent) -> Void
    ) async throws(ClientFailure) -> UInt {
        let context: NIOSSLContext
        do {
            context = try NIOSSLContext(configuration: configuration())
        } catch {
            throw ClientFailure(phase: .handshake, reason: "cannot set up TLS: \(error)")
        }
        let journal = Journal(report: report)
        let eventLoop: any EventLoop = group.next()
        let outcome: EventLoopPromise<UInt> = eventLoop.makePromise()
        let channel: any Channel
        do {
            channel = try await ClientBootstrap(group: eventLoop)
                .connectTimeout(options.timeout)
                .channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try addHandlers(channel, context, journal, outcome)
                    }
                }
                .connect(host: options.target.connectHost, port: options.target.connectPort)
                .get()
        } catch {
            outcome.fail(error)
            let endpoint = "\(options.target.connectHost):\(options.target.connectPort)"
            throw ClientFailure(
                phase: .connect, reason: "cannot connect to \(endpoint): \(ConnectError.text(error))",
                advice: "is something listening there?")
        }
        do {
            let status: UInt = try await outcome.futureResult.get()
            try? await channel.close()
            return status
        } catch {
            try? await channel.close()
            throw error as? ClientFailure ?? ClientFailure(phase: .response, reason: "\(error)")
        }
    }

    private func configuration() -> TLSConfiguration {
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.minimumTLSVersion = options.versions.lowerBound >= TLSVersion.tls13 ? .tlsv13 : .tlsv12
        configuration.maximumTLSVersion = options.versions.upperBound <= TLSVersion.tls12 ? .tlsv12 : .tlsv13
        configuration.applicationProtocols = options.applicationProtocols
        if let groups: [UInt16] = options.groups { configuration.curves = groups.map { NIOTLSCurve($0) } }
        // The library's own list leaves Ed25519 out, which a site's key may be.
        configuration.verifySignatureAlgorithms = [
            .ecdsaSecp256R1Sha256, .ecdsaSecp384R1Sha384, .ecdsaSecp521R1Sha512, .ed25519, .rsaPssRsaeSha256,
            .rsaPssRsaeSha384, .rsaPssRsaeSha512, .rsaPkcs1Sha256, .rsaPkcs1Sha384, .rsaPkcs1Sha512,
        ]
        // Verified by ChainVerifier, which knows these roots; the TLS library need not load any.
        configuration.trustRoots = .certificates([])
        return configuration
    }

    private func addHandlers(
        _ channel: any Channel, _ context: NIOSSLContext, _ journal: Journal, _ outcome: EventLoopPromise<UInt>
    ) throws {
        let verifier = ChainVerifier(roots: options.roots, serverName: options.target.serverName)
        let tls = try NIOSSLClientHandler(context: context, serverHostname: options.target.serverName.rawValue) {
            presented, promise in
            verify(presented, with: verifier, journal, promise)
        }
        let pipeline: ChannelPipeline.SynchronousOperations = channel.pipeline.syncOperations
        try pipeline.addHandler(WireObserver(journal: journal))
        try pipeline.addHandler(tls)
        try pipeline.addHTTPClientHandlers(leftOverBytesStrategy: .fireError)
        try pipeline.addHandler(ExchangeHandler(options: options, journal: journal, outcome: outcome))
    }

    private func verify(
        _ presented: [NIOSSLCertificate], with verifier: ChainVerifier, _ journal: Journal,
        _ promise: EventLoopPromise<NIOSSLVerificationResult>
    ) {
        promise.completeWithTask {
            do {
                let chain = try presented.map { try Certificate(derEncoded: try $0.toDERBytes()) }
                journal.note(.certificates(chain.map(CertificateSummary.init)))
                switch await verifier.verify(chain) {
                case .verified(let path):
                    journal.note(.verified(path: path.map(CertificateSummary.init)))
                    return .certificateVerified
                case .failed(let reasons):
                    journal.reject(reasons.joined(separator: "; "))
                case .untrusted(let issuer):
                    journal.reject(
                        "no path leads from \"\(issuer)\" to a trusted root",
                        advice: "to trust another authority, name its file with --roots; or an intermediate is missing")
                }
            } catch {
                journal.reject("a certificate can't be decoded: \(error)")
            }
            return .failed
        }
    }
}

/// Gives events their times, one after the other, from the event loop and from verification, which runs beside it.
final class Journal: Sendable {
    private struct State {
        var rejection: ClientFailure?
        var sawForeignBytes = false
    }

    private let start = NIODeadline.now()
    private let report: @Sendable (TimedClientEvent) -> Void
    private let state = Mutex(State())

    init(report: @escaping @Sendable (TimedClientEvent) -> Void) {
        self.report = report
    }

    func note(_ event: ClientEvent) {
        state.withLock { state in
            if case .wire(.notTLS) = event { state.sawForeignBytes = true }
            report(TimedClientEvent(event: event, time: .now() - start))
        }
    }

    /// Remembers why verification failed, for the TLS library's error says no more than that it did.
    func reject(_ reason: String, advice: String = "") {
        let failure = ClientFailure(
            phase: .handshake, reason: "the certificate does not verify: \(reason)", advice: advice)
        state.withLock { $0.rejection = failure }
    }

    var rejection: ClientFailure? { state.withLock { $0.rejection } }
    /// Whether the server sent something that is no TLS record.
    var sawForeignBytes: Bool { state.withLock { $0.sawForeignBytes } }
}
