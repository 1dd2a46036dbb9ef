public import NIOCore
public import NIOPosix
public import NativeHandshake

/// An encrypted stream to a site's origin, end to end through an edge that sees only the domain.
///
/// ```swift
/// var options = NativeOptions(serverName: try ServerName("www.example.com"), host: "www.example.com", port: 443)
/// options.variant = .originDerived
/// let answer = try await NativeConnection.with(options) { connection in
///     try await connection.send(ByteBuffer(string: "hello"))
///     try await connection.finish()
///     var answer = ByteBuffer()
///     for try await part in connection.bytes { answer.writeImmutableBuffer(part) }
///     return answer
/// }
/// ```
///
/// Before the body runs, the origin's chain has been verified (path to a root, validity, domain), the key directory asked if
/// there is one, and both sides have proved to have the same key. The page `docs/native-handshake.md` of the project
/// specifies the protocol and says what it protects from.
///
/// **Back-pressure:** ``send(_:)`` returns when the connection takes more; nothing is read from the network that
/// ``bytes`` has not been asked for, but for a few parts ahead. **Cancellation** of the task ends the handshake or the
/// connect, the handshake or the stream at once; the origin sees a stream that broke off. **Timeouts:** ``NativeOptions/timeout`` and
/// ``NativeOptions/idleTimeout``.
public struct NativeConnection: Sendable {
    private let channel: NIOAsyncChannel<ByteBuffer, ByteBuffer>
    private let fault: NativeFault
    private let streams: Streams?

    /// How long the end waits for the origin's, so that what was sent arrives.
    private static let endTime = TimeAmount.seconds(3)

    private struct Streams: Sendable {
        var inbound: NIOAsyncChannelInboundStream<ByteBuffer>
        var outbound: NIOAsyncChannelOutboundWriter<ByteBuffer>
    }

    /// The key agreement that was used.
    public let variant: NativeVariant
    /// The suite that the origin chose.
    public let suite: NativeSuite
    public let keyKind: NativeKeyKind
    /// From the origin's certificate to the root.
    public let path: [CertificateSummary]

    init(
        channel: NIOAsyncChannel<ByteBuffer, ByteBuffer>, fault: NativeFault, variant: NativeVariant,
        suite: NativeSuite, keyKind: NativeKeyKind, path: [CertificateSummary]
    ) {
        self.channel = channel
        self.fault = fault
        self.streams = nil
        self.variant = variant
        self.suite = suite
        self.keyKind = keyKind
        self.path = path
    }

    private init(_ connection: NativeConnection, _ streams: Streams) {
        self.channel = connection.channel
        self.fault = connection.fault
        self.streams = streams
        self.variant = connection.variant
        self.suite = connection.suite
        self.keyKind = connection.keyKind
        self.path = connection.path
    }

    /// Connects, shakes hands, runs the body, and closes the connection when the body returns or throws.
    ///
    /// When the body returns, everything it sent goes out, with the end of its data; what the origin still sends is dropped,
    /// until its end or for 3 seconds, and then the connection closes. When the body throws, the stream breaks off, which the origin can tell from an end.
    ///
    /// - Parameters:
    ///   - report: Called for each event on the way, in order. Must not block.
    /// - Throws: ``ConnectionFailure`` if there is no connection; `NativeError` from the handshake, for a refused certificate
    ///   included (`NativeError.certificateRefused`); `CancellationError`; and whatever the body throws.
    public static func with<Result>(
        _ options: NativeOptions, on group: any EventLoopGroup = .singletonMultiThreadedEventLoopGroup,
        report: @escaping @Sendable (TimedNativeEvent) -> Void = { _ in },
        isolation: isolated (any Actor)? = #isolation,
        body: (NativeConnection) async throws -> Result
    ) async throws -> Result {
        let connection: NativeConnection = try await Self.connect(options, group, NativeJournal(report: report))
        return try await connection.channel.executeThenClose { inbound, outbound in
            do {
                let result: Result = try await body(
                    NativeConnection(connection, Streams(inbound: inbound, outbound: outbound)))
                try await connection.end()
                return result
            } catch {
                // Before an orderly end could be said.
                try? await connection.channel.channel.close().get()
                throw error
            }
        }
    }

