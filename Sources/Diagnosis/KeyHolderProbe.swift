import KeyProtocol
import Logging
import NIOConcurrencyHelpers
import NIOCore
import NIOSSL
import PeerLink

/// One address of a key holder, connected for as long as a check takes.
final class KeyHolderProbe: Sendable {
    struct Unreachable: Error {
        var reason: String
    }

    private let loop: any EventLoop
    private let pool: NIOLoopBound<KeyHolderPool>

    private init(pool: NIOLoopBound<KeyHolderPool>, loop: any EventLoop) {
        self.pool = pool
        self.loop = loop
    }

    /// Connects, and returns once the other end has proved who it is and has answered.
    ///
    /// - Throws: `Unreachable` after the first failed attempt, or after `limit`.
    static func open(
        _ configuration: KeyHolderPool.Configuration, tls: NIOSSLContext, limit: TimeAmount, loop: any EventLoop
    ) async throws -> KeyHolderProbe {
        try await loop.flatSubmit { () -> EventLoopFuture<KeyHolderProbe> in
            let opened = loop.makePromise(of: KeyHolderProbe.self)
            // The pool tells the log alone why it is not connected.
            let failure = FirstFailure { cause in opened.fail(Unreachable(reason: cause)) }
            let pool = KeyHolderPool(
                configuration: configuration, tls: tls, eventLoop: loop,
                logger: Logger(label: "check") { _ in FailureLogHandler(failure: failure) })
            let bound = NIOLoopBound(pool, eventLoop: loop)
            let probe = KeyHolderProbe(pool: bound, loop: loop)
            // Once it has given this edge a lease. Being connected proves nothing: in TLS 1.3 the edge's certificate comes
            // last, and a key holder refuses an edge after the handshake.
            pool.onReady { opened.succeed(probe) }
            let timer = loop.scheduleTask(in: limit) { opened.fail(Unreachable(reason: "no connection in time")) }
            opened.futureResult.assumeIsolated().whenComplete { result in
                timer.cancel()
                if case .failure = result { pool.stop() }
            }
            pool.start()
            return opened.futureResult
        }.get()
    }

    func request(_ message: KeyMessage) async throws -> KeyMessage {
        try await self.loop.flatSubmit { self.pool.value.request(message) }.get()
    }

    func close() async {
        try? await self.loop.submit { self.pool.value.stop() }.get()
    }
}

/// Calls back once.
private final class FirstFailure: Sendable {
    private let callback: NIOLockedValueBox<(@Sendable (String) -> Void)?>

    init(_ callback: @escaping @Sendable (String) -> Void) {
        self.callback = NIOLockedValueBox(callback)
    }

    func report(_ cause: String) {
        let callback = self.callback.withLockedValue { callback in
            defer { callback = nil }
            return callback
        }
        callback?(cause)
    }
}

/// Takes the cause out of what a link logs when it goes down, and writes nothing.
private struct FailureLogHandler: LogHandler {
    let failure: FirstFailure
    var metadata: Logger.Metadata = [:]
    var metadataProvider: Logger.MetadataProvider?
    var logLevel: Logger.Level = .warning

    init(failure: FirstFailure) {
        self.failure = failure
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { self.metadata[key] }
        set { self.metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        guard let cause = event.metadata?["error"] else { return }
        self.failure.report("\(cause)")
    }
}
