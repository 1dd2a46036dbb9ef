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
/// stream at once; the origin sees a stream that broke off. **Timeouts:** ``NativeOptions/timeout`` and
/// ``NativeOptions/idleTimeout``.
public struct NativeConnection: Sendable {
    private let channel: NIOAsyncChannel<ByteBuffer, ByteBuffer>
    private let streams: Streams?

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
        channel: NIOAsyncChannel<ByteBuffer, ByteBuffer>, variant: NativeVariant, suite: NativeSuite,
        keyKind: NativeKeyKind, path: [CertificateSummary]
    ) {
        self.channel = channel
        self.streams = nil
        self.variant = variant
        self.suite = suite
        self.keyKind = keyKind
        self.path = path
    }

    private init(_ connection: NativeConnection, _ streams: Streams) {
        self.channel = connection.channel
        self.streams = streams
        self.variant = connection.variant
        self.suite = connection.suite
        self.keyKind = connection.keyKind
        self.path = connection.path
    }

    /// Connects, shakes hands, runs the body, and closes the connection when the body returns or throws.
    ///
    /// When the body returns, everything it sent goes out, with the end of its data, before the connection closes; what the
    /// origin still sends is dropped. When the body throws, the stream breaks off, which the origin can tell from an end.
    ///
    /// - Parameters:
    ///   - report: Called for each event on the way, in order. Must not block.
    /// - Throws: ``ClientFailure`` if there is no connection; ``NativeError`` from the handshake, for a refused certificate
    ///   included (``NativeError/certificateRefused(_:)``); `CancellationError`; and whatever the body throws.
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
                try? await connection.channel.channel.close(mode: .output).get()
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
    /// Throws ``NativeError/truncated`` if the connection ends before the origin has said that its data does.
    public var bytes: NativeBytes { NativeBytes(stream: self.streams?.inbound) }

    /// Sends data. Returns when the connection takes more.
    public func send(_ data: ByteBuffer) async throws {
        guard let streams = self.streams, data.readableBytes > 0 else { return }
        try await streams.outbound.write(data)
    }

    /// Says that there is no more data; the origin's may go on.
    public func finish() async throws {
        self.streams?.outbound.finish()
    }

    private static func connect(
        _ options: NativeOptions, _ group: any EventLoopGroup, _ journal: NativeJournal
    ) async throws -> NativeConnection {
        let eventLoop: any EventLoop = group.next()
        let outcome: EventLoopPromise<NativeConnection> = eventLoop.makePromise()
        let channel: any Channel
        do {
            channel = try await ClientBootstrap(group: eventLoop)
                .connectTimeout(options.timeout)
                .channelOption(.tcpOption(.tcp_nodelay), value: 1)
                .connect(host: options.host, port: options.port)
                .get()
        } catch {
            outcome.fail(error)
            throw ClientFailure(
                phase: .connect,
                reason: "cannot connect to \(options.host):\(options.port): \(ConnectError.text(error))",
                advice: "is something listening there?")
        }
        return try await withTaskCancellationHandler {
            do {
                // When the connection is there: for a name with several addresses several are tried.
                try await eventLoop.submit {
                    try channel.pipeline.syncOperations.addHandler(
                        NativeClientHandler(options: options, journal: journal, group: group, outcome: outcome))
                }.get()
                return try await outcome.futureResult.get()
            } catch {
                outcome.fail(error)
                channel.close(promise: nil)
                try Task.checkCancellation()
                throw error
            }
        } onCancel: {
            channel.close(promise: nil)
        }
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