    /// What the origin sends, in parts of any size, up to its end of data. For one task only.
    ///
    /// Throws `NativeError.truncated` if the connection ends before the origin has said that its data does.
    public var bytes: NativeBytes { NativeBytes(stream: self.streams?.inbound) }

    /// Sends data. Returns when the connection takes more.
    ///
    /// - Throws: `NativeError` if the stream has failed, as from ``bytes``; otherwise what the connection says.
    public func send(_ data: ByteBuffer) async throws {
        guard let streams = self.streams, data.readableBytes > 0 else { return }
        do {
            try await streams.outbound.write(data)
        } catch {
            throw self.fault.error ?? error
        }
    }

    /// Says that there is no more data; the origin's may go on.
    public func finish() async throws {
        self.streams?.outbound.finish()
    }

    /// Sends the end of the data, and lets the origin take it.
    private func end() async throws {
        let channel: any Channel = self.channel.channel
        try await withTaskCancellationHandler {
            do { try await channel.close(mode: .output).get() } catch {
                // Over on both sides, or broken: nothing can be said any more.
                return
            }
            try await channel.eventLoop.flatSubmit {
                guard let end = try? channel.pipeline.syncOperations.handler(type: NativeStreamEnd.self) else {
                    return channel.eventLoop.makeSucceededVoidFuture()
                }
                return end.drain(for: Self.endTime, on: channel.eventLoop)
            }.get()
        } onCancel: {
            channel.close(promise: nil)
        }
    }

    // MARK: Connecting

    private static func connect(
        _ options: NativeOptions, _ group: any EventLoopGroup, _ journal: NativeJournal
    ) async throws -> NativeConnection {
        let deadline: NIODeadline = .now() + options.timeout
        let eventLoop: any EventLoop = group.next()
        let attempt = NativeAttempt(on: eventLoop)
        return try await withTaskCancellationHandler {
            let connected: EventLoopFuture<any Channel> = ClientBootstrap(group: eventLoop)
                .connectTimeout(options.timeout)
                .channelOption(.tcpOption(.tcp_nodelay), value: 1)
                .channelInitializer { channel in
                    attempt.tries(channel)
                        ? channel.eventLoop.makeSucceededVoidFuture()
                        : channel.eventLoop.makeFailedFuture(CancellationError())
                }
                .connect(host: options.host, port: options.port)
            connected.hop(to: eventLoop).whenComplete { result in
                switch result {
                case .success(let channel):
                    // Now only: for a name with several addresses several are tried.
                    let handler = NativeClientHandler(
                        options: options, deadline: deadline, journal: journal, outcome: attempt.outcome)
                    do {
                        if attempt.isOver { throw CancellationError() }
                        try channel.pipeline.syncOperations.addHandler(handler)
                    } catch {
                        attempt.outcome.fail(error)
                        channel.close(promise: nil)
                    }
                case .failure(let error):
                    attempt.end(Self.connectFailure(options, ConnectError.text(error)))
                }
            }
            // The handshake has the same deadline, and says so to the origin; this is for what comes before it.
            let timer: Scheduled<Void> = eventLoop.scheduleTask(deadline: deadline + .milliseconds(250)) {
                attempt.end(Self.connectFailure(options, "no connection in time"))
            }
            defer { timer.cancel() }
            do {
                return try await attempt.outcome.futureResult.get()
            } catch {
                try Task.checkCancellation()
                throw error
            }
        } onCancel: {
            attempt.end(CancellationError())
        }
    }

    private static func connectFailure(_ options: NativeOptions, _ reason: String) -> ConnectionFailure {
        ConnectionFailure(
            isConnected: false, reason: "cannot connect to \(options.host):\(options.port): \(reason)")
    }
}

/// The data of a ``NativeConnection``.
public struct NativeBytes: AsyncSequence, Sendable {
    public typealias Element = ByteBuffer

    let stream: NIOAsyncChannelInboundStream<ByteBuffer>?

    public struct AsyncIterator: AsyncIteratorProtocol {
        var iterator: NIOAsyncChannelInboundStream<ByteBuffer>.AsyncIterator?

        public mutating func next() async throws -> ByteBuffer? {
            try await self.iterator?.next()
        }
    }

    public func makeAsyncIterator() -> AsyncIterator {
        AsyncIterator(iterator: self.stream?.makeAsyncIterator())
    }
}
